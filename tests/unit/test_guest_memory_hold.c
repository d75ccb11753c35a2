/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/guest_memory_hold: pages that are held are not put into a huge page, and then they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/unit/guest_ram_test.h"
#include "vmm/config.h"
#include "vmm/guest_memory_hold.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* madvise(2), since Linux 6.1 */
#endif
#define HUGE   (2 * MIB)
#define NOBODY 65534

/* Small pages with something in them. */
static struct guest_ram *make(uint64_t size)
{
	struct guest_ram *ram = guest_ram_test_create(size);
	const struct guest_memory_region *region = guest_ram_region(ram, 0);

	madvise(region->hva, region->size, MADV_NOHUGEPAGE);
	memset(region->hva, 0x5a, region->size);
	madvise(region->hva, region->size, MADV_HUGEPAGE);
	return ram;
}

/* As khugepaged does, at once (mm/khugepaged.c: both call collapse_file()). */
static bool collapses_at(const struct guest_memory_region *region, uint64_t at)
{
	return madvise((uint8_t *)region->hva + at, HUGE, MADV_COLLAPSE) == 0;
}

static bool collapses(const struct guest_memory_region *region)
{
	return collapses_at(region, 0);
}

static void skip_without_collapse(void)
{
	print_message("this kernel makes no huge page of shared memory when asked to "
		      "(MADV_COLLAPSE)\n");
	skip();
}

static void test_held(void **state _unused_)
{
	struct guest_ram *other = make(VM_MEMORY_MIN), *ram = make(VM_MEMORY_MIN);
	const struct guest_memory_region *region = guest_ram_region(ram, 0);
	struct error err = ERROR_INIT;
	struct ram_hold *hold = NULL;

	if (!collapses(guest_ram_region(other, 0))) {
		guest_ram_free(other);
		guest_ram_free(ram);
		skip_without_collapse();
	}
	assert_int_equal(ram_hold_new(region, 1, &hold, &err), 0);
	assert_false(collapses(region));
	ram_hold_free(hold);
	assert_true(collapses(region));
	assert_int_equal(((const uint8_t *)region->hva)[HUGE - 1], 0x5a);
	guest_ram_free(other);
	guest_ram_free(ram);
}

/* More than is taken at a time (64 MiB), and not a multiple of it: first, middle and last. */
static void test_every_part_is_held(void **state _unused_)
{
	struct guest_ram *ram = make(130 * MIB);
	const struct guest_memory_region *region = guest_ram_region(ram, 0);
	const uint64_t parts[] = {0, 62 * MIB, 64 * MIB, 128 * MIB};
	struct error err = ERROR_INIT;
	struct ram_hold *hold = NULL;
	bool could = true;

	assert_int_equal(ram_hold_new(region, 1, &hold, &err), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++)
		assert_false(collapses_at(region, parts[i]));
	ram_hold_free(hold);
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++)
		could = could && collapses_at(region, parts[i]);
	guest_ram_free(ram);
	if (!could)
		skip_without_collapse();
}

/* In a process that may lock nothing: huge pages are put off, and come back. */
static int held_without_locking(void)
{
	const struct rlimit none = {0};
	struct guest_ram *ram = make(VM_MEMORY_MIN);
	const struct guest_memory_region *region = guest_ram_region(ram, 0);
	struct error err = ERROR_INIT;
	struct ram_hold *hold = NULL;
	bool could = collapses(region);

	if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (geteuid() == 0 && setuid(NOBODY) < 0))
		return 2;
	if (ram_hold_new(region, 1, &hold, &err) < 0)
		return 3;
	/* A VMA of MADV_NOHUGEPAGE is refused with -EINVAL (madvise(2)). */
	if (collapses(region))
		return 4;
	ram_hold_free(hold);
	return collapses(region) == could ? 0 : 5;
}

static void test_without_locking(void **state _unused_)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(held_without_locking());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Several regions at once, and pages that nobody has touched. */
static void test_untouched(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(RAM_LOW_MAX + HUGE);
	struct guest_memory_region small[2];
	struct error err = ERROR_INIT;
	struct ram_hold *hold = NULL;

	for (unsigned int i = 0; i < ARRAY_SIZE(small); i++) {
		small[i] = *guest_ram_region(ram, i);
		small[i].size = HUGE;
	}
	assert_int_equal(ram_hold_new(small, ARRAY_SIZE(small), &hold, &err), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(small); i++) {
		unsigned char there[HUGE / 4096];

		assert_int_equal(mincore(small[i].hva, HUGE, there), 0);
		for (unsigned int page = 0; page < ARRAY_SIZE(there); page++)
			assert_true(there[page] & 1);
	}
	ram_hold_free(hold);
	ram_hold_free(NULL);
	guest_ram_free(ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_every_part_is_held),
		cmocka_unit_test(test_without_locking),
		cmocka_unit_test(test_untouched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
