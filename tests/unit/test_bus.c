/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/bus: look-up, overlaps, accesses outside, and regions that come and go under running vCPUs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "vmm/bus.h"

struct cell {
	uint64_t offset, value;
	unsigned int size, reads, writes;
};

static uint64_t cell_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct cell *c = opaque;

	c->offset = offset;
	c->size = size;
	c->reads++;
	return c->value;
}

static void cell_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct cell *c = opaque;

	c->offset = offset;
	c->size = size;
	c->value = value;
	c->writes++;
}

static const struct io_ops cell_ops = {.name = "cell", .read = cell_read, .write = cell_write};

static struct bus *make(void)
{
	struct bus *bus;

	assert_int_equal(bus_new("test", &bus, NULL), 0);
	return bus;
}

static void test_access_reaches_its_region(void **state _unused_)
{
	struct bus *bus = make();
	struct cell a = {.value = 0x1122334455667788}, b = {0};
	uint32_t word = 0xdeadbeef;
	uint16_t half = 0;

	assert_int_equal(bus_add(bus, 0x100, 0x10, &cell_ops, &a, NULL), 0);
	assert_int_equal(bus_add(bus, 0x110, 0x10, &cell_ops, &b, NULL), 0);
	bus_read(bus, 0x104, &half, sizeof(half));
	assert_int_equal(half, 0x7788);
	assert_int_equal(a.offset, 4);
	assert_int_equal(a.size, 2);
	bus_write(bus, 0x11c, &word, sizeof(word));
	assert_int_equal(b.value, 0xdeadbeef);
	assert_int_equal(b.offset, 0xc);
	assert_int_equal(a.writes, 0);
	bus_free(bus);
}

static void test_nothing_there_reads_all_ones(void **state _unused_)
{
	struct bus *bus = make();
	struct cell a = {0};
	uint64_t value = 0;

	assert_int_equal(bus_add(bus, 0x100, 6, &cell_ops, &a, NULL), 0);
	bus_read(bus, 0x50, &value, 8);
	assert_true(value == UINT64_MAX);
	/* Reaches over the end, and over the end of the address space. */
	value = 0;
	bus_read(bus, 0x104, &value, 4);
	assert_true(value == UINT32_MAX);
	bus_write(bus, 0x104, &value, 4);
	bus_read(bus, UINT64_MAX - 1, &value, 4);
	assert_int_equal(a.reads + a.writes, 0);
	bus_free(bus);
}

static void test_overlap_is_refused_by_name(void **state _unused_)
{
	static const struct {
		uint64_t base, size;
		int code;
	} cases[] = {
		{0x100, 0x10, -EEXIST}, {0xf8, 9, -EEXIST},	      {0x10f, 1, -EEXIST},
		{0, 0x1000, -EEXIST},	{0x108, 2, -EEXIST},	      {0xf0, 0x10, 0},
		{0x110, 1, 0},		{0x200, 0, -EINVAL},	      {UINT64_MAX, 2, -EINVAL},
		{UINT64_MAX, 1, 0},	{UINT64_MAX - 1, 2, -EEXIST},
	};
	struct bus *bus = make();
	struct cell a = {0};

	assert_int_equal(bus_add(bus, 0x100, 0x10, &cell_ops, &a, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;

		assert_int_equal(bus_add(bus, cases[i].base, cases[i].size, &cell_ops, &a, &err),
				 cases[i].code);
		if (cases[i].code)
			assert_non_null(strstr(err.message, "cell"));
	}
	bus_free(bus);
}

static void collect(void *opaque, uint64_t base, uint64_t size _unused_, const char *name)
{
	char *text = opaque;

	sprintf(text + strlen(text), "%s@%lx ", name, (unsigned long)base);
}

static void test_walk_is_in_order_and_remove_removes(void **state _unused_)
{
	struct bus *bus = make();
	struct cell a = {0};
	char text[128] = "";
	uint8_t byte = 0;

	assert_int_equal(bus_add(bus, 0x300, 1, &cell_ops, &a, NULL), 0);
	assert_int_equal(bus_add(bus, 0x100, 1, &cell_ops, &a, NULL), 0);
	assert_int_equal(bus_add(bus, 0x200, 1, &cell_ops, &a, NULL), 0);
	bus_walk(bus, collect, text);
	assert_string_equal(text, "cell@100 cell@200 cell@300 ");
	bus_remove(bus, 0x200);
	bus_remove(bus, 0x200); /* not there: nothing */
	text[0] = '\0';
	bus_walk(bus, collect, text);
	assert_string_equal(text, "cell@100 cell@300 ");
	bus_read(bus, 0x200, &byte, 1);
	assert_int_equal(byte, 0xff);
	bus_free(bus);
}

/* ---- vCPU threads look up while the loop's thread changes. ---- */

#define READERS 2
#define ROUNDS	2000

struct device {
	atomic_uint magic; /* 0 after its end: an access then is the fault looked for */
};

static atomic_uint faults, served;

static uint64_t device_read(void *opaque, uint64_t offset _unused_, unsigned int size _unused_)
{
	struct device *d = opaque;

	if (atomic_load(&d->magic) != 0x600d)
		atomic_fetch_add(&faults, 1);
	atomic_fetch_add(&served, 1);
	return 7;
}

static void device_write(void *opaque, uint64_t offset, uint64_t value _unused_, unsigned int size)
{
	device_read(opaque, offset, size);
}

static const struct io_ops device_ops = {
	.name = "device", .read = device_read, .write = device_write};

struct race {
	struct bus *bus;
	atomic_bool end;
};

static void *reader(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->end)) {
		uint32_t value = 0;

		bus_read(race->bus, 0x1000, &value, sizeof(value));
		if (value != 7 && value != UINT32_MAX)
			atomic_fetch_add(&faults, 1);
		bus_write(race->bus, 0x3000, &value, sizeof(value));
	}
	return NULL;
}

