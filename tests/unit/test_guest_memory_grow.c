/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/guest_memory: RAM that is added, and where it lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/util.h"
#include "vmm/guest_memory.h"

/* The memory block of x86 Linux, and that of a guest of 64 GiB and more. */
#define SPEC_BLOCK (128 * MIB)
#define SPEC_LARGE (2 * GIB)

static struct guest_ram *make(uint64_t size, uint64_t max)
{
	const struct ram_growth growth = {.max = max};
	struct error err = ERROR_INIT;
	struct guest_ram *ram = NULL;

	if (guest_ram_create(size, &growth, &ram, &err) < 0)
		fail_msg("%s", err.message);
	return ram;
}

static const struct guest_memory_region *begin(struct guest_ram *ram, uint64_t size)
{
	const struct guest_memory_region *region = NULL;
	struct error err = ERROR_INIT;

	if (guest_ram_grow_begin(ram, size, &region, &err) < 0)
		fail_msg("%s", err.message);
	return region;
}

static void assert_refused(struct guest_ram *ram, uint64_t size, int code, const char *why)
{
	const struct guest_memory_region *region = NULL;
	struct error err = ERROR_INIT;
	unsigned int count = guest_ram_region_count(ram);

	assert_int_equal(guest_ram_grow_begin(ram, size, &region, &err), code);
	if (!strstr(err.message, why))
		fail_msg("'%s' is not in: %s", why, err.message);
	assert_null(region);
	assert_int_equal(guest_ram_region_count(ram), count);
}

/* ---- Layout. ---- */

static void test_layout(void **state _unused_)
{
	static const struct {
		uint64_t size, start;
	} cases[] = {
		{512 * MIB, 4 * GIB}, {3 * GIB, 4 * GIB},   {3 * GIB + 2 * MIB, 6 * GIB},
		{5 * GIB, 6 * GIB},   {65 * GIB, 66 * GIB}, {5 * GIB + 2 * MIB, 8 * GIB},
	};
	struct guest_memory_layout plain, layout;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct ram_growth growth = {
			.max = 10 * GIB, .count = 2, .sizes = {SPEC_BLOCK, SPEC_LARGE}};

		assert_int_equal(guest_memory_layout(cases[i].size, NULL, &plain, NULL), 0);
		assert_int_equal(plain.grow_start, plain.grow_end);
		assert_int_equal(guest_memory_layout(cases[i].size, &growth, &layout, NULL), 0);
		/* What is of the boot is where it always was. */
		assert_int_equal(layout.boot_count, plain.count);
		assert_memory_equal(layout.regions, plain.regions,
				    plain.count * sizeof(plain.regions[0]));
		assert_int_equal(layout.grow_start, cases[i].start);
		assert_int_equal(layout.grow_start % SPEC_LARGE, 0);
		assert_int_equal(layout.grow_end, cases[i].start + 10 * GIB);
		assert_int_equal(layout.count, plain.count + 2);
		assert_int_equal(layout.regions[plain.count].gpa, cases[i].start);
		assert_int_equal(layout.regions[plain.count].size, SPEC_BLOCK);
		assert_int_equal(layout.regions[plain.count + 1].gpa, cases[i].start + SPEC_BLOCK);
		assert_int_equal(layout.regions[plain.count + 1].size, SPEC_LARGE);
	}
}

/* As a state that was tampered with may say. */
static void test_layout_refuses(void **state _unused_)
{
	static const struct ram_growth cases[] = {
		{.max = 1},
		{.max = SPEC_BLOCK / 2},
		{.max = UINT64_MAX / SPEC_BLOCK * SPEC_BLOCK},
		{.max = 4096 * GIB},
		{.max = SPEC_BLOCK, .count = 1, .sizes = {0}},
		{.max = SPEC_BLOCK, .count = 1, .sizes = {2 * MIB}},
		{.max = SPEC_BLOCK, .count = 1, .sizes = {2 * SPEC_BLOCK}},
		{.max = SPEC_BLOCK, .count = 2, .sizes = {SPEC_BLOCK, SPEC_BLOCK}},
		{.max = 2 * SPEC_BLOCK,
		 .count = 2,
		 .sizes = {SPEC_BLOCK, UINT64_MAX - SPEC_BLOCK + 1}},
		{.max = 1024 * GIB, .count = 1, .sizes = {1024 * GIB}},
		{.max = GIB, .count = 9, .sizes = {SPEC_BLOCK, SPEC_BLOCK, SPEC_BLOCK, SPEC_BLOCK}},
		{.max = 0, .count = 1, .sizes = {SPEC_BLOCK}},
	};
	struct guest_memory_layout layout;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;

		if (guest_memory_layout(512 * MIB, &cases[i], &layout, &err) != -EINVAL)
			fail_msg("case %zu", i);
		assert_non_null(strstr(err.message, "guest RAM"));
	}
}

/* ---- Adding. ---- */

