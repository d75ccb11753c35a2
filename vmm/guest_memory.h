/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM: one memfd per region, MAP_SHARED, transparent huge pages asked for before the first
 * touch. Made so that LUO can preserve it: MFD_EXEC | MFD_ALLOW_SEALING, sealed SHRINK | GROW
 * (docs/decisions/ says why), no region of 1 TiB or more. On a resume the same regions are mapped
 * from the memfds that LUO gave back.
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
#define RAM_REGION_MAX	(512ULL << 30)
#define RAM_REGIONS_MAX 10

struct guest_memory_region {
	uint64_t gpa;
	uint64_t size; /* bytes */
	void *hva;     /* aligned to 2 MiB */
	int fd;	       /* owned by the guest memory */
};

/* Regions by guest address; the layout depends on size alone, on every version. */
struct guest_memory_layout {
	unsigned int count;
	struct {
		uint64_t gpa, size;
	} regions[RAM_REGIONS_MAX];
};

struct guest_ram;

/* size: bytes, a multiple of 2 MiB, VM_MEMORY_MIN to VM_MEMORY_MAX. */
int guest_memory_layout(uint64_t size, struct guest_memory_layout *ret, struct error *err);

/* Fresh, zeroed RAM. -ENOMEM says how much was asked for. -EPERM: vm.memfd_noexec=2, with the way
 * out. */
int guest_ram_create(uint64_t size, struct guest_ram **ret, struct error *err);

/*
 * RAM from preserved memfds, one per region in order; takes the descriptors only on success (they
 * are FD_NONE then). -EINVAL: wrong number or size; -EPERM: one came back sealed against writing;
 * -EBADF: not a memfd.
 */
int guest_ram_adopt(uint64_t size, int *fds, unsigned int count, struct guest_ram **ret,
		    struct error *err);

void guest_ram_free(struct guest_ram *ram); /* NULL is fine */

uint64_t guest_ram_size(const struct guest_ram *ram);
unsigned int guest_ram_region_count(const struct guest_ram *ram);
const struct guest_memory_region *guest_ram_region(const struct guest_ram *ram, unsigned int index);
/* The first address above the highest region. */
uint64_t guest_ram_end(const struct guest_ram *ram);

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