static void test_no_access_after_remove(void **state _unused_)
{
	struct race race = {.bus = make()};
	struct device fixed = {.magic = 0x600d};
	pthread_t threads[READERS];

	assert_int_equal(bus_add(race.bus, 0x3000, 8, &device_ops, &fixed, NULL), 0);
	for (unsigned int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, &race), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct device *d = calloc(1, sizeof(*d));

		assert_non_null(d);
		atomic_store(&d->magic, 0x600d);
		assert_int_equal(bus_add(race.bus, 0x1000, 8, &device_ops, d, NULL), 0);
		if (i % 16 == 0)
			sched_yield();
		bus_remove(race.bus, 0x1000);
		atomic_store(&d->magic, 0);
		free(d);
	}
	/* Under way as long as nobody was served: the race was not run at all. */
	while (atomic_load(&served) == 0)
		sched_yield();
	atomic_store(&race.end, true);
	for (unsigned int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&faults), 0);
	bus_free(race.bus);
}

/* ---- An access that itself changes the bus, as a BAR that moves does. ---- */

struct mover {
	struct bus *bus;
	struct cell cell;
};

static uint64_t mover_read(void *opaque _unused_, uint64_t offset _unused_,
			   unsigned int size _unused_)
{
	return 0;
}

static void mover_write(void *opaque, uint64_t offset _unused_, uint64_t value,
			unsigned int size _unused_)
{
	struct mover *m = opaque;

	bus_remove(m->bus, 0x2000);
	assert_int_equal(bus_add(m->bus, value, 4, &cell_ops, &m->cell, NULL), 0);
}

static const struct io_ops mover_ops = {.name = "mover", .read = mover_read, .write = mover_write};

static void test_access_may_change_the_bus(void **state _unused_)
{
	struct mover m = {.bus = make(), .cell = {.value = 5}};
	uint32_t value = 0x4000;

	assert_int_equal(bus_add(m.bus, 0x2000, 4, &cell_ops, &m.cell, NULL), 0);
	assert_int_equal(bus_add(m.bus, 0x100, 4, &mover_ops, &m, NULL), 0);
	bus_write(m.bus, 0x100, &value, sizeof(value));
	bus_read(m.bus, 0x4000, &value, sizeof(value));
	assert_int_equal(value, 5);
	bus_free(m.bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_access_reaches_its_region),
		cmocka_unit_test(test_nothing_there_reads_all_ones),
		cmocka_unit_test(test_overlap_is_refused_by_name),
		cmocka_unit_test(test_walk_is_in_order_and_remove_removes),
		cmocka_unit_test(test_no_access_after_remove),
		cmocka_unit_test(test_access_may_change_the_bus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