static void test_grow(void **state _unused_)
{
	struct guest_ram *ram = make(64 * MIB, GIB);
	const struct guest_memory_region *region;
	uint8_t *p;

	assert_int_equal(guest_ram_size(ram), 64 * MIB);
	assert_int_equal(guest_ram_end(ram), 5 * GIB);
	assert_int_equal(guest_ram_grow_left(ram), GIB);
	region = begin(ram, SPEC_BLOCK);
	assert_int_equal(region->gpa, 4 * GIB);
	assert_int_equal(region->size, SPEC_BLOCK);
	assert_int_equal((uintptr_t)region->hva % (2 * MIB), 0);
	/* As all RAM must be that is to live through an update. */
	assert_int_equal(fcntl(region->fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
	/* Nobody sees it yet. */
	assert_null(guest_ram_ptr(ram, 4 * GIB, 1));
	assert_int_equal(guest_ram_region_count(ram), 1);
	assert_int_equal(guest_ram_size(ram), 64 * MIB);
	guest_ram_grow_commit(ram);
	assert_int_equal(guest_ram_region_count(ram), 2);
	assert_int_equal(guest_ram_added_count(ram), 1);
	assert_ptr_equal(guest_ram_region(ram, 1), region);
	assert_int_equal(guest_ram_size(ram), 64 * MIB + SPEC_BLOCK);
	p = guest_ram_ptr(ram, 4 * GIB, SPEC_BLOCK);
	assert_ptr_equal(p, region->hva);
	assert_null(guest_ram_ptr(ram, 4 * GIB, SPEC_BLOCK + 1));
	p[SPEC_BLOCK - 1] = 0x5a;
	/* The next touches it: a buffer across both is one. */
	region = begin(ram, 2 * SPEC_BLOCK);
	assert_int_equal(region->gpa, 4 * GIB + SPEC_BLOCK);
	guest_ram_grow_commit(ram);
	assert_ptr_equal(guest_ram_ptr(ram, 4 * GIB, 3 * SPEC_BLOCK), p);
	assert_int_equal(p[SPEC_BLOCK - 1], 0x5a);
	assert_ptr_equal(guest_ram_ptr(ram, 4 * GIB + SPEC_BLOCK - 1, 2), p + SPEC_BLOCK - 1);
	assert_int_equal(guest_ram_grow_left(ram), GIB - 3 * SPEC_BLOCK);
	assert_int_equal(guest_ram_end(ram), 5 * GIB);
	guest_ram_free(ram);
}

/* RAM of the boot that ends where the added begins is one piece with it, too. */
static void test_grow_touches_the_boot(void **state _unused_)
{
	struct guest_ram *ram = make(5 * GIB, GIB);
	uint8_t *high = guest_ram_ptr(ram, 4 * GIB, 2 * GIB);

	assert_non_null(high);
	assert_null(guest_ram_ptr(ram, 6 * GIB - 4, 8));
	begin(ram, SPEC_BLOCK);
	guest_ram_grow_commit(ram);
	assert_ptr_equal(guest_ram_ptr(ram, 6 * GIB - 4, 8), high + 2 * GIB - 4);
	guest_ram_free(ram);
}

static void test_undo(void **state _unused_)
{
	struct guest_ram *ram = make(64 * MIB, SPEC_BLOCK);
	const struct guest_memory_region *region;
	uint8_t *p;
	void *hva;
	int fd;

	region = begin(ram, SPEC_BLOCK);
	hva = region->hva;
	fd = region->fd;
	memset(hva, 0xff, 4096);
	guest_ram_grow_undo(ram);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(guest_ram_region_count(ram), 1);
	assert_int_equal(guest_ram_grow_left(ram), SPEC_BLOCK);
	assert_null(guest_ram_ptr(ram, 4 * GIB, 1));
	/* There is nothing of it left, and the place is still ours. */
	region = begin(ram, SPEC_BLOCK);
	assert_ptr_equal(region->hva, hva);
	guest_ram_grow_commit(ram);
	p = guest_ram_ptr(ram, 4 * GIB, 4096);
	assert_int_equal(p[0], 0);
	guest_ram_free(ram);
}

static void test_refused(void **state _unused_)
{
	struct guest_ram *ram = make(64 * MIB, 10 * SPEC_BLOCK);

	assert_refused(ram, 0, -EINVAL, "multiples of 128 MiB");
	assert_refused(ram, 1, -EINVAL, "multiples of 128 MiB");
	assert_refused(ram, SPEC_BLOCK + 2 * MIB, -EINVAL, "multiples of 128 MiB");
	assert_refused(ram, 11 * SPEC_BLOCK, -ERANGE, "1280 MiB are left of the hotplug_size");
	assert_refused(ram, UINT64_MAX / SPEC_BLOCK * SPEC_BLOCK, -ERANGE, "hotplug_size");
	for (unsigned int i = 0; i < 8; i++) {
		begin(ram, SPEC_BLOCK);
		guest_ram_grow_commit(ram);
	}
	assert_refused(ram, SPEC_BLOCK, -ERANGE, "until the guest is rebooted");
	guest_ram_free(ram);

	ram = make(64 * MIB, 0);
	assert_refused(ram, SPEC_BLOCK, -ERANGE, "0 MiB are left");
	guest_ram_free(ram);

	/* Not more than is needed for it: under TSan there is little address space for all. */
	ram = make(64 * MIB, 513 * GIB);
	assert_refused(ram, 512 * GIB + SPEC_BLOCK, -ERANGE, "in several steps");
	guest_ram_free(ram);
}

/* What came back from an update is where it was, and can go on growing. */
static void test_adopt(void **state _unused_)
{
	const struct ram_growth growth = {.max = GIB, .count = 1, .sizes = {SPEC_BLOCK}};
	struct guest_ram *ram = make(64 * MIB, GIB), *again = NULL;
	const struct guest_memory_region *region;
	struct error err = ERROR_INIT;
	int fds[2];

	begin(ram, SPEC_BLOCK);
	guest_ram_grow_commit(ram);
	strcpy(guest_ram_ptr(ram, 4 * GIB, 16), "added");
	for (unsigned int i = 0; i < 2; i++)
		fds[i] = dup(guest_ram_region(ram, i)->fd);
	guest_ram_free(ram);
	assert_int_equal(guest_ram_adopt(64 * MIB, NULL, fds, 2, &again, &err), -EINVAL);
	assert_int_equal(guest_ram_adopt(64 * MIB, &growth, fds, 1, &again, &err), -EINVAL);
	assert_int_equal(guest_ram_adopt(64 * MIB, &growth, fds, 2, &again, &err), 0);
	assert_string_equal(guest_ram_ptr(again, 4 * GIB, 16), "added");
	assert_int_equal(guest_ram_added_count(again), 1);
	region = begin(again, SPEC_BLOCK);
	assert_int_equal(region->gpa, 4 * GIB + SPEC_BLOCK);
	guest_ram_grow_commit(again);
	guest_ram_free(again);
}

/* Where the kernel is told that RAM is: also what will be. */
static void test_spans(void **state _unused_)
{
	struct guest_ram *ram = make(64 * MIB, GIB);
	struct ram_span spans[RAM_SPANS_MAX];

	assert_int_equal(guest_ram_spans(ram, spans), 2);
	assert_int_equal(spans[0].size, 64 * MIB);
	assert_int_equal(spans[1].gpa, 4 * GIB);
	assert_int_equal(spans[1].size, GIB);
	begin(ram, SPEC_BLOCK);
	guest_ram_grow_commit(ram);
	assert_ptr_equal(guest_ram_ptr(ram, 4 * GIB, 1), spans[1].hva);
	guest_ram_free(ram);
	ram = make(5 * GIB + 2 * MIB, GIB);
	assert_int_equal(guest_ram_spans(ram, spans), 3);
	assert_int_equal(spans[1].size, 2 * GIB + 2 * MIB);
	assert_int_equal(spans[2].gpa, 8 * GIB);
	guest_ram_free(ram);
}

/* ---- While others look. ---- */

struct watch {
	struct guest_ram *ram;
	atomic_bool stop;
};

/* Whatever it is told of must be there. */
static void *watch_it(void *opaque)
{
	static char no_size[] = "a region without a size", half[] = "half a region";
	struct watch *w = opaque;

	while (!atomic_load(&w->stop)) {
		for (uint64_t gpa = 4 * GIB; gpa < 5 * GIB; gpa += SPEC_BLOCK) {
			uint64_t *p = guest_ram_ptr(w->ram, gpa, sizeof(*p));

			if (p)
				*(volatile uint64_t *)p;
		}
		for (unsigned int i = 0; i < guest_ram_region_count(w->ram); i++) {
			if (guest_ram_region(w->ram, i)->size == 0)
				return no_size;
		}
		if (guest_ram_size(w->ram) % SPEC_BLOCK != 0)
			return half;
	}
	return NULL;
}

static void test_others_look(void **state _unused_)
{
	struct watch w = {.ram = make(SPEC_BLOCK, GIB)};
	void *complaint;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, watch_it, &w), 0);
	for (unsigned int i = 0; i < 8; i++) {
		begin(w.ram, SPEC_BLOCK);
		guest_ram_grow_undo(w.ram);
		begin(w.ram, SPEC_BLOCK);
		guest_ram_grow_commit(w.ram);
	}
	atomic_store(&w.stop, true);
	assert_int_equal(pthread_join(thread, &complaint), 0);
	assert_null(complaint);
	guest_ram_free(w.ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),	    cmocka_unit_test(test_layout_refuses),
		cmocka_unit_test(test_grow),	    cmocka_unit_test(test_grow_touches_the_boot),
		cmocka_unit_test(test_undo),	    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_adopt),	    cmocka_unit_test(test_spans),
		cmocka_unit_test(test_others_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
