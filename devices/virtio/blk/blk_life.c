/* SPDX-License-Identifier: Apache-2.0 */
/* Activation, reset, and the life of requests across an update. */
#include "base/clock.h"
#include "devices/virtio/blk/blk_impl.h"

static void stop(struct virtio_blk *blk)
{
	blk->backend->ops->stop(blk->backend);
	loop_timer_free(STEAL_PTR(blk->limiter_timer));
}

static int start(struct virtio_blk *blk, struct error *err)
{
	struct loop *loop = virtio_loop(blk->v);
	int r = blk->backend->ops->start(blk->backend, loop, err);

	if (r == 0 && !blk->limiter_timer)
		r = loop_timer_new(loop, blk_limiter_expired, blk, &blk->limiter_timer, err);
	if (r < 0)
		stop(blk);
	return r;
}

int blk_activate(void *dev, uint64_t features, struct error *err)
{
	struct virtio_blk *blk = dev;

	blk->features = features;
	blk->frozen = false;
	return start(blk, err);
}

void blk_reset(void *dev, int queue)
{
	struct virtio_blk *blk = dev;

	/* Nothing more is taken while the host finishes what it has. */
	if (queue < 0)
		blk->frozen = true;
	else
		blk->queues[queue].stalled = false;
	blk_abandon(blk, queue);
	for (unsigned int i = 0; i < blk->config.num_queues; i++) {
		if (queue < 0 || queue == (int)i)
			blk->queues[i] = (struct blk_queue){0};
	}
	if (queue >= 0) {
		blk_notify(blk);
		return;
	}
	stop(blk);
	blk->features = 0;
	blk->frozen = false;
	atomic_store(&blk->writeback, BLK_WRITEBACK_DEFAULT);
}

/*
 * What the host has not finished by then stays in flight: its end is not looked at any more, so
 * nothing changes but the memory of reads that the driver does not own yet.
 */
int blk_drain(void *dev, uint64_t deadline_ns, struct error *err _unused_)
{
	struct virtio_blk *blk = dev;

	blk->frozen = true;
	do {
		blk->backend->ops->wait(blk->backend, blk->in_flight_count ? deadline_ns : 0);
	} while (blk->in_flight_count && clock_monotonic_ns() < deadline_ns);
	blk_notify(blk);
	stop(blk);
	return 0;
}

void blk_thaw(void *dev)
{
	struct virtio_blk *blk = dev;
	struct error err = ERROR_INIT;

	blk->frozen = false;
	/* The ends that came meanwhile are told now. */
	if (start(blk, &err) < 0)
		virtio_needs_reset(blk->v, &err);
}

int blk_resumed(void *dev, uint64_t features, struct error *err)
{
	struct virtio_blk *blk = dev;
	struct blk_request *q, *next;
	int r = blk_activate(dev, features, err);

	if (r < 0)
		return r;
	for (q = TAILQ_FIRST(&blk->in_flight); q; q = next) {
		next = TAILQ_NEXT(q, in_flight);
		blk_count(blk, resubmitted, 1);
		blk_request_start(blk, q);
	}
	blk->backend->ops->commit(blk->backend);
	blk_notify(blk);
	return 0;
}
