/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/guest_memory_hold.h"

#include <inttypes.h>
#include <liburing.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/meminfo.h"
#include "base/util.h"
#include "vmm/guest_memory_impl.h"

/*
 * The map of the address space is held while the pages of one buffer are made, by a thread that
 * steps aside for vCPUs, and one whose page is not there may have to wait for it. A buffer can have
 * 1 GiB at most, and a ring as many buffers as this (io_uring_register_buffers(3)).
 */
#define BUFFER_SIZE  (16 * MIB)
#define BUFFERS_MAX  16384
#define BUFFER_LIMIT GIB

struct ram_hold {
	struct io_uring ring;
	bool pinned;
	unsigned int count;
	const struct guest_memory_region *regions; /* borrowed */
};

static uint64_t buffer_size(const struct guest_memory_region *regions, unsigned int count)
{
	uint64_t size = BUFFER_SIZE, total = 0;

	for (unsigned int i = 0; i < count; i++)
		total += regions[i].size;
	/* Half of them, for each region ends with one that is not full. */
	while (size < BUFFER_LIMIT && total / size > BUFFERS_MAX / 2)
		size *= 2;
	return size;
}

static size_t buffers_of(const struct guest_memory_region *regions, unsigned int count,
			 struct iovec *buffers)
{
	uint64_t size = buffer_size(regions, count);
	size_t n = 0;

	for (unsigned int i = 0; i < count; i++) {
		for (uint64_t at = 0; at < regions[i].size; at += size, n++) {
			if (buffers)
				buffers[n] = (struct iovec){(uint8_t *)regions[i].hva + at,
							    MIN_OF(size, regions[i].size - at)};
		}
	}
	return n;
}

/* By the one call that pins memory for as long as the process wants. */
static int pin(struct ram_hold *hold)
{
	size_t count = buffers_of(hold->regions, hold->count, NULL);
	struct iovec *buffers = count ? calloc(count, sizeof(*buffers)) : NULL;
	int r;

	if (!buffers)
		return -ENOMEM;
	buffers_of(hold->regions, hold->count, buffers);
	r = io_uring_queue_init(1, &hold->ring, 0);
	if (r == 0) {
		r = io_uring_register_buffers(&hold->ring, buffers, (unsigned int)count);
		if (r < 0)
			io_uring_queue_exit(&hold->ring);
	}
	free(buffers);
	return r;
}

/* At once; the ring itself goes away later. */
static void unpin(struct ram_hold *hold)
{
	io_uring_unregister_buffers(&hold->ring);
	io_uring_queue_exit(&hold->ring);
}

static int populate(const struct guest_memory_region *region, struct error *err)
{
	/* EINVAL: before Linux 5.14. */
	if (madvise(region->hva, region->size, MADV_POPULATE_WRITE) == 0 || errno == EINVAL)
		return 0;
	return error_sys(err, -errno,
			 "this host has no memory for all of it, and all of it must be there: free "
			 "some, or move guests away");
}

/* khugepaged leaves such regions alone, and the pages that it has taken out already are waited for
 * when they are touched. Before that, pages are made that can still be huge. */
static int put_off(const struct guest_memory_region *region, struct error *err)
{
	int r = populate(region, err);

	if (r < 0)
		return r;
	if (madvise(region->hva, region->size, MADV_NOHUGEPAGE) < 0 && errno != EINVAL)
		return error_sys(err, -errno, "huge pages cannot be put off");
	return populate(region, err);
}

static int put_all_off(const struct ram_hold *hold, int why, struct error *err)
{
	for (unsigned int i = 0; i < hold->count; i++) {
		const struct guest_memory_region *region = &hold->regions[i];
		int r = put_off(region, err);

		if (r < 0) {
			error_prefix(err, "guest RAM at 0x%" PRIx64 ": ", region->gpa);
			return r;
		}
	}
	log_warning("guest RAM cannot be pinned while the kernel takes it (%s): huge pages are put "
		    "off instead, and one that is being made at that moment is missed; allow this "
		    "vmm to lock its memory (LimitMEMLOCK=, ulimit -l) and to use io_uring (sysctl "
		    "kernel.io_uring_disabled)",
		    strerror(-why));
	return 0;
}

int ram_hold_new(const struct guest_memory_region *regions, unsigned int count,
		 struct ram_hold **ret, struct error *err)
{
	struct ram_hold *hold = calloc(1, sizeof(*hold));
	int r;

	if (!hold)
		return error_set(err, -ENOMEM, "guest RAM: out of memory");
	hold->count = count;
	hold->regions = regions;
	r = pin(hold);
	hold->pinned = r == 0;
	if (r < 0)
		r = put_all_off(hold, r, err);
	if (r < 0) {
		ram_hold_free(hold);
		return r;
	}
	*ret = hold;
	return 0;
}

void ram_hold_free(struct ram_hold *hold)
{
	if (!hold)
		return;
	if (hold->pinned)
		unpin(hold);
	for (unsigned int i = 0; !hold->pinned && i < hold->count; i++)
		madvise(hold->regions[i].hva, hold->regions[i].size, MADV_HUGEPAGE);
	free(hold);
}

int ram_settle(const struct guest_memory_region *regions, unsigned int count)
{
	struct ram_hold hold = {.regions = regions, .count = count};
	int r = pin(&hold);

	if (r == 0)
		unpin(&hold);
	return r;
}

/* Bytes that are not there; all, if nobody can tell. */
static uint64_t missing(const struct guest_memory_region *region)
{
	struct stat st;
	uint64_t there;

	if (fstat(region->fd, &st) < 0)
		return region->size;
	there = (uint64_t)st.st_blocks * 512; /* the unit of st_blocks, stat(3type) */
	return there < region->size ? region->size - there : 0;
}

int ram_check_host(const struct guest_memory_region *regions, unsigned int count, const char *why,
		   struct error *err)
{
	uint64_t size = 0, left;

	for (unsigned int i = 0; i < count; i++)
		size += missing(&regions[i]);
	if (meminfo_pinnable(MEMINFO_PATH, &left) < 0 || size <= left)
		return 0;
	return error_set(err, -ENOMEM,
			 "%s, and of %llu MiB more this host has %llu MiB: free some, or move "
			 "guests away",
			 why, (unsigned long long)(size / MIB), (unsigned long long)(left / MIB));
}
