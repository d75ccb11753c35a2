/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM: one memfd per region, MAP_SHARED, transparent huge pages asked for before the first
 * touch. Made so that LUO can preserve it: MFD_EXEC | MFD_ALLOW_SEALING, sealed SHRINK | GROW
 * (docs/decisions/ says why), no region of 1 TiB or more. On a resume the same regions are mapped
 * from the memfds that LUO gave back.
 *
 * RAM can be added while the guest runs, each time one region more, above all others. The address
 * space for all that may come is kept free from the start, in this process as in the guest's: what
 * is there never moves, so that pointers stay good, and the regions that there are only grow in
 * number, which readers on other threads see at once or a moment later.
 */
#ifndef HOLDFAST_VMM_GUEST_MEMORY_H
#define HOLDFAST_VMM_GUEST_MEMORY_H

#include <stdint.h>

#include "base/error.h"
#include "devices/attach.h"

/* RAM below the hole ends here at the latest; the rest starts at 4 GiB. */
#define RAM_LOW_MAX    0xc0000000ULL
#define RAM_HIGH_START 0x100000000ULL
/* A memfd of 1 TiB or more cannot be preserved (per-page array of the kernel's memfd handler). */
#define RAM_REGION_MAX (512ULL << 30)
/* What can be added is a multiple of this: the size of a memory block of x86 Linux. */
#define RAM_ADD_ALIGN (128ULL << 20)
/* Where it begins is a multiple of this: memory blocks of guests with 64 GiB and more are that
 * large. */
#define RAM_ADD_START_ALIGN (2ULL << 30)
/* How often between two boots. */
#define RAM_ADDED_MAX	8
#define RAM_REGIONS_MAX (10 + RAM_ADDED_MAX)

struct guest_memory_region {
	uint64_t gpa;
	uint64_t size; /* bytes */
	void *hva;     /* aligned to 2 MiB */
	int fd;	       /* owned by the guest memory */
};

/* What has been and can be added to the RAM of the boot. All zero: nothing can. */
struct ram_growth {
	uint64_t max;	    /* bytes that can be added in all, a multiple of RAM_ADD_ALIGN */
	unsigned int count; /* of those that were */
	uint64_t sizes[RAM_ADDED_MAX]; /* of each, in their order; multiples of RAM_ADD_ALIGN */
};

/* All that was added, bytes. */
static inline uint64_t ram_growth_sum(const struct ram_growth *growth)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < growth->count; i++)
		sum += growth->sizes[i];
	return sum;
}

/* Regions by guest address; the layout depends on size and growth alone, on every version. */
struct guest_memory_layout {
	unsigned int count, boot_count; /* the rest were added */
	struct {
		uint64_t gpa, size;
	} regions[RAM_REGIONS_MAX];
	uint64_t grow_start, grow_end; /* guest addresses of what can be added */
};

struct guest_ram;

/* size: of the RAM of the boot. Bytes, a multiple of 2 MiB, VM_MEMORY_MIN to VM_MEMORY_MAX, with
 * growth->max. growth NULL, here and below: nothing can be added. */
int guest_memory_layout(uint64_t size, const struct ram_growth *growth,
			struct guest_memory_layout *ret, struct error *err);

/* Fresh, zeroed RAM. -ENOMEM says how much was asked for. -EPERM: vm.memfd_noexec=2, with the way
 * out. */
int guest_ram_create(uint64_t size, const struct ram_growth *growth, struct guest_ram **ret,
		     struct error *err);

/*
 * RAM from preserved memfds, one per region in order; takes the descriptors only on success (they
 * are FD_NONE then). -EINVAL: wrong number or size; -EPERM: one came back sealed against writing;
 * -EBADF: not a memfd.
 */
int guest_ram_adopt(uint64_t size, const struct ram_growth *growth, int *fds, unsigned int count,
		    struct guest_ram **ret, struct error *err);

void guest_ram_free(struct guest_ram *ram); /* NULL is fine */

/* All that there is, bytes. Any thread, as the next two. */
uint64_t guest_ram_size(const struct guest_ram *ram);
unsigned int guest_ram_region_count(const struct guest_ram *ram);
/* That one, and the others after it in an array; borrowed, and stays where it is. */
const struct guest_memory_region *guest_ram_region(const struct guest_ram *ram, unsigned int index);
/* The first address above all RAM that there is and that can be added. */
uint64_t guest_ram_end(const struct guest_ram *ram);
/* Where what is added goes, the same if nothing can be; how much may still come, bytes. */
uint64_t guest_ram_grow_start(const struct guest_ram *ram);
uint64_t guest_ram_grow_end(const struct guest_ram *ram);
uint64_t guest_ram_grow_left(const struct guest_ram *ram);
/* How many regions were added: the last ones. */
unsigned int guest_ram_added_count(const struct guest_ram *ram);

/*
 * guest_memory_grow.c, one thread at a time. The next region, size bytes: made and mapped, but in
 * no list and with no address that guest_ram_ptr() knows. -EINVAL: size is no multiple of
 * RAM_ADD_ALIGN. -ERANGE: more than is left, or it was done RAM_ADDED_MAX times. Else as
 * guest_ram_create(). What *ret points to is filled in, and stays where it is.
 */
int guest_ram_grow_begin(struct guest_ram *ram, uint64_t size,
			 const struct guest_memory_region **ret, struct error *err);
/* From here on it is a region like any other. Cannot fail. */
void guest_ram_grow_commit(struct guest_ram *ram);
/* As if it had never begun. */
void guest_ram_grow_undo(struct guest_ram *ram);

/*
 * Where this process has guest RAM, and where it will have what is added: for a kernel thread that
 * is told once. In the latter is nothing until then, so that it finds no memory there.
 */
#define RAM_SPANS_MAX 3
struct ram_span {
	uint64_t gpa, size;
	void *hva;
};
unsigned int guest_ram_spans(const struct guest_ram *ram, struct ram_span ret[RAM_SPANS_MAX]);

/*
 * The one function that turns a guest address into a pointer; see struct guest_memory. A piece is
 * all RAM below the hole or all above it: regions that touch are mapped side by side, so that a
 * buffer across the border of two memfds is as good as any other. Any thread.
 */
void *guest_ram_ptr(const struct guest_ram *ram, uint64_t gpa, uint64_t len);

/* What devices are given. */
struct guest_memory guest_ram_view(struct guest_ram *ram);

/*
 * guest_memory_discard.c. Punches holes into the memfds, see struct guest_discard: whoever reads
 * there next finds zeroes, be it the guest, this process or a kernel thread. Not for RAM that a
 * device was told to use by its physical address (VFIO).
 */
int guest_ram_discard(const struct guest_ram *ram, uint64_t gpa, uint64_t len);
/* What devices are given. */
struct guest_discard guest_ram_discarder(struct guest_ram *ram);

/* Copies with bounds check. -EFAULT: not all of it is RAM, nothing was copied. len 0 is 0. Any
 * thread. */
int guest_ram_write(const struct guest_ram *ram, uint64_t gpa, const void *data, uint64_t len);
int guest_ram_read(const struct guest_ram *ram, uint64_t gpa, void *data, uint64_t len);

#endif
