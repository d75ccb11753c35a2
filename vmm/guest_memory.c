/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/config.h"
#include "vmm/guest_memory_fd.h"
#include "vmm/guest_memory_impl.h"

#define HUGE_PAGE (2 * MIB)

static void layout_add(struct guest_memory_layout *layout, uint64_t gpa, uint64_t size)
{
	layout->regions[layout->count].gpa = gpa;
	layout->regions[layout->count].size = size;
	layout->count++;
}

/* It comes out of a state as well as from a user. */
static int check_growth(uint64_t size, const struct ram_growth *growth, struct error *err)
{
	uint64_t sum = 0;

	if (growth->max % RAM_ADD_ALIGN || growth->max > VM_MEMORY_MAX - size)
		return error_set(
			err, -EINVAL,
			"guest RAM that can be added, %" PRIu64
			" bytes: must be a multiple of 128 MiB, and %llu GiB with the rest "
			"at most",
			growth->max, VM_MEMORY_MAX / GIB);
	for (unsigned int i = 0; i < growth->count && i < RAM_ADDED_MAX; i++) {
		if (growth->sizes[i] == 0 || growth->sizes[i] % RAM_ADD_ALIGN ||
		    growth->sizes[i] > MIN_OF(growth->max - sum, RAM_REGION_MAX))
			return error_set(
				err, -EINVAL,
				"guest RAM that was added, %" PRIu64
				" bytes: no multiple of 128 MiB, or more than can be added",
				growth->sizes[i]);
		sum += growth->sizes[i];
	}
	if (growth->count > RAM_ADDED_MAX)
		return error_set(err, -EINVAL, "guest RAM was added %u times, and can be %d times",
				 growth->count, RAM_ADDED_MAX);
	return 0;
}

int guest_memory_layout(uint64_t size, const struct ram_growth *growth,
			struct guest_memory_layout *ret, struct error *err)
{
	static const struct ram_growth none;
	const struct ram_growth *grown = growth ? growth : &none;
	struct guest_memory_layout layout = {0};
	uint64_t high, gpa = RAM_HIGH_START;
	int r;

	if (size < VM_MEMORY_MIN || size > VM_MEMORY_MAX || size % HUGE_PAGE != 0)
		return error_set(
			err, -EINVAL,
			"guest RAM of %" PRIu64
			" bytes: must be a multiple of 2 MiB between %llu MiB and %llu GiB",
			size, VM_MEMORY_MIN / MIB, VM_MEMORY_MAX / GIB);
	r = check_growth(size, grown, err);
	if (r < 0)
		return r;

	layout_add(&layout, 0, MIN_OF(size, RAM_LOW_MAX));
	for (high = size - layout.regions[0].size; high > 0;) {
		uint64_t part = MIN_OF(high, RAM_REGION_MAX);

		layout_add(&layout, gpa, part);
		gpa += part;
		high -= part;
	}
	layout.boot_count = layout.count;
	gpa = grown->max ? ALIGN_UP(gpa, RAM_ADD_START_ALIGN) : gpa;
	layout.grow_start = gpa;
	layout.grow_end = gpa + grown->max;
	for (unsigned int i = 0; i < grown->count; i++) {
		layout_add(&layout, gpa, grown->sizes[i]);
		gpa += grown->sizes[i];
	}
	*ret = layout;
	return 0;
}

/* Room for a region more, at once or later: side by side with those that it touches. */
static struct ram_piece *piece_for(struct guest_ram *ram, uint64_t gpa, uint64_t room)
{
	struct ram_piece *piece = ram->piece_count ? &ram->pieces[ram->piece_count - 1] : NULL;

	if (!piece || piece->gpa + piece->room != gpa) {
		piece = &ram->pieces[ram->piece_count++];
		piece->gpa = gpa;
	}
	piece->room += room;
	return piece;
}

static struct guest_ram *ram_new(const struct guest_memory_layout *layout)
{
	struct guest_ram *ram = calloc(1, sizeof(*ram));

	if (!ram)
		return NULL;
	ram->boot_count = layout->boot_count;
	ram->grow_start = layout->grow_start;
	ram->grow_end = layout->grow_end;
	for (unsigned int i = 0; i < RAM_REGIONS_MAX; i++)
		ram->regions[i].fd = FD_NONE;
	for (unsigned int i = 0; i < layout->boot_count; i++)
		piece_for(ram, layout->regions[i].gpa, layout->regions[i].size);
	if (ram->grow_end > ram->grow_start)
		piece_for(ram, ram->grow_start, ram->grow_end - ram->grow_start);
	for (unsigned int i = 0; i < layout->count; i++) {
		ram->regions[i].gpa = layout->regions[i].gpa;
		ram->regions[i].size = layout->regions[i].size;
	}
	return ram;
}

