/* SPDX-License-Identifier: Apache-2.0 */
/* devices/memory_hotplug: what the DSDT's methods read and write, and the state. */
#include "devices/memory_hotplug.h"
#include "tests/unit/device_test.h"

#define SPEC_SLOTS 8

struct fixture {
	struct memory_hotplug *hotplug;
	unsigned int raised;
	uint32_t added; /* what the OS would read in the event */
};

static uint32_t get(struct fixture *f, unsigned int offset)
{
	return (uint32_t)memory_hotplug_io_ops.read(f->hotplug, offset, 4);
}

static void put(struct fixture *f, unsigned int offset, uint32_t value)
{
	memory_hotplug_io_ops.write(f->hotplug, offset, value, 4);
}

/* No lock is held: the OS may look at once. */
static void on_raise(void *opaque)
{
	struct fixture *f = opaque;

	f->raised++;
	f->added = get(f, 256);
}

static void make(struct fixture *f)
{
	const struct memory_hotplug_params params = {on_raise, f};

	*f = (struct fixture){0};
	assert_int_equal(memory_hotplug_new(&params, &f->hotplug, NULL), 0);
}

static void assert_slot(struct fixture *f, unsigned int slot, uint64_t first, uint64_t size)
{
	uint64_t last = size ? first + size - 1 : 0;

	assert_int_equal(get(f, slot * 32), (uint32_t)first);
	assert_int_equal(get(f, slot * 32 + 4), first >> 32);
	assert_int_equal(get(f, slot * 32 + 8), (uint32_t)last);
	assert_int_equal(get(f, slot * 32 + 12), last >> 32);
	assert_int_equal(get(f, slot * 32 + 16), (uint32_t)size);
	assert_int_equal(get(f, slot * 32 + 20), size >> 32);
	assert_int_equal(get(f, slot * 32 + 24), 0);
	assert_int_equal(get(f, slot * 32 + 28), 0);
}

static void test_told_and_cleared(void **state _unused_)
{
	struct fixture f;

	make(&f);
	for (unsigned int slot = 0; slot < SPEC_SLOTS; slot++)
		assert_slot(&f, slot, 0, 0);
	memory_hotplug_put(f.hotplug, 4 * GIB, 128 * MIB);
	assert_int_equal(f.raised, 0);
	assert_int_equal(get(&f, 256), 0);
	assert_slot(&f, 0, 4 * GIB, 128 * MIB);
	memory_hotplug_add(f.hotplug, 4 * GIB + 128 * MIB, 512 * GIB);
	assert_int_equal(f.raised, 1);
	assert_int_equal(f.added, 1 << 1);
	assert_slot(&f, 1, 4 * GIB + 128 * MIB, 512 * GIB);
	assert_slot(&f, 2, 0, 0);
	memory_hotplug_add(f.hotplug, 600 * GIB, 128 * MIB);
	assert_int_equal(get(&f, 256), 3 << 1);
	/* What came after the OS has looked stays. */
	put(&f, 256, 1U << 1);
	assert_int_equal(get(&f, 256), 1 << 2);
	put(&f, 256, 1U << 2 | 1U << 20);
	assert_int_equal(get(&f, 256), 0);
	/* What is there cannot be written. */
	put(&f, 0, 0x1234);
	put(&f, 16, 0);
	assert_slot(&f, 0, 4 * GIB, 128 * MIB);
	memory_hotplug_free(f.hotplug);
}

/* The DSDT's fields have DWordAcc. */
static void test_other_widths_do_nothing(void **state _unused_)
{
	struct fixture f;

	make(&f);
	memory_hotplug_add(f.hotplug, 4 * GIB, 128 * MIB);
	for (unsigned int size = 1; size <= 8; size *= 2) {
		if (size == 4)
			continue;
		memory_hotplug_io_ops.write(f.hotplug, 256, UINT32_MAX, size);
		assert_int_equal(memory_hotplug_io_ops.read(f.hotplug, 256, size), 0);
		assert_int_equal(memory_hotplug_io_ops.read(f.hotplug, 4, size), 0);
	}
	assert_int_equal(memory_hotplug_io_ops.read(f.hotplug, 2, 4), 0);
	assert_int_equal(get(&f, 256), 1);
	memory_hotplug_free(f.hotplug);
}

static void test_state(void **state _unused_)
{
	struct fixture f, other;

	make(&f);
	make(&other);
	assert_round_trip(&memory_hotplug_state_ops, f.hotplug, other.hotplug);
	memory_hotplug_add(f.hotplug, 4 * GIB, 128 * MIB);
	memory_hotplug_add(f.hotplug, 5 * GIB, 128 * MIB);
	put(&f, 256, 1);
	/* The other one was built from the same configuration. */
	memory_hotplug_put(other.hotplug, 4 * GIB, 128 * MIB);
	memory_hotplug_put(other.hotplug, 5 * GIB, 128 * MIB);
	assert_round_trip(&memory_hotplug_state_ops, f.hotplug, other.hotplug);
	assert_int_equal(get(&other, 256), 1 << 1);
	assert_slot(&other, 1, 5 * GIB, 128 * MIB);
	assert_structure_is_checked(&memory_hotplug_state_ops, f.hotplug, "");
	assert_refuses_u32(&memory_hotplug_state_ops, f.hotplug, "added", 1 << 2);
	assert_refuses_u32(&memory_hotplug_state_ops, f.hotplug, "added", UINT32_MAX);
	memory_hotplug_free(f.hotplug);
	memory_hotplug_free(other.hotplug);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told_and_cleared),
		cmocka_unit_test(test_other_widths_do_nothing),
		cmocka_unit_test(test_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
