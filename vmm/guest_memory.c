/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/config.h"
#include "vmm/guest_memory.h"
#include "vmm/guest_memory_fd.h"

#define HUGE_PAGE (2 * MIB)

/*
 * Regions that touch each other in the guest are mapped side by side, so that a buffer across the
 * border of two memfds is still one piece. There are two: below the hole and above it.
 */
struct ram_piece {
	uint64_t gpa;
	uint64_t size;
	uint8_t *hva; /* NULL until mapped */
};

struct guest_ram {
	uint64_t size;
	unsigned int region_count;
	unsigned int piece_count;
	struct guest_memory_region regions[RAM_REGIONS_MAX];
	struct ram_piece pieces[2];
};

static void layout_add(struct guest_memory_layout *layout, uint64_t gpa, uint64_t size)
{
	layout->regions[layout->count].gpa = gpa;
	layout->regions[layout->count].size = size;
	layout->count++;
}

int guest_memory_layout(uint64_t size, struct guest_memory_layout *ret, struct error *err)
{
	struct guest_memory_layout layout = {0};
	uint64_t high, gpa = RAM_HIGH_START;

	if (size < VM_MEMORY_MIN || size > VM_MEMORY_MAX || size % HUGE_PAGE != 0)
		return error_set(
			err, -EINVAL,
			"guest RAM of %" PRIu64
			" bytes: must be a multiple of 2 MiB between %llu MiB and %llu GiB",
			size, VM_MEMORY_MIN / MIB, VM_MEMORY_MAX / GIB);

	layout_add(&layout, 0, MIN_OF(size, RAM_LOW_MAX));
	for (high = size - layout.regions[0].size; high > 0;) {
		uint64_t part = MIN_OF(high, RAM_REGION_MAX);

		layout_add(&layout, gpa, part);
		gpa += part;
		high -= part;
	}
	*ret = layout;
	return 0;
}

static struct guest_ram *ram_new(uint64_t size, const struct guest_memory_layout *layout)
{
	struct guest_ram *ram = calloc(1, sizeof(*ram));
	struct ram_piece *piece = NULL;

	if (!ram)
		return NULL;
	ram->size = size;
	ram->region_count = layout->count;
	for (unsigned int i = 0; i < layout->count; i++) {
		ram->regions[i] = (struct guest_memory_region){
			.gpa = layout->regions[i].gpa,
			.size = layout->regions[i].size,
			.fd = FD_NONE,
		};
		if (!piece || piece->gpa + piece->size != layout->regions[i].gpa) {
			piece = &ram->pieces[ram->piece_count++];
			piece->gpa = layout->regions[i].gpa;
		}
		piece->size += layout->regions[i].size;
	}
	return ram;
}

void guest_ram_free(struct guest_ram *ram)
{
	if (!ram)
		return;
	for (unsigned int i = 0; i < ram->piece_count; i++)
		if (ram->pieces[i].hva)
			munmap(ram->pieces[i].hva, ram->pieces[i].size);
	for (unsigned int i = 0; i < ram->region_count; i++)
		close_fdp(&ram->regions[i].fd);
	free(ram);
}

static void guest_ram_freep(struct guest_ram **ram)
{
	guest_ram_free(*ram);
}

/* Address space for a whole piece, aligned for huge pages on both sides (guest and host). */
static int piece_reserve(struct ram_piece *piece, struct error *err)
{
	uint64_t span = piece->size + HUGE_PAGE, head;
	uint8_t *start =
		mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (start == MAP_FAILED)
		return error_sys(err, -errno,
				 "guest RAM: no address space for %llu MiB; check the limit on "
				 "virtual memory (ulimit -v)",
				 piece->size / MIB);
	head = ALIGN_UP((uintptr_t)start, HUGE_PAGE) - (uintptr_t)start;
	if (head > 0)
		munmap(start, head);
	if (HUGE_PAGE - head > 0)
		munmap(start + head + piece->size, HUGE_PAGE - head);
	piece->hva = start + head;
	return 0;
}

/* Puts a memfd in its place inside the reserved piece. */
static int region_map(struct guest_memory_region *region, const struct ram_piece *piece, int fd,
		      struct error *err)
{
	uint8_t *want = piece->hva + (region->gpa - piece->gpa);

