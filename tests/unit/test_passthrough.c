/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/passthrough on a kernel that is played: RAM that is added is in every address space that
 * there is, or in none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/iommufd.h>

#include "base/util.h"
#include "tests/unit/fake_vfio.h"
#include "vmm/passthrough.h"
#include "vmm/passthrough_preserve.h"

#define PIECE (128 * MIB)

static struct {
	struct guest_ram *ram;
	struct passthrough *p;
	struct kept_devices kept;
	const struct guest_memory_region *region;
} t;

static int setup(void **state _unused_)
{
	const struct ram_growth growth = {.max = GIB};

	fake_vfio_begin();
	assert_int_equal(guest_ram_create(64 * MIB, &growth, &t.ram, NULL), 0);
	t.p = passthrough_new(t.ram);
	/* Stands for /dev/iommu. */
	kept_devices_init(&t.kept);
	for (unsigned int i = 0; i < PASSTHROUGH_SPACES; i++)
		t.kept.spaces[i].iommufd = open("/dev/null", O_RDWR | O_CLOEXEC);
	passthrough_adopt(t.p, &t.kept);
	assert_int_equal(guest_ram_grow_begin(t.ram, PIECE, &t.region, NULL), 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	passthrough_free(t.p);
	kept_devices_done(&t.kept);
	guest_ram_free(t.ram);
	fake_vfio_end();
	return 0;
}

static void get_spaces(unsigned int count)
{
	struct iommufd *io;

	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(passthrough_get(t.p, (enum passthrough_space)i, &io, NULL), 0);
	fake_vfio.maps_by_file = 0;
}

static void test_no_device(void **state _unused_)
{
	assert_int_equal(passthrough_add_ram(t.p, t.region, NULL), 0);
	assert_int_equal(fake_vfio.maps_by_file, 0);
	passthrough_remove_ram(t.p, t.region);
	assert_int_equal(fake_vfio.unmaps, 0);
	/* A device that comes later has it with the rest. */
	guest_ram_grow_commit(t.ram);
	assert_int_equal(passthrough_get(t.p, PASSTHROUGH_OTHERS, &(struct iommufd *){NULL}, NULL),
			 0);
	assert_int_equal(fake_vfio.maps_by_file, 2);
	assert_int_equal(fake_vfio.last_iova, 4 * GIB);
	assert_int_equal(fake_vfio.last_length, PIECE);
}

static void test_added(void **state _unused_)
{
	get_spaces(2);
	assert_int_equal(passthrough_add_ram(t.p, t.region, NULL), 0);
	assert_int_equal(fake_vfio.maps_by_file, 2);
	assert_int_equal(fake_vfio.last_iova, 4 * GIB);
	assert_int_equal(fake_vfio.last_length, PIECE);
	assert_true(passthrough_is_by_file(t.p, PASSTHROUGH_PRESERVED));
	passthrough_remove_ram(t.p, t.region);
	assert_int_equal(fake_vfio.unmaps, 2);
}

/* after: how many of the mappings succeed before. */
static void fails(unsigned int after, int code)
{
	fake_vfio.fails.request = IOMMU_IOAS_MAP_FILE;
	fake_vfio.fails.code = code;
	fake_vfio.fails.after = after;
}

static void test_undone(void **state _unused_)
{
	struct error err = ERROR_INIT;

	get_spaces(2);
	fails(0, ENOMEM);
	assert_int_equal(passthrough_add_ram(t.p, t.region, &err), -ENOMEM);
	assert_int_equal(fake_vfio.unmaps, 0);
	assert_non_null(strstr(err.message, "memory for devices of the host: "));
	assert_non_null(strstr(err.message, "128 MiB"));
	assert_non_null(strstr(err.message, "0x100000000"));
	fails(1, ENOMEM);
	assert_int_equal(passthrough_add_ram(t.p, t.region, NULL), -ENOMEM);
	assert_int_equal(fake_vfio.maps_by_file, 1);
	assert_int_equal(fake_vfio.unmaps, 1);
}

/* More than any host has: told before anything is mapped, if a device needs all of it. */
static void test_too_much(void **state _unused_)
{
	const struct guest_memory_region huge = {.gpa = 4 * GIB, .size = 1ULL << 50, .fd = -1};
	struct error err = ERROR_INIT;

	assert_int_equal(passthrough_add_ram(t.p, &huge, &err), 0);
	get_spaces(1);
	assert_int_equal(passthrough_add_ram(t.p, &huge, &err), -ENOMEM);
	assert_non_null(strstr(err.message, "this host has"));
	assert_int_equal(fake_vfio.maps_by_file, 0);
}

/* A range that no device may use, as interrupts' and RMRRs'. */
static void test_reserved(void **state _unused_)
{
	struct error err = ERROR_INIT;

	get_spaces(1);
	fake_vfio.range_count = 1;
	fake_vfio.ranges[0].start = 0;
	fake_vfio.ranges[0].last = 4 * GIB + PIECE - 2;
	assert_int_equal(passthrough_add_ram(t.p, t.region, &err), -ERANGE);
	assert_int_equal(fake_vfio.maps_by_file, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_added, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_much, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reserved, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
