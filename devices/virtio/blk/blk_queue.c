/* SPDX-License-Identifier: Apache-2.0 */
/* From the rings to requests: how many are taken, and when. */
#include "base/clock.h"
#include "devices/virtio/blk/blk_impl.h"

/* In one turn of the loop: other devices and queues want it, too. */
#define TAKEN_MAX 256

/* False: the rate limit holds requests back until its timer fires. */
static bool has_tokens(struct virtio_blk *blk)
{
	uint64_t wait;

	if (!rate_limiter_enabled(&blk->limiter))
		return true;
	wait = rate_limiter_wait_ns(&blk->limiter, clock_monotonic_ns());
	if (wait == 0)
		return true;
	blk_count(blk, throttled, 1);
	loop_timer_arm(blk->limiter_timer, wait, 0);
	return false;
}

static bool may_take(struct virtio_blk *blk)
{
	return !blk->frozen && blk->in_flight_count < BLK_IN_FLIGHT_MAX && has_tokens(blk);
}

static void pay(struct virtio_blk *blk, const struct blk_request *q)
{
	uint64_t bytes = 0;

	if (!rate_limiter_enabled(&blk->limiter))
		return;
	if (q->type == BLK_T_IN)
		bytes = q->chain->in_bytes - 1;
	else if (q->type == BLK_T_OUT)
		bytes = MAX_OF(q->chain->out_bytes, (size_t)BLK_HEADER_SIZE) - BLK_HEADER_SIZE;
	rate_limiter_take(&blk->limiter, bytes, 1, clock_monotonic_ns());
}

/* 1: one was taken. 0: there is none, or no memory. Negative: the driver broke the rules. */
static int take(struct virtio_blk *blk, unsigned int queue, struct error *err)
{
	struct virtqueue *vq = virtio_queue(blk->v, queue);
	struct blk_request *q = blk_request_get(blk);
	int r;

	if (!q) {
		/* With others in flight their end is the time to try again. */
		blk->queues[queue].stalled = true;
		return blk->in_flight_count ? 0 : error_set(err, -ENOMEM, "out of memory");
	}
	r = virtqueue_pop(vq, q->chain, err);
	if (r > 0 && blk_request_read_header(q, err) < 0) {
		virtqueue_unpop(vq, q->chain);
		r = -EPROTO;
	}
	if (r <= 0) {
		blk_request_put(blk, q);
		return r;
	}
	q->queue = (uint16_t)queue;
	TAILQ_INSERT_TAIL(&blk->in_flight, q, in_flight);
	blk->in_flight_count++;
	pay(blk, q);
	blk_request_start(blk, q);
	return 1;
}

/* Ends that are there at once need no further turn of the loop. */
static void send_to_host(struct virtio_blk *blk)
{
	const struct blk_backend_ops *ops = blk->backend->ops;

	ops->commit(blk->backend);
	if (!ops->peek || blk->peeking)
		return;
	/* Telling ends serves other queues, which must not lead here again and again. */
	blk->peeking = true;
	ops->peek(blk->backend);
	blk->peeking = false;
}

void blk_serve(struct virtio_blk *blk, unsigned int queue)
{
	struct virtqueue *vq = virtio_queue(blk->v, queue);
	struct error err = ERROR_INIT;
	unsigned int taken = 0;
	bool room;
	int r = 0;

	if (!virtio_queue_live(blk->v, queue))
		return;
	blk->queues[queue].stalled = false;
	do {
		virtqueue_disable_doorbell(vq);
		while ((room = may_take(blk)) && taken++ < TAKEN_MAX &&
		       (r = take(blk, queue, &err)) > 0) {
		}
	} while (room && r == 0 && !blk->queues[queue].stalled && virtqueue_enable_doorbell(vq));
	if (r < 0)
		virtio_needs_reset(blk->v, &err);
	else if (!room)
		blk->queues[queue].stalled = true;
	else if (taken > TAKEN_MAX)
		virtio_queue_again(blk->v, queue);
	send_to_host(blk);
	blk_notify(blk);
}

void blk_notify(struct virtio_blk *blk)
{
	for (unsigned int i = 0; i < blk->config.num_queues; i++) {
		if (!blk->queues[i].dirty)
			continue;
		blk->queues[i].dirty = false;
		virtio_notify_queue(blk->v, i);
	}
}

/* The queue after the one that had the room last comes first. */
static void serve_stalled(struct virtio_blk *blk)
{
	unsigned int first = blk->next_queue;

	for (unsigned int i = 0; i < blk->config.num_queues; i++) {
		unsigned int queue = (first + i) % blk->config.num_queues;

		if (!blk->queues[queue].stalled)
			continue;
		blk->next_queue = (queue + 1) % blk->config.num_queues;
		blk_serve(blk, queue);
	}
}

void blk_batch_done(void *opaque)
{
	struct virtio_blk *blk = opaque;

	blk->backend->ops->commit(blk->backend);
	blk_notify(blk);
	if (!blk->frozen)
		serve_stalled(blk);
}

void blk_limiter_expired(void *opaque)
{
	serve_stalled(opaque);
}
