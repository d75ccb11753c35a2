/* SPDX-License-Identifier: Apache-2.0 */
/* State: docs/state-format.md. */
#include <string.h>

#include "devices/virtio/balloon/balloon_impl.h"

/* Bytes of a blob: the device's own properties and the buffer's; each range; each segment. */
#define DEVICE_STATE_MAX  2048
#define RANGE_STATE_MAX	  16
#define SEGMENT_STATE_MAX 16
#define BUFFER_NODE	  "statistics-buffer"

_Static_assert(sizeof(struct balloon_range) == 2 * sizeof(uint64_t), "saved as two numbers");

int balloon_save(const void *dev, struct state_writer *w, struct error *err _unused_)
{
	const struct virtio_balloon *b = dev;

	state_put_u32(w, "target-pages", atomic_load(&b->target));
	state_put_u32(w, "actual-pages", atomic_load(&b->actual));
	state_put_u32(w, "poison", atomic_load(&b->poison));
	state_put_u32(w, "ranges", b->ranges.count);
	state_put_u64s(w, "range-pages", (const uint64_t *)b->ranges.all,
		       2 * (size_t)b->ranges.count);
	state_put_u32(w, "statistics-present", b->stats_present);
	state_put_u64s(w, "statistics", b->stats, BALLOON_STATS);
	state_put_u64(w, "statistics-realtime-ns", b->stats_realtime_ns);
	if (b->stats_held) {
		state_begin(w, BUFFER_NODE);
		virtqueue_chain_save(b->stats_buffer, w);
		state_end(w);
	}
	return 0;
}

size_t balloon_state_size_max(const void *dev _unused_)
{
	return DEVICE_STATE_MAX + BALLOON_RANGES_MAX * RANGE_STATE_MAX +
	       BALLOON_SEGMENTS_MAX * SEGMENT_STATE_MAX;
}

/* ---- Loading. ---- */

struct image {
	uint32_t target, actual, poison;
	unsigned int range_count;
	struct balloon_range *ranges; /* owned */
	uint32_t stats_present;
	uint64_t stats[BALLOON_STATS];
	uint64_t stats_realtime_ns;
	struct virtqueue_chain *buffer; /* owned; NULL: none is held */
};

static void image_done(struct image *image)
{
	free(image->ranges);
	virtqueue_chain_free(image->buffer);
}

static bool range_ok(const struct virtio_balloon *b, const struct balloon_range *ranges,
		     unsigned int index)
{
	const struct balloon_range *range = &ranges[index];
	uint64_t gpa = range->first * BALLOON_PAGE, len = range->count * BALLOON_PAGE;

	if (range->first > UINT32_MAX || range->count > UINT32_MAX || range->count == 0)
		return false;
	if (index > 0 && range->first <= range[-1].first + range[-1].count)
		return false;
	return b->ram.ptr(b->ram.opaque, gpa, len) != NULL;
}

static int read_ranges(const struct virtio_balloon *b, struct state_reader *r, struct image *image,
		       struct error *err)
{
	uint64_t features = atomic_load(&b->checked_features);
	unsigned int count = state_get_u32_max(r, "ranges", BALLOON_RANGES_MAX);

	state_require(r, count == 0 || (features & BALLOON_F_MUST_TELL_HOST),
		      "ranges: %u of a driver without MUST_TELL_HOST", count);
	image->ranges = calloc(count + 1UL, sizeof(image->ranges[0]));
	if (!image->ranges)
		return error_set(err, -ENOMEM, "state %s: out of memory", r->path);
	image->range_count = count;
	state_get_u64s(r, "range-pages", (uint64_t *)image->ranges, 2 * (size_t)count);
	for (unsigned int i = 0; i < count && !r->code; i++)
		state_require(r, range_ok(b, image->ranges, i),
			      "range-pages: number %u is not behind the one before it, in guest "
			      "RAM",
			      i);
	return 0;
}

