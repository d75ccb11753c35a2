/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of guest RAM share. For guest_memory*.c only. */
#ifndef HOLDFAST_VMM_GUEST_MEMORY_IMPL_H
#define HOLDFAST_VMM_GUEST_MEMORY_IMPL_H

#include <stdatomic.h>
#include <sys/mman.h>

#include "vmm/guest_memory.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* linux/mman.h since 5.14 */
#endif

/*
 * Regions that touch each other in the guest are mapped side by side, so that a buffer across the
 * border of two memfds is still one piece: below the hole, above it, and, where it does not touch
 * that, what is added.
 */
struct ram_piece {
	uint64_t gpa;
	uint64_t room;	       /* bytes of address space that are ours */
	_Atomic uint64_t size; /* of RAM in it: grows, with RAM that is mapped */
	uint8_t *hva;	       /* NULL until mapped */
};

struct guest_ram {
	unsigned int boot_count; /* of the regions; the rest were added */
	uint64_t grow_start, grow_end;
	atomic_uint region_count; /* grows, with regions that are filled in */
	unsigned int piece_count;
	struct guest_memory_region regions[RAM_REGIONS_MAX];
	struct ram_piece pieces[RAM_SPANS_MAX];
};

/* The piece in which that address is, or will be. */
struct ram_piece *ram_piece_of(struct guest_ram *ram, uint64_t gpa);
/* Puts a memfd in its place inside its piece, seen by nobody yet. */
int ram_map_region(struct guest_ram *ram, struct guest_memory_region *region, int fd,
		   struct error *err);
/* The next region is one of those that there are. */
void ram_show_region(struct guest_ram *ram, unsigned int index);

#endif
