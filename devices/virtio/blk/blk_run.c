/* SPDX-License-Identifier: Apache-2.0 */
/* Running requests: operations of the backend one after the other until a request is done. */
#include <string.h>

#include "devices/virtio/blk/blk_impl.h"

/* ---- Ends. ---- */

/* Bytes from the first writable one on that were surely written (2.7.8.2). */
static uint32_t written(const struct blk_request *q, uint8_t status)
{
	size_t data = q->chain->in_bytes - 1;
	size_t filled = status == BLK_S_OK && (q->type == BLK_T_IN || q->type == BLK_T_GET_ID)
				? (size_t)q->size
				: 0;

	/* The status counts only if nothing before it was left out. */
	return (uint32_t)(filled == data ? data + 1 : filled);
}

static void count_success(struct virtio_blk *blk, const struct blk_request *q)
{
	if (q->type == BLK_T_IN) {
		blk_count(blk, read_ops, 1);
		blk_count(blk, read_bytes, q->size);
	} else if (q->type == BLK_T_OUT) {
		blk_count(blk, write_ops, 1);
		blk_count(blk, write_bytes, q->size);
	} else if (q->type == BLK_T_FLUSH) {
		blk_count(blk, flush_ops, 1);
	} else if (q->type != BLK_T_GET_ID) {
		blk_count(blk, other_ops, 1);
	}
}

static void finish(struct virtio_blk *blk, struct blk_request *q, uint8_t status)
{
	if (!q->abandoned) {
		*q->status = status;
		virtqueue_push(virtio_queue(blk->v, q->queue), q->chain, written(q, status));
		blk->queues[q->queue].dirty = true;
		if (status == BLK_S_OK)
			count_success(blk, q);
		else
			blk_count(blk, errors, 1);
	}
	TAILQ_REMOVE(&blk->in_flight, q, in_flight);
	blk->in_flight_count--;
	blk_request_put(blk, q);
}

static void report(struct virtio_blk *blk, const struct blk_request *q, int64_t code)
{
	static const char *const what[] = {
		[BLK_IO_READ] = "reading",
		[BLK_IO_WRITE] = "writing",
		[BLK_IO_WRITE_UNALIGNED] = "writing",
		[BLK_IO_FLUSH] = "flushing",
		[BLK_IO_DISCARD] = "discarding",
		[BLK_IO_ZERO] = "zeroing",
	};

	log_ratelimited(&blk->error_log, LOG_LEVEL_ERROR,
			"disk %s: %s %llu bytes at %llu failed, the guest is told: %s",
			blk->image.path, what[q->io.op], (unsigned long long)q->io.length,
			(unsigned long long)q->io.offset, strerror((int)-code));
}

/* ---- Steps. ---- */

static bool fits_direct(const struct blk_image *image, const struct blk_request *q)
{
	if ((q->offset | q->left) & (image->offset_align - 1))
		return false;
	for (unsigned int i = 0; i < q->data_count; i++) {
		if (((uintptr_t)q->data[i].iov_base & (image->memory_align - 1)) ||
		    (q->data[i].iov_len & (image->offset_align - 1)))
			return false;
	}
	return true;
}

/* Moves the start of what is left, over bytes that come from flat where that is given. */
static void advance(struct blk_request *q, size_t bytes, const uint8_t *flat)
{
	q->offset += bytes;
	q->left -= bytes;
	while (bytes > 0) {
		size_t n = MIN_OF(bytes, q->data->iov_len);

		if (flat) {
			memcpy(q->data->iov_base, flat, n);
			flat += n;
		}
		bytes -= n;
		q->data->iov_base = (uint8_t *)q->data->iov_base + n;
		q->data->iov_len -= n;
		if (q->data->iov_len == 0) {
			q->data++;
			q->data_count--;
		}
	}
}

/* Bytes of the next piece, for a buffer of BLK_BOUNCE_MAX that begins at an aligned offset. */
static size_t piece_size(const struct blk_image *image, const struct blk_request *q)
{
	uint64_t start = ALIGN_DOWN(q->offset, (uint64_t)image->offset_align);

	return (size_t)MIN_OF(q->left, start + BLK_BOUNCE_MAX - q->offset);
}

/* Copies the next bytes without moving on: they count when they are on the image. */
static void peek_data(const struct blk_request *q, uint8_t *flat, size_t bytes)
{
	for (const struct iovec *iov = q->data; bytes > 0; iov++) {
		size_t n = MIN_OF(bytes, iov->iov_len);

		memcpy(flat, iov->iov_base, n);
		flat += n;
		bytes -= n;
	}
}

static int bounce(struct virtio_blk *blk, struct blk_request *q)
{
	const struct blk_image *image = &blk->image;
	uint64_t align = image->offset_align;
	uint64_t start = ALIGN_DOWN(q->offset, align);
	size_t piece = piece_size(image, q);
	uint64_t length = ALIGN_UP(q->offset + piece, align) - start;

	if (!q->bounce && posix_memalign((void **)&q->bounce, BLK_ALIGNMENT_MAX, BLK_BOUNCE_MAX))
		return -ENOMEM;
	q->bounce_skip = 0;
	if (q->type == BLK_T_IN) {
		q->bounce_skip = q->offset - start;
		q->io.op = BLK_IO_READ;
	} else {
		q->io.op = q->exclusive ? BLK_IO_WRITE_UNALIGNED : BLK_IO_WRITE;
		peek_data(q, q->bounce, piece);
		start = q->offset;
		length = piece;
	}
	q->bounce_iov = (struct iovec){q->bounce, length};
	q->io.offset = start;
	q->io.length = length;
	q->io.iov = &q->bounce_iov;
	q->io.iov_count = 1;
	return 0;
}

