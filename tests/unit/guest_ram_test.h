/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM for tests. */
#ifndef HOLDFAST_TESTS_UNIT_GUEST_RAM_TEST_H
#define HOLDFAST_TESTS_UNIT_GUEST_RAM_TEST_H

#include <sys/stat.h>

#include "vmm/guest_memory.h"

/* Of that many bytes; the test fails if there is none. */
static inline struct guest_ram *guest_ram_test_create(uint64_t size)
{
	struct error err = ERROR_INIT;
	struct guest_ram *ram = NULL;

	if (guest_ram_create(size, NULL, &ram, &err) < 0)
		fail_msg("%s", err.message);
	return ram;
}

/* Bytes of its pages that have been made. */
static inline uint64_t guest_ram_test_there(const struct guest_memory_region *region)
{
	struct stat st;

	assert_int_equal(fstat(region->fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

#endif
