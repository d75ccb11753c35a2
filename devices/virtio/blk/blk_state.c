/* SPDX-License-Identifier: Apache-2.0 */
/* State: docs/state-format.md. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "devices/virtio/blk/blk_impl.h"

/* Bytes of a blob: the device's own properties; a request's, and each of its segments. */
#define DEVICE_STATE_MAX  2048
#define REQUEST_STATE_MAX 384
#define SEGMENT_STATE_MAX 16

static const struct {
	const char *name;
	size_t offset;
	uint32_t max;
} limit_fields[] = {
	{"block-size", offsetof(struct blk_limits, block_size), BLK_ALIGNMENT_MAX},
	{"physical-block-exp", offsetof(struct blk_limits, physical_block_exp), UINT8_MAX},
	{"alignment-offset", offsetof(struct blk_limits, alignment_offset), UINT8_MAX},
	{"min-io-size", offsetof(struct blk_limits, min_io_size), UINT16_MAX},
	{"opt-io-size", offsetof(struct blk_limits, opt_io_size), UINT32_MAX},
	{"discard-alignment", offsetof(struct blk_limits, discard_alignment), UINT32_MAX},
	{"max-discard-sectors", offsetof(struct blk_limits, max_discard_sectors), UINT32_MAX},
	{"max-zeroes-sectors", offsetof(struct blk_limits, max_zeroes_sectors), UINT32_MAX},
	{"zeroes-may-unmap", offsetof(struct blk_limits, write_zeroes_may_unmap), 1},
};

/* ---- Saving. ---- */

static void request_name(unsigned int index, char name[20])
{
	snprintf(name, 20, "request@%u", index);
}

static void save_request(const struct blk_request *q, unsigned int index, struct state_writer *w)
{
	char name[20];

	request_name(index, name);
	state_begin(w, name);
	state_put_u32(w, "queue", q->queue);
	state_put_u32(w, "type", q->type);
	state_put_u64(w, "sector", q->sector);
	virtqueue_chain_save(q->chain, w);
	state_end(w);
}

int blk_save(const void *dev, struct state_writer *w, struct error *err _unused_)
{
	const struct virtio_blk *blk = dev;
	const uint8_t *limits = (const uint8_t *)&blk->limits;
	const struct blk_request *q;
	unsigned int index = 0;

	state_put_string(w, "image", blk->image.identity);
	state_put_u64(w, "size", blk->image.size);
	state_put_u32(w, "writeback", atomic_load(&blk->writeback));
	for (unsigned int i = 0; i < ARRAY_SIZE(limit_fields); i++) {
		uint32_t value;

		memcpy(&value, limits + limit_fields[i].offset, sizeof(value));
		state_put_u32(w, limit_fields[i].name, value);
	}
	rate_limiter_save(&blk->limiter, w);
	state_put_u32(w, "requests", blk->in_flight_count);
	for (q = TAILQ_FIRST(&blk->in_flight); q; q = TAILQ_NEXT(q, in_flight))
		save_request(q, index++, w);
	return 0;
}

size_t blk_state_size_max(const void *dev)
{
	const struct virtio_blk *blk = dev;

	return DEVICE_STATE_MAX +
	       BLK_IN_FLIGHT_MAX *
		       (REQUEST_STATE_MAX + (size_t)blk->segments_max * SEGMENT_STATE_MAX);
}

/* ---- Loading. ---- */

struct image {
	struct blk_limits limits;
	uint32_t writeback;
	struct rate_limiter limiter;
	struct blk_request_list requests;
	unsigned int count;
};

static void drop_requests(struct blk_request_list *list)
{
	struct blk_request *q;

	while ((q = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, q, in_flight);
		blk_request_destroy(q);
	}
}

static void check_image(const struct virtio_blk *blk, struct state_reader *r)
{
	const char *identity = state_get_string(r, "image", BLK_IDENTITY_MAX);
	uint64_t size = state_get_u64(r, "size");
	struct error err = ERROR_INIT;

	if (!r->code && blk_image_compare(&blk->image, identity, size, &err) < 0)
		state_require(r, false, "%s", error_message(&err));
}

static void read_limits(struct state_reader *r, struct blk_limits *limits)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(limit_fields); i++) {
		uint32_t value = state_get_u32_max(r, limit_fields[i].name, limit_fields[i].max);

		memcpy((uint8_t *)limits + limit_fields[i].offset, &value, sizeof(value));
	}
	state_require(r,
		      limits->block_size >= BLK_SECTOR &&
			      !(limits->block_size & (limits->block_size - 1)),
		      "block-size: %u is not a power of two from %u on", limits->block_size,
		      BLK_SECTOR);
}

