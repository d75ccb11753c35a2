/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical memory of a host, whatever it is read from: a dump file, /proc/kcore, /dev/mem, or bytes
 * in memory. Addresses are physical, in bytes. A reader is used by one thread at a time.
 *
 * What is read was written by a kernel that may be broken, or by somebody who made up a dump: the
 * reader only promises that an address outside every range is refused.
 */
#ifndef HOLDFAST_LUO_PHYSMEM_H
#define HOLDFAST_LUO_PHYSMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* start + size does not overflow; size is not 0. */
struct physmem_range {
	uint64_t start;
	uint64_t size;
};

struct physmem_ops {
	/* [pa, pa + len) lies in one range already. 0, or a negative errno with a message. */
	int (*read)(void *ctx, uint64_t pa, void *buf, size_t len, struct error *err);
	void (*free)(void *ctx); /* may be NULL */
};

struct physmem {
	const struct physmem_ops *ops;
	void *ctx;
	char *what; /* "/x/y", "/proc/kcore": for messages; owned */
	/* Sorted by start, without overlaps; owned. */
	struct physmem_range *ranges;
	size_t range_count;
};

/*
 * All or nothing: -EFAULT with a message when any byte lies outside every range. A read may cross
 * from one range into the next where they touch.
 */
int physmem_read(const struct physmem *mem, uint64_t pa, void *buf, size_t len, struct error *err);
bool physmem_contains(const struct physmem *mem, uint64_t pa, uint64_t len);
/* Bytes in all ranges together: no honest structure describes more than this. */
uint64_t physmem_size(const struct physmem *mem);
void physmem_free(struct physmem *mem); /* NULL is fine */

static inline void physmem_freep(struct physmem **mem)
{
	physmem_free(*mem);
}

#define _cleanup_physmem_ __attribute__((cleanup(physmem_freep)))

/* The bytes [data, data + size) as memory at base. data is borrowed. */
int physmem_open_buffer(uint64_t base, const void *data, size_t size, struct physmem **ret,
			struct error *err);
/* A file whose offset is the physical address (QEMU's pmemsave from 0). */
int physmem_open_raw(const char *path, struct physmem **ret, struct error *err);
/*
 * An ELF-64 little-endian core whose PT_LOAD segments carry physical addresses (QEMU's
 * dump-guest-memory, kdump's vmcore). ELF-64 Object File Format, "Program Header".
 */
int physmem_open_elf(const char *path, struct physmem **ret, struct error *err);
/* The live host through /proc/kcore: the segments of the direct map. Needs CAP_SYS_RAWIO. */
int physmem_open_kcore(const char *path, struct physmem **ret, struct error *err);
/* The live host through /dev/mem, ranges from /proc/iomem; CONFIG_STRICT_DEVMEM refuses RAM. */
int physmem_open_devmem(struct physmem **ret, struct error *err);
/* "kcore", "mem", or a file: ELF core or raw, told apart by its first bytes. */
int physmem_open(const char *from, struct physmem **ret, struct error *err);

#define PHYSMEM_KCORE "/proc/kcore"

/* ---- For readers. ---- */

/* Takes ranges in any order; sorts them, drops empty ones. -EINVAL: one overflows or two overlap.
 */
int physmem_new(const struct physmem_ops *ops, void *ctx, const char *what,
		const struct physmem_range *ranges, size_t count, struct physmem **ret,
		struct error *err);

#endif