void guest_ram_free(struct guest_ram *ram)
{
	if (!ram)
		return;
	for (unsigned int i = 0; i < ram->piece_count; i++)
		if (ram->pieces[i].hva)
			munmap(ram->pieces[i].hva, ram->pieces[i].room);
	for (unsigned int i = 0; i < RAM_REGIONS_MAX; i++)
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
	uint64_t span = piece->room + HUGE_PAGE, head;
	uint8_t *start =
		mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (start == MAP_FAILED)
		return error_sys(err, -errno,
				 "guest RAM: no address space for %llu MiB; check the limit on "
				 "virtual memory (ulimit -v)",
				 piece->room / MIB);
	head = ALIGN_UP((uintptr_t)start, HUGE_PAGE) - (uintptr_t)start;
	if (head > 0)
		munmap(start, head);
	if (HUGE_PAGE - head > 0)
		munmap(start + head + piece->room, HUGE_PAGE - head);
	piece->hva = start + head;
	return 0;
}

struct ram_piece *ram_piece_of(struct guest_ram *ram, uint64_t gpa)
{
	struct ram_piece *piece = ram->pieces;

	while (gpa - piece->gpa >= piece->room)
		piece++;
	return piece;
}

int ram_map_region(struct guest_ram *ram, struct guest_memory_region *region, int fd,
		   struct error *err)
{
	const struct ram_piece *piece = ram_piece_of(ram, region->gpa);
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

/* Regions touch, and come in order: a piece ends where the last of them does. */
void ram_show_region(struct guest_ram *ram, unsigned int index)
{
	const struct guest_memory_region *region = &ram->regions[index];
	struct ram_piece *piece = ram_piece_of(ram, region->gpa);

	atomic_store_explicit(&piece->size, region->gpa + region->size - piece->gpa,
			      memory_order_release);
	atomic_store_explicit(&ram->region_count, index + 1, memory_order_release);
}

/* Maps all regions from fds, in order; the descriptors stay the caller's. */
static int ram_map(struct guest_ram *ram, unsigned int count, const int *fds, struct error *err)
{
	int r;

	for (unsigned int i = 0; i < ram->piece_count; i++) {
		r = piece_reserve(&ram->pieces[i], err);
		if (r < 0)
			return r;
	}
	for (unsigned int i = 0; i < count; i++) {
		r = ram_map_region(ram, &ram->regions[i], fds[i], err);
		if (r < 0)
			return r;
		ram_show_region(ram, i);
	}
	return 0;
}

int guest_ram_create(uint64_t size, const struct ram_growth *growth, struct guest_ram **ret,
		     struct error *err)
{
	_cleanup_(guest_ram_freep) struct guest_ram *ram = NULL;
	struct guest_memory_layout layout;
	int fds[RAM_REGIONS_MAX];
	int r;

	r = guest_memory_layout(size, growth, &layout, err);
	if (r < 0)
		return r;
	ram = ram_new(&layout);
	if (!ram)
		return error_set(err, -ENOMEM, "guest RAM of %llu MiB: out of memory", size / MIB);
	for (unsigned int i = 0; i < layout.count; i++) {
		r = ram_fd_create(memfd_create, i, ram->regions[i].size, &ram->regions[i].fd, err);
		if (r < 0)
			return r;
		fds[i] = ram->regions[i].fd;
	}
	r = ram_map(ram, layout.count, fds, err);
	if (r < 0)
		return r;
	*ret = STEAL_PTR(ram);
	return 0;
}

int guest_ram_adopt(uint64_t size, const struct ram_growth *growth, int *fds, unsigned int count,
		    struct guest_ram **ret, struct error *err)
{
	struct guest_memory_layout layout;
	struct guest_ram *ram;
	int r;

	r = guest_memory_layout(size, growth, &layout, err);
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
	ram = ram_new(&layout);
	if (!ram)
		return error_set(err, -ENOMEM, "guest RAM of %llu MiB: out of memory", size / MIB);
	r = ram_map(ram, count, fds, err);
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
	uint64_t size = 0;

	for (unsigned int i = 0; i < guest_ram_region_count(ram); i++)
		size += ram->regions[i].size;
	return size;
}

unsigned int guest_ram_region_count(const struct guest_ram *ram)
{
	return atomic_load_explicit(&ram->region_count, memory_order_acquire);
}

const struct guest_memory_region *guest_ram_region(const struct guest_ram *ram, unsigned int index)
{
	return index < guest_ram_region_count(ram) ? &ram->regions[index] : NULL;
}

uint64_t guest_ram_end(const struct guest_ram *ram)
{
	const struct guest_memory_region *last = &ram->regions[guest_ram_region_count(ram) - 1];

	return MAX_OF(last->gpa + last->size, ram->grow_end);
}

void *guest_ram_ptr(const struct guest_ram *ram, uint64_t gpa, uint64_t len)
{
	if (len == 0)
		return NULL;
	for (unsigned int i = 0; i < ram->piece_count; i++) {
		const struct ram_piece *piece = &ram->pieces[i];
		/* What was added is mapped before its size is told. */
		uint64_t size = atomic_load_explicit(&piece->size, memory_order_acquire);
		uint64_t offset = gpa - piece->gpa;

		/* Subtractions only: no sum of guest values can wrap. */
		if (gpa >= piece->gpa && offset < size && len <= size - offset)
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