	region->hva =
		mmap(want, region->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (region->hva == MAP_FAILED) {
		int code = -errno;

		region->hva = NULL;
		return error_sys(err, code, "guest RAM: cannot map %llu MiB at 0x%" PRIx64,
				 region->size / MIB, region->gpa);
	}
	/* A kernel without huge pages works too, only slower through an update. */
	if (madvise(region->hva, region->size, MADV_HUGEPAGE) < 0)
		log_debug("guest RAM at 0x%" PRIx64 ": this kernel has no transparent huge pages",
			  region->gpa);
	/* A core dump of vmm must not carry what guests keep in memory. */
	if (madvise(region->hva, region->size, MADV_DONTDUMP) < 0)
		return error_sys(err, -errno, "guest RAM: cannot keep it out of core dumps");
	return 0;
}

/* Maps all regions from fds, in order; the descriptors stay the caller's. */
static int ram_map(struct guest_ram *ram, const int *fds, struct error *err)
{
	unsigned int i, p = 0;
	int r;

	for (i = 0; i < ram->piece_count; i++) {
		r = piece_reserve(&ram->pieces[i], err);
		if (r < 0)
			return r;
	}
	for (i = 0; i < ram->region_count; i++) {
		struct guest_memory_region *region = &ram->regions[i];

		if (region->gpa >= ram->pieces[p].gpa + ram->pieces[p].size)
			p++;
		r = region_map(region, &ram->pieces[p], fds[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int guest_ram_create(uint64_t size, struct guest_ram **ret, struct error *err)
{
	_cleanup_(guest_ram_freep) struct guest_ram *ram = NULL;
	struct guest_memory_layout layout;
	int fds[RAM_REGIONS_MAX];
	int r;

	r = guest_memory_layout(size, &layout, err);
	if (r < 0)
		return r;
	ram = ram_new(size, &layout);
	if (!ram)
		return error_set(err, -ENOMEM, "guest RAM of %llu MiB: out of memory", size / MIB);
	for (unsigned int i = 0; i < ram->region_count; i++) {
		r = ram_fd_create(memfd_create, i, ram->regions[i].size, &ram->regions[i].fd, err);
		if (r < 0)
			return r;
		fds[i] = ram->regions[i].fd;
	}
	r = ram_map(ram, fds, err);
	if (r < 0)
		return r;
	*ret = STEAL_PTR(ram);
	return 0;
}

int guest_ram_adopt(uint64_t size, int *fds, unsigned int count, struct guest_ram **ret,
		    struct error *err)
{
	struct guest_memory_layout layout;
	struct guest_ram *ram;
	int r;

	r = guest_memory_layout(size, &layout, err);
	if (r < 0)
		return r;
	if (count != layout.count)
		return error_set(err, -EINVAL,
				 "guest RAM of %llu MiB lies in %u memfds, but %u came back",
				 size / MIB, layout.count, count);
	for (unsigned int i = 0; i < count; i++) {
		r = ram_fd_check(fds[i], i, layout.regions[i].size, err);
		if (r < 0)
			return r;
	}
	ram = ram_new(size, &layout);
	if (!ram)
		return error_set(err, -ENOMEM, "guest RAM of %llu MiB: out of memory", size / MIB);
	r = ram_map(ram, fds, err);
	if (r < 0) {
		guest_ram_free(ram);
		return r;
	}
	for (unsigned int i = 0; i < count; i++)
		ram->regions[i].fd = steal_fd(&fds[i]);
	*ret = ram;
	return 0;
}

uint64_t guest_ram_size(const struct guest_ram *ram)
{
	return ram->size;
}

unsigned int guest_ram_region_count(const struct guest_ram *ram)
{
	return ram->region_count;
}

const struct guest_memory_region *guest_ram_region(const struct guest_ram *ram, unsigned int index)
{
	return index < ram->region_count ? &ram->regions[index] : NULL;
}

uint64_t guest_ram_end(const struct guest_ram *ram)
{
	const struct guest_memory_region *last =
		guest_ram_region(ram, guest_ram_region_count(ram) - 1);

	return last->gpa + last->size;
}

void *guest_ram_ptr(const struct guest_ram *ram, uint64_t gpa, uint64_t len)
{
	if (len == 0)
		return NULL;
	for (unsigned int i = 0; i < ram->piece_count; i++) {
		const struct ram_piece *piece = &ram->pieces[i];
		uint64_t offset = gpa - piece->gpa;

		/* Subtractions only: no sum of guest values can wrap. */
		if (gpa >= piece->gpa && offset < piece->size && len <= piece->size - offset)
			return piece->hva + offset;
	}
	return NULL;
}

static void *view_ptr(void *opaque, uint64_t gpa, uint64_t len)
{
	return guest_ram_ptr(opaque, gpa, len);
}

struct guest_memory guest_ram_view(struct guest_ram *ram)
{
	return (struct guest_memory){.ptr = view_ptr, .opaque = ram};
}

int guest_ram_write(const struct guest_ram *ram, uint64_t gpa, const void *data, uint64_t len)
{
	void *to = guest_ram_ptr(ram, gpa, len);

	if (len == 0)
		return 0;
	if (!to)
		return -EFAULT;
	memcpy(to, data, len);
	return 0;
}

int guest_ram_read(const struct guest_ram *ram, uint64_t gpa, void *data, uint64_t len)
{
	const void *from = guest_ram_ptr(ram, gpa, len);

	if (len == 0)
		return 0;
	if (!from)
		return -EFAULT;
	memcpy(data, from, len);
	return 0;
}
