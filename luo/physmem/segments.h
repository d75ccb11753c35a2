/* SPDX-License-Identifier: Apache-2.0 */
/* The PT_LOAD segments of an ELF core, for dumps and for /proc/kcore. */
#ifndef HOLDFAST_LUO_PHYSMEM_SEGMENTS_H
#define HOLDFAST_LUO_PHYSMEM_SEGMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct elf_segment {
	uint64_t vaddr;
	uint64_t paddr;
	uint64_t offset;
	uint64_t size; /* bytes in the file */
};

/* More segments than any memory map has. */
#define ELF_SEGMENTS_MAX 1000000U

/*
 * Reads the segments of an ELF-64 little-endian core, at most ELF_SEGMENTS_MAX. *ret is owned by
 * the caller. -ENOEXEC: no such core.
 */
int elf_read_segments(int fd, const char *what, struct elf_segment **ret, size_t *ret_count,
		      struct error *err);

#endif