static void read_stats(struct state_reader *r, struct image *image)
{
	image->stats_present =
		state_get_u32_max(r, "statistics-present", (1U << BALLOON_STATS) - 1);
	state_get_u64s(r, "statistics", image->stats, BALLOON_STATS);
	image->stats_realtime_ns = state_get_u64(r, "statistics-realtime-ns");
	state_require(r, !image->stats_present == !image->stats_realtime_ns,
		      "statistics-realtime-ns: not as statistics-present says");
	for (unsigned int i = 0; i < BALLOON_STATS; i++)
		state_require(r, (image->stats_present & (1U << i)) || image->stats[i] == 0,
			      "statistics: number %u is not there, and not 0", i);
}

/* Only the queue of statistics can have a buffer in flight, and that is here. */
static void check_queues(struct virtio_balloon *b, struct state_reader *r)
{
	uint64_t features = atomic_load(&b->checked_features);
	unsigned int buffers = state_reader_child_count(r);

	for (unsigned int i = 0; i < balloon_queue_count(b); i++) {
		unsigned int max = balloon_is_stats(features, i) ? 1 : 0;
		unsigned int in_flight = virtqueue_loaded_in_flight(virtio_queue(b->v, i));

		state_require(r, in_flight <= max, "queue %u has %u buffers in flight", i,
			      in_flight);
		if (max)
			state_require(r, in_flight == buffers,
				      "%u nodes inside, but %u statistics buffers in flight",
				      buffers, in_flight);
	}
	state_require(r,
		      buffers == 0 || (balloon_queue_count(b) > BALLOON_Q_STATS &&
				       balloon_is_stats(features, BALLOON_Q_STATS)),
		      "%u nodes inside of a device without statistics", buffers);
}

static int read_buffer(struct virtio_balloon *b, struct state_reader *parent, struct image *image,
		       struct error *err)
{
	struct state_reader r;

	if (state_reader_child_count(parent) == 0)
		return 0;
	image->buffer = virtqueue_chain_new(BALLOON_SEGMENTS_MAX);
	if (!image->buffer)
		return error_set(err, -ENOMEM, "state %s: out of memory", parent->path);
	if (state_reader_child(parent, BUFFER_NODE, &r) < 0)
		return error_set(err, -EINVAL, "state %s: %s: missing", parent->path, BUFFER_NODE);
	virtqueue_chain_load(virtio_queue(b->v, BALLOON_Q_STATS), image->buffer, &r);
	state_require(&r, image->buffer->id < BALLOON_QUEUE_SIZE, "id: %u of %u", image->buffer->id,
		      BALLOON_QUEUE_SIZE);
	return state_reader_done(&r, err);
}

static int read_all(struct virtio_balloon *b, struct state_reader *r, struct image *image,
		    struct error *err)
{
	uint64_t pages = atomic_load(&b->memory) / BALLOON_PAGE;
	uint32_t pages_max = (uint32_t)MIN_OF(pages, (uint64_t)UINT32_MAX);
	int ret;

	image->target = state_get_u32_max(r, "target-pages", pages_max);
	image->actual = state_get_u32(r, "actual-pages");
	image->poison = state_get_u32(r, "poison");
	ret = read_ranges(b, r, image, err);
	if (ret < 0)
		return ret;
	read_stats(r, image);
	if (!r->code)
		check_queues(b, r);
	if (!r->code)
		ret = read_buffer(b, r, image, err);
	return ret < 0 ? ret : state_reader_done(r, err);
}

static void apply(struct virtio_balloon *b, struct image *image)
{
	atomic_store(&b->target, image->target);
	atomic_store(&b->actual, image->actual);
	atomic_store(&b->poison, image->poison);
	b->ranges.count = image->range_count;
	memcpy(b->ranges.all, image->ranges, image->range_count * sizeof(image->ranges[0]));
	b->stats_present = image->stats_present;
	b->stats_realtime_ns = image->stats_realtime_ns;
	memcpy(b->stats, image->stats, sizeof(b->stats));
	b->stats_held = image->buffer != NULL;
	if (image->buffer) {
		virtqueue_chain_free(b->stats_buffer);
		b->stats_buffer = STEAL_PTR(image->buffer);
	}
}

int balloon_load(void *dev, uint32_t version _unused_, struct state_reader *r, enum state_mode mode,
		 struct error *err)
{
	struct virtio_balloon *b = dev;
	struct image image = {0};
	int ret = read_all(b, r, &image, err);

	if (ret == 0 && mode == STATE_APPLY)
		apply(b, &image);
	image_done(&image);
	return ret;
}
