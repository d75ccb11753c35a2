/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest says about its pages, and what is made of it: virtio 1.2, 5.5.6 and 5.5.6.7. */
#include <endian.h>
#include <string.h>

#include "devices/virtio/balloon/balloon_impl.h"

/* Page numbers looked at together: neighbours among them go back in one piece. */
#define BATCH 1024
/* Given back again in one turn of the loop. */
#define AGAIN_PAGES_MAX (64 * MIB / BALLOON_PAGE)

/* -EPERM: not now. */
static int give_back(struct virtio_balloon *b, uint64_t gpa, uint64_t len)
{
	int r = b->discard.discard(b->discard.opaque, gpa, len);

	if (r == 0) {
		balloon_count(b, given_back_bytes, len);
		return 0;
	}
	balloon_count(b, failed, 1);
	if (r == -EPERM)
		return r;
	log_ratelimited(&b->log, LOG_LEVEL_WARNING,
			"virtio-balloon: the host does not take %llu bytes at 0x%llx back: %s",
			(unsigned long long)len, (unsigned long long)gpa, strerror(-r));
	return r;
}

/* 5.5.6.2: only such a driver tells before it uses a page again. */
static bool must_tell(const struct virtio_balloon *b)
{
	return b->features & BALLOON_F_MUST_TELL_HOST;
}

static void inflate_run(struct virtio_balloon *b, const struct balloon_range *run)
{
	balloon_count(b, inflated_bytes, run->count * BALLOON_PAGE);
	if (must_tell(b))
		balloon_ranges_add(&b->ranges, run->first, run->count);
	if (b->kept || give_back(b, run->first * BALLOON_PAGE, run->count * BALLOON_PAGE) != -EPERM)
		return;
	b->again = true;
	b->again_from = MIN_OF(b->again_from, run->first);
	balloon_go_on_again(b, BALLOON_RETRY_NS);
}

static void deflate_run(struct virtio_balloon *b, const struct balloon_range *run)
{
	balloon_count(b, deflated_bytes, run->count * BALLOON_PAGE);
	balloon_ranges_remove(&b->ranges, run->first, run->count);
}

typedef void run_fn(struct virtio_balloon *b, const struct balloon_range *run);

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Pages that are RAM, each once, neighbours together. */
static void for_runs(struct virtio_balloon *b, uint32_t *pages, size_t count, run_fn *fn)
{
	struct balloon_range run = {0, 0};

	qsort(pages, count, sizeof(pages[0]), compare);
	for (size_t i = 0; i < count; i++) {
		uint64_t page = pages[i];

		if (run.count && page < run.first + run.count)
			continue; /* twice */
		if (!b->ram.ptr(b->ram.opaque, page * BALLOON_PAGE, BALLOON_PAGE)) {
			balloon_count(b, refused, 1);
			continue;
		}
		if (run.count && page == run.first + run.count) {
			run.count++;
			continue;
		}
		if (run.count)
			fn(b, &run);
		run = (struct balloon_range){page, 1};
	}
	if (run.count)
		fn(b, &run);
}

static size_t for_buffer(struct virtio_balloon *b, const struct virtqueue_chain *chain, size_t done,
			 unsigned int pages_max, run_fn *fn)
{
	size_t end = chain->out_bytes - chain->out_bytes % sizeof(uint32_t);
	size_t limit = done + MIN_OF(end - done, pages_max * sizeof(uint32_t));
	uint32_t pages[BATCH];

	while (done < limit) {
		size_t size = MIN_OF(limit - done, sizeof(pages));

		/* Copied once; what the guest makes of them meanwhile is its own affair. */
		virtqueue_chain_read(chain, done, pages, size);
		for (size_t i = 0; i < size / sizeof(pages[0]); i++)
			pages[i] = le32toh(pages[i]);
		for_runs(b, pages, size / sizeof(pages[0]), fn);
		done += size;
	}
	return done == end ? chain->out_bytes : done;
}

size_t balloon_inflate(struct virtio_balloon *b, const struct virtqueue_chain *chain, size_t done,
		       unsigned int pages_max)
{
	return for_buffer(b, chain, done, pages_max, inflate_run);
}

size_t balloon_deflate(struct virtio_balloon *b, const struct virtqueue_chain *chain, size_t done,
		       unsigned int pages_max)
{
	return for_buffer(b, chain, done, pages_max, deflate_run);
}

void balloon_report(struct virtio_balloon *b, const struct virtqueue_segment *segment)
{
	uint64_t from = ALIGN_UP(segment->gpa, (uint64_t)BALLOON_PAGE);
	uint64_t to = ALIGN_DOWN(segment->gpa + segment->len, (uint64_t)BALLOON_PAGE);

	if (from >= to)
		return;
	balloon_count(b, reported_bytes, to - from);
	/* 5.5.6.7.2: a driver that negotiated it counts on finding the value, and the host would
	 * give it zeroes. */
	if ((b->features & BALLOON_F_PAGE_POISON) && atomic_load(&b->poison))
		return;
	if (!b->kept)
		give_back(b, from, to - from);
}

void balloon_give_back_again(void *opaque)
{
	struct virtio_balloon *b = opaque;
	struct balloon_range range;
	uint64_t left = AGAIN_PAGES_MAX;

	while (left > 0 && balloon_ranges_next(&b->ranges, b->again_from, &range)) {
		range.count = MIN_OF(range.count, left);
		/* Whoever drives the update has not let go of the session yet. */
		if (give_back(b, range.first * BALLOON_PAGE, range.count * BALLOON_PAGE) ==
		    -EPERM) {
			balloon_go_on_again(b, BALLOON_RETRY_NS);
			return;
		}
		b->again_from = range.first + range.count;
		left -= range.count;
	}
	b->again = balloon_ranges_next(&b->ranges, b->again_from, &range);
	balloon_go_on_again(b, 0);
}
