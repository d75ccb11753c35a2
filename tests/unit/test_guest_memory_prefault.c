/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/guest_memory_prefault: all pages are there, or one error says why not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/unit/guest_ram_test.h"
#include "tests/unit/meminfo_test.h"
#include "vmm/guest_memory_prefault.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* This process may pin nothing. */
static bool unpinnable;

int __real_io_uring_register_buffers(struct io_uring *ring, const struct iovec *buffers,
				     unsigned int count);
int __wrap_io_uring_register_buffers(struct io_uring *ring, const struct iovec *buffers,
				     unsigned int count);

int __wrap_io_uring_register_buffers(struct io_uring *ring, const struct iovec *buffers,
				     unsigned int count)
{
	return unpinnable ? -ENOMEM : __real_io_uring_register_buffers(ring, buffers, count);
}

/* What MADV_POPULATE_WRITE answers from which call on; all else is the kernel's. Threads call it.
 */
static struct {
	int code;
	unsigned int from;
	atomic_uint calls;
	bool once;
} fails;

int __real_madvise(void *at, size_t size, int advice);
int __wrap_madvise(void *at, size_t size, int advice);

int __wrap_madvise(void *at, size_t size, int advice)
{
	unsigned int n = advice == MADV_POPULATE_WRITE ? atomic_fetch_add(&fails.calls, 1) : 0;

	if (advice == MADV_POPULATE_WRITE && fails.code &&
	    (fails.once ? n == fails.from : n >= fails.from)) {
		errno = fails.code;
		return -1;
	}
	return __real_madvise(at, size, advice);
}

static int setup(void **state _unused_)
{
	memset(&fails, 0, sizeof(fails));
	pinnable = 0;
	unpinnable = false;
	return 0;
}

/* The first 130 MiB below the hole and the first 70 above it: no multiples of what a thread takes,
 * and one takes from both. */
static struct guest_ram *two_regions(struct guest_memory_region ret[2])
{
	struct guest_ram *ram = guest_ram_test_create(RAM_LOW_MAX + 70 * MIB);

	ret[0] = *guest_ram_region(ram, 0);
	ret[0].size = 130 * MIB;
	ret[1] = *guest_ram_region(ram, 1);
	return ram;
}

static void test_all_of_it(void **state _unused_)
{
	struct guest_memory_region regions[2];
	struct guest_ram *ram = two_regions(regions);
	struct error err = ERROR_INIT;

	((uint8_t *)regions[0].hva)[5] = 0x5a;
	assert_true(guest_ram_test_there(&regions[0]) < 130 * MIB);
	if (guest_ram_prefault(regions, 2, &err) < 0)
		fail_msg("%s", err.message);
	/* A user may be limited in what he locks (RLIMIT_MEMLOCK). */
	if (geteuid() == 0)
		assert_int_equal(atomic_load(&fails.calls), 0);
	assert_int_equal(guest_ram_test_there(&regions[0]), 130 * MIB);
	assert_int_equal(guest_ram_test_there(&regions[1]), 70 * MIB);
	assert_int_equal(((uint8_t *)regions[0].hva)[5], 0x5a);
	/* Again, with nothing to do. */
	assert_int_equal(guest_ram_prefault(regions, 2, &err), 0);
	assert_int_equal(guest_ram_test_there(&regions[0]) + guest_ram_test_there(&regions[1]),
			 200 * MIB);
	guest_ram_free(ram);
}

/* Then it is made all the same. */
static void test_not_pinned(void **state _unused_)
{
	struct guest_memory_region regions[2];
	struct guest_ram *ram = two_regions(regions);

	unpinnable = true;
	assert_int_equal(guest_ram_prefault(regions, 2, NULL), 0);
	assert_int_equal(guest_ram_test_there(&regions[0]) + guest_ram_test_there(&regions[1]),
			 200 * MIB);
	/* Each part by itself; the one across the border in two. */
	assert_int_equal(atomic_load(&fails.calls), 5);
	guest_ram_free(ram);
}

/* The guest that has it goes on. */
static void test_again(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(70 * MIB);

	pinnable = 1;
	guest_ram_prefault_again(ram);
	assert_int_equal(guest_ram_test_there(guest_ram_region(ram, 0)), 0);
	pinnable = 0;
	guest_ram_prefault_again(ram);
	assert_int_equal(guest_ram_test_there(guest_ram_region(ram, 0)), 70 * MIB);
	guest_ram_free(ram);
}

/* The host is asked before anything is made, and of what is missing only. */
static void test_more_than_the_host_has(void **state _unused_)
{
	struct guest_memory_region regions[2];
	struct guest_ram *ram = two_regions(regions);
	struct error err = ERROR_INIT;

	pinnable = 200 * MIB - 1;
	assert_int_equal(guest_ram_prefault(regions, 2, &err), -ENOMEM);
	assert_non_null(strstr(err.message, "prefault=on"));
	assert_non_null(strstr(err.message, "of 200 MiB more this host has 199 MiB"));
	assert_int_equal(guest_ram_test_there(&regions[0]) + guest_ram_test_there(&regions[1]), 0);
	memset(regions[1].hva, 1, 2 * MIB);
	assert_int_equal(guest_ram_prefault(regions, 2, &err), 0);
	guest_ram_free(ram);
}

static void assert_fails(int code, unsigned int from, int wanted, const char *word)
{
	struct guest_memory_region regions[2];
	struct guest_ram *ram = two_regions(regions);
	struct error err = ERROR_INIT;

	unpinnable = true;
	fails.code = code;
	fails.from = from;
	assert_int_equal(guest_ram_prefault(regions, 2, &err), wanted);
	if (!strstr(err.message, word))
		fail_msg("no '%s' in: %s", word, err.message);
	assert_true(guest_ram_test_there(&regions[0]) + guest_ram_test_there(&regions[1]) <
		    200 * MIB);
	guest_ram_free(ram);
}

static void test_the_host_has_no_more(void **state _unused_)
{
	assert_fails(ENOMEM, 0, -ENOMEM, "leave prefault out");
}

static void test_the_host_has_no_more_in_the_middle(void **state _unused_)
{
	assert_fails(ENOMEM, 2, -ENOMEM, "200 MiB cannot be made");
}

static void test_old_kernel(void **state _unused_)
{
	assert_fails(EINVAL, 0, -EOPNOTSUPP, "Linux 5.14");
}

static void test_tried_again(void **state _unused_)
{
	struct guest_memory_region regions[2];
	struct guest_ram *ram = two_regions(regions);

	unpinnable = true;
	fails.code = EAGAIN;
	fails.from = 1;
	fails.once = true;
	assert_int_equal(guest_ram_prefault(regions, 2, NULL), 0);
	assert_int_equal(guest_ram_test_there(&regions[0]) + guest_ram_test_there(&regions[1]),
			 200 * MIB);
	guest_ram_free(ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all_of_it, setup),
		cmocka_unit_test_setup(test_not_pinned, setup),
		cmocka_unit_test_setup(test_more_than_the_host_has, setup),
		cmocka_unit_test_setup(test_the_host_has_no_more, setup),
		cmocka_unit_test_setup(test_the_host_has_no_more_in_the_middle, setup),
		cmocka_unit_test_setup(test_old_kernel, setup),
		cmocka_unit_test_setup(test_tried_again, setup),
		cmocka_unit_test_setup(test_again, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