static int next_transfer(struct virtio_blk *blk, struct blk_request *q)
{
	if (blk->image.direct && (q->exclusive || q->bounce || !fits_direct(&blk->image, q)))
		return bounce(blk, q);
	q->io.op = q->type == BLK_T_IN ? BLK_IO_READ : BLK_IO_WRITE;
	q->io.offset = q->offset;
	q->io.length = q->left;
	q->io.iov = q->data;
	q->io.iov_count = q->data_count;
	return 0;
}

/* Submits what comes next for it. 0, or a negative errno: it cannot go on. */
static int next_step(struct virtio_blk *blk, struct blk_request *q)
{
	int r = 0;

	q->io.through = q->type != BLK_T_FLUSH && blk_write_through(blk);
	if (q->type == BLK_T_FLUSH) {
		q->io.op = BLK_IO_FLUSH;
	} else if (q->range_count) {
		const struct blk_range *range = &q->ranges[q->range_next];

		q->io.op = q->type == BLK_T_DISCARD ? BLK_IO_DISCARD : BLK_IO_ZERO;
		q->io.offset = range->offset;
		q->io.length = range->length;
		q->io.unmap = range->unmap;
	} else {
		r = next_transfer(blk, q);
	}
	if (r == 0)
		blk->backend->ops->submit(blk->backend, &q->io);
	return r;
}

/* Takes the result of a step over. 1: all is done. 0: there is more. */
static int64_t take_result(struct blk_request *q)
{
	int64_t result = q->io.result;

	if (result < 0)
		return result;
	if (q->type == BLK_T_FLUSH)
		return 1;
	if (q->range_count)
		return ++q->range_next == q->range_count;
	/* The end of an image that was made shorter behind our back. */
	if ((uint64_t)result <= q->bounce_skip)
		return -EIO;
	result = MIN_OF(result - (int64_t)q->bounce_skip, (int64_t)q->left);
	advance(q, (size_t)result,
		q->bounce && q->type == BLK_T_IN ? q->bounce + q->bounce_skip : NULL);
	return q->left == 0;
}

static void run(struct virtio_blk *blk, struct blk_request *q)
{
	int r;

	q->running = true;
	blk->running++;
	if (q->exclusive)
		blk->exclusive = q;
	r = next_step(blk, q);
	if (r == 0)
		return;
	/* As the backend would tell it. */
	q->io.result = r;
	blk_io_done(blk, &q->io);
}

static bool may_run(const struct virtio_blk *blk, const struct blk_request *q)
{
	return !blk->exclusive && !(q->exclusive && blk->running);
}

/* In the order in which they came, so that none waits for ever. */
static void run_waiting(struct virtio_blk *blk)
{
	struct blk_request *q;

	while ((q = STAILQ_FIRST(&blk->waiting)) && may_run(blk, q)) {
		STAILQ_REMOVE_HEAD(&blk->waiting, waiting);
		q->waits = false;
		run(blk, q);
	}
}

void blk_io_done(void *opaque, struct blk_io *io)
{
	struct virtio_blk *blk = opaque;
	struct blk_request *q = (struct blk_request *)io; /* its first member */
	int64_t r = take_result(q);

	if (r == 0 && !q->abandoned)
		r = next_step(blk, q);
	else if (r == 0)
		r = 1;
	if (r == 0)
		return;
	if (r < 0 && !q->abandoned)
		report(blk, q, r);
	blk->running--;
	if (blk->exclusive == q)
		blk->exclusive = NULL;
	finish(blk, q, r < 0 ? BLK_S_IOERR : BLK_S_OK);
	run_waiting(blk);
}

void blk_request_start(struct virtio_blk *blk, struct blk_request *q)
{
	int status = blk_request_prepare(blk, q);

	if (status >= 0) {
		finish(blk, q, (uint8_t)status);
		return;
	}
	if (STAILQ_EMPTY(&blk->waiting) && may_run(blk, q)) {
		run(blk, q);
		return;
	}
	STAILQ_INSERT_TAIL(&blk->waiting, q, waiting);
	q->waits = true;
}

/* ---- Reset. ---- */

static bool concerns(const struct blk_request *q, int queue)
{
	return queue < 0 || q->queue == queue;
}

/* Those that the backend has not got yet need not be waited for. */
static void drop_idle(struct virtio_blk *blk, int queue)
{
	struct blk_request *q, *next;

	for (q = TAILQ_FIRST(&blk->in_flight); q; q = next) {
		next = TAILQ_NEXT(q, in_flight);
		if (!concerns(q, queue))
			continue;
		q->abandoned = true;
		if (q->running)
			continue;
		/* One that was loaded is in no other list. */
		if (q->waits)
			STAILQ_REMOVE(&blk->waiting, q, blk_request, waiting);
		finish(blk, q, BLK_S_IOERR);
	}
}

static bool any_left(const struct virtio_blk *blk, int queue)
{
	const struct blk_request *q;

	for (q = TAILQ_FIRST(&blk->in_flight); q; q = TAILQ_NEXT(q, in_flight)) {
		if (concerns(q, queue))
			return true;
	}
	return false;
}

void blk_abandon(struct virtio_blk *blk, int queue)
{
	drop_idle(blk, queue);
	run_waiting(blk);
	while (any_left(blk, queue))
		blk->backend->ops->wait(blk->backend, UINT64_MAX);
}