/* Of one that was answered twice, the driver's memory would be written when it is something else
 * already. */
static bool is_twice(const struct blk_request_list *list, const struct blk_request *q)
{
	const struct blk_request *other;

	for (other = TAILQ_FIRST(list); other; other = TAILQ_NEXT(other, in_flight)) {
		if (other->queue == q->queue && other->chain->id == q->chain->id)
			return true;
	}
	return false;
}

static void read_request(struct virtio_blk *blk, const struct image *image, struct blk_request *q,
			 struct state_reader *r)
{
	q->queue = (uint16_t)state_get_u32_max(r, "queue", blk->config.num_queues - 1U);
	q->type = state_get_u32(r, "type");
	q->sector = state_get_u64(r, "sector");
	if (r->code)
		return;
	virtqueue_chain_load(virtio_queue(blk->v, q->queue), q->chain, r);
	state_require(r, q->chain->in_bytes > 0, "writable: no room for a status");
	state_require(r, q->chain->id < blk->config.queue_size, "id: %u of %u", q->chain->id,
		      blk->config.queue_size);
	state_require(r, !is_twice(&image->requests, q), "id: %u is in flight twice", q->chain->id);
}

static int load_request(struct virtio_blk *blk, struct image *image, struct state_reader *parent,
			unsigned int index, struct error *err)
{
	struct blk_request *q = calloc(1, sizeof(*q));
	struct state_reader r;
	char name[20];
	int ret;

	if (q)
		q->chain = virtqueue_chain_new(blk->segments_max);
	request_name(index, name);
	if (!q || !q->chain)
		ret = error_set(err, -ENOMEM, "state %s: out of memory", parent->path);
	else if (state_reader_child(parent, name, &r) < 0)
		ret = error_set(err, -EINVAL, "state %s: %s: missing", parent->path, name);
	else {
		read_request(blk, image, q, &r);
		ret = state_reader_done(&r, err);
	}
	if (ret < 0) {
		blk_request_destroy(q);
		return ret;
	}
	TAILQ_INSERT_TAIL(&image->requests, q, in_flight);
	return 0;
}

/* As many for each queue as its ring has in flight. */
static void check_counts(struct virtio_blk *blk, const struct image *image, struct state_reader *r)
{
	unsigned int counts[BLK_QUEUES_MAX] = {0};
	const struct blk_request *q;

	for (q = TAILQ_FIRST(&image->requests); q; q = TAILQ_NEXT(q, in_flight))
		counts[q->queue]++;
	for (unsigned int i = 0; i < blk->config.num_queues; i++) {
		unsigned int wanted = virtqueue_loaded_in_flight(virtio_queue(blk->v, i));

		state_require(r, counts[i] == wanted,
			      "requests: %u of queue %u, which has %u in flight", counts[i], i,
			      wanted);
	}
}

static int read_all(struct virtio_blk *blk, struct state_reader *r, struct image *image,
		    struct error *err)
{
	int ret = 0;

	check_image(blk, r);
	image->writeback = state_get_u32_max(r, "writeback", BLK_WRITEBACK_DEFAULT);
	read_limits(r, &image->limits);
	rate_limiter_load(&blk->limiter, r, clock_monotonic_ns(), &image->limiter);
	image->count = state_get_u32_max(r, "requests", BLK_IN_FLIGHT_MAX);
	state_require(r, image->count == state_reader_child_count(r),
		      "requests: %u, but there are %u nodes", image->count,
		      state_reader_child_count(r));
	for (unsigned int i = 0; ret == 0 && !r->code && i < image->count; i++)
		ret = load_request(blk, image, r, i, err);
	if (ret == 0 && !r->code)
		check_counts(blk, image, r);
	return ret < 0 ? ret : state_reader_done(r, err);
}

int blk_load(void *dev, uint32_t version _unused_, struct state_reader *r, enum state_mode mode,
	     struct error *err)
{
	struct virtio_blk *blk = dev;
	struct image image = {0};
	int ret;

	TAILQ_INIT(&image.requests);
	ret = read_all(blk, r, &image, err);
	if (ret < 0 || mode == STATE_CHECK) {
		drop_requests(&image.requests);
		return ret;
	}
	/* What was loaded before and never resumed. */
	drop_requests(&blk->in_flight);
	TAILQ_CONCAT(&blk->in_flight, &image.requests, in_flight);
	blk->in_flight_count = image.count;
	blk->limits = image.limits;
	blk->limiter = image.limiter;
	atomic_store(&blk->writeback, image.writeback);
	return 0;
}
