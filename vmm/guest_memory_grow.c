/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM that is added to a guest that runs. */
#include <inttypes.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/guest_memory_fd.h"
#include "vmm/guest_memory_impl.h"

uint64_t guest_ram_grow_start(const struct guest_ram *ram)
{
	return ram->grow_start;
}

uint64_t guest_ram_grow_end(const struct guest_ram *ram)
{
	return ram->grow_end;
}

unsigned int guest_ram_added_count(const struct guest_ram *ram)
{
	return guest_ram_region_count(ram) - ram->boot_count;
}

/* The address of the next region that is added. */
static uint64_t next_gpa(const struct guest_ram *ram)
{
	const struct guest_memory_region *last =
		guest_ram_region(ram, guest_ram_region_count(ram) - 1);

	return guest_ram_added_count(ram) ? last->gpa + last->size : ram->grow_start;
}

uint64_t guest_ram_grow_left(const struct guest_ram *ram)
{
	return ram->grow_end - next_gpa(ram);
}

static int check_size(const struct guest_ram *ram, uint64_t size, struct error *err)
{
	uint64_t left = guest_ram_grow_left(ram);

	if (size == 0 || size % RAM_ADD_ALIGN)
		return error_set(err, -EINVAL,
				 "memory: %" PRIu64 " bytes cannot be added, only multiples of "
				 "128 MiB",
				 size);
	if (size > left)
		return error_set(err, -ERANGE,
				 "memory: %llu MiB cannot be added, %llu MiB are left of the "
				 "hotplug_size that the VM was started with",
				 size / MIB, left / MIB);
	if (size > RAM_REGION_MAX)
		return error_set(
			err, -ERANGE,
			"memory: %llu GiB are added at once at most: do it in several steps",
			RAM_REGION_MAX / GIB);
	if (guest_ram_added_count(ram) == RAM_ADDED_MAX)
		return error_set(err, -ERANGE,
				 "memory was added %d times, which is all that is possible until "
				 "the guest is rebooted",
				 RAM_ADDED_MAX);
	return 0;
}

int guest_ram_grow_begin(struct guest_ram *ram, uint64_t size,
			 const struct guest_memory_region **ret, struct error *err)
{
	unsigned int index = guest_ram_region_count(ram);
	struct guest_memory_region *region;
	int r = check_size(ram, size, err);

	if (r < 0)
		return r;
	region = &ram->regions[index];
	*region = (struct guest_memory_region){.gpa = next_gpa(ram), .size = size, .fd = FD_NONE};
	r = ram_fd_create(memfd_create, index, size, &region->fd, err);
	if (r == 0)
		r = ram_map_region(ram, region, region->fd, err);
	if (r < 0) {
		guest_ram_grow_undo(ram);
		return r;
	}
	*ret = region;
	return 0;
}

void guest_ram_grow_commit(struct guest_ram *ram)
{
	ram_show_region(ram, guest_ram_region_count(ram));
}

void guest_ram_grow_undo(struct guest_ram *ram)
{
	struct guest_memory_region *region = &ram->regions[guest_ram_region_count(ram)];
	const struct ram_piece *piece = ram_piece_of(ram, region->gpa);

	/* The address space stays ours, and empty. */
	if (mmap(piece->hva + (region->gpa - piece->gpa), region->size, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		log_error("guest RAM at 0x%" PRIx64 ": cannot be taken out of this process",
			  region->gpa);
	close_fdp(&region->fd);
	*region = (struct guest_memory_region){.fd = FD_NONE};
}

unsigned int guest_ram_spans(const struct guest_ram *ram, struct ram_span ret[RAM_SPANS_MAX])
{
	for (unsigned int i = 0; i < ram->piece_count; i++)
		ret[i] = (struct ram_span){ram->pieces[i].gpa, ram->pieces[i].room,
					   ram->pieces[i].hva};
	return ram->piece_count;
}
