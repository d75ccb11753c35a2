/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/guest_memory_discard: what is given back is gone from the host and reads as zeroes; nothing
 * beside it is touched, and nothing that is not guest RAM is accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/util.h"
#include "tests/unit/guest_ram_test.h"

#define PAGE 4096ULL

/* Bytes that the host has in the region's file. */
static uint64_t held(const struct guest_ram *ram, unsigned int region)
{
	struct stat st;

	assert_int_equal(fstat(guest_ram_region(ram, region)->fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void fill(const struct guest_ram *ram, uint64_t gpa, uint64_t len)
{
	memset(guest_ram_ptr(ram, gpa, len), 0x5a, len);
}

static void assert_bytes(const struct guest_ram *ram, uint64_t gpa, uint64_t len, uint8_t value)
{
	const uint8_t *bytes = guest_ram_ptr(ram, gpa, len);

	for (uint64_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], value);
}

static void test_pages_go_back(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(32 * MIB);
	struct guest_discard view = guest_ram_discarder(ram);
	uint64_t before;

	/* All of a huge page, and one small page out of the middle of another. */
	fill(ram, 0, 8 * MIB);
	before = held(ram, 0);
	assert_true(before >= 8 * MIB);
	assert_int_equal(guest_ram_discard(ram, 2 * MIB, 2 * MIB), 0);
	assert_int_equal(held(ram, 0), before - 2 * MIB);
	assert_int_equal(view.discard(view.opaque, 5 * MIB, PAGE), 0);
	assert_int_equal(held(ram, 0), before - 2 * MIB - PAGE);
	assert_bytes(ram, 0, 2 * MIB, 0x5a);
	assert_bytes(ram, 4 * MIB, MIB, 0x5a);
	assert_bytes(ram, 5 * MIB + PAGE, 3 * MIB - PAGE, 0x5a);
	/* Last: a page of shared memory is made by reading, too. */
	assert_bytes(ram, 2 * MIB, 2 * MIB, 0);
	assert_bytes(ram, 5 * MIB, PAGE, 0);
	/* Once more, where nothing is; the size stays; it can be used again. */
	assert_int_equal(guest_ram_discard(ram, 0, 32 * MIB), 0);
	assert_int_equal(guest_ram_discard(ram, 0, 32 * MIB), 0);
	assert_int_equal(held(ram, 0), 0);
	fill(ram, 32 * MIB - PAGE, PAGE);
	assert_true(held(ram, 0) > 0);
	assert_bytes(ram, 32 * MIB - PAGE, PAGE, 0x5a);
	guest_ram_free(ram);
}

static void test_refuses(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(5 * GIB);
	static const struct {
		uint64_t gpa, len;
		int result;
	} cases[] = {
		{0, 0, -EINVAL},
		{0, PAGE - 1, -EINVAL},
		{1, PAGE, -EINVAL},
		{PAGE / 2, PAGE, -EINVAL},
		{3 * GIB, PAGE, -EFAULT},		   /* in the hole */
		{3 * GIB - PAGE, 2 * PAGE, -EFAULT},	   /* into it */
		{3 * GIB - PAGE, GIB + 2 * PAGE, -EFAULT}, /* across it */
		{6 * GIB, PAGE, -EFAULT},
		{6 * GIB - PAGE, 2 * PAGE, -EFAULT},
		{0, UINT64_MAX - PAGE + 1, -EFAULT},
		{PAGE, UINT64_MAX - PAGE + 1, -EFAULT}, /* the sum wraps to 0 */
		{UINT64_MAX - PAGE + 1, PAGE, -EFAULT},
	};

	fill(ram, 0, PAGE);
	fill(ram, 3 * GIB - PAGE, PAGE);
	fill(ram, 4 * GIB, PAGE);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(guest_ram_discard(ram, cases[i].gpa, cases[i].len),
				 cases[i].result);
	assert_bytes(ram, 0, PAGE, 0x5a);
	assert_bytes(ram, 3 * GIB - PAGE, PAGE, 0x5a);
	assert_bytes(ram, 4 * GIB, PAGE, 0x5a);
	guest_ram_free(ram);
}

/* A range across the border of two memfds. */
static void test_across_regions(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(516 * GIB);
	uint64_t border = guest_ram_region(ram, 2)->gpa;

	fill(ram, border - 2 * PAGE, 4 * PAGE);
	assert_int_equal(guest_ram_discard(ram, border - PAGE, 2 * PAGE), 0);
	assert_bytes(ram, border - 2 * PAGE, PAGE, 0x5a);
	assert_bytes(ram, border - PAGE, 2 * PAGE, 0);
	assert_bytes(ram, border + PAGE, PAGE, 0x5a);
	/* From the first byte to the last. */
	assert_int_equal(guest_ram_discard(ram, 4 * GIB, guest_ram_end(ram) - 4 * GIB), 0);
	assert_int_equal(held(ram, 1), 0);
	assert_int_equal(held(ram, 2), 0);
	guest_ram_free(ram);
}

/* As the kernel refuses it while the file is preserved: told, and the pages are there. */
static void test_kernel_refuses(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(32 * MIB);
	const struct guest_memory_region *region = guest_ram_region(ram, 0);

	fill(ram, 0, PAGE);
	assert_int_equal(fcntl(region->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	assert_int_equal(guest_ram_discard(ram, 0, PAGE), -EPERM);
	assert_bytes(ram, 0, PAGE, 0x5a);
	guest_ram_free(ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_go_back),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_across_regions),
		cmocka_unit_test(test_kernel_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
