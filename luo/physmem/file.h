/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers that read from a file share: a table of pieces of physical memory in it. */
#ifndef HOLDFAST_LUO_PHYSMEM_FILE_H
#define HOLDFAST_LUO_PHYSMEM_FILE_H

#include "luo/physmem/physmem.h"

struct physmem_piece {
	struct physmem_range range;
	uint64_t offset; /* of range.start in the file */
};

/* A reader over the pieces (copied). fd is owned from here on, also on failure. */
int physmem_new_file(int fd, const char *what, const struct physmem_piece *pieces, size_t count,
		     struct physmem **ret, struct error *err);

/* Reads all of it, or -EIO at the end of the file, or what pread(2) says; no message. */
int physmem_pread(int fd, void *buf, size_t len, uint64_t offset);

#define PHYSMEM_IOMEM "/proc/iomem"

/*
 * The ranges that /proc/iomem gives a name ("00100000-bffdffff : System RAM"), at most max. Only
 * whole pages: reading one that is RAM in part through /dev/mem makes the kernel warn in its log
 * (Linux kernel/iomem.c, memremap()). -EPERM: none, as without CAP_SYS_ADMIN, when all addresses
 * read as zero.
 */
int physmem_read_iomem(const char *path, const char *name, struct physmem_piece *pieces, size_t max,
		       size_t *count, struct error *err);

#endif
