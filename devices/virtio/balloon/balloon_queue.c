/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/balloon/balloon_impl.h"

/*
 * What a queue gets of one turn of the loop: other queues want it, too, and an update waits for the
 * end of the turn.
 */
#define PAGES_MAX    4096U
#define SEGMENTS_MAX 64U
#define BUFFERS_MAX  32U

bool balloon_is_stats(uint64_t features, unsigned int queue)
{
	return queue == BALLOON_Q_STATS && (features & BALLOON_F_STATS_VQ);
}

/*
 * 5.5.2 gives reporting_vq the number 4. Linux numbers the queues of the features that it uses one
 * after the other, so that it may be 2 or 3 as well; neither is anything else then.
 */
static bool is_reporting(const struct virtio_balloon *b, unsigned int queue)
{
	return queue >= BALLOON_Q_STATS && (b->features & BALLOON_F_PAGE_REPORTING) &&
	       !balloon_is_stats(b->features, queue);
}

void balloon_put_back(struct virtio_balloon *b, unsigned int queue)
{
	struct balloon_work *work = &b->work[queue];

	if (work->taken)
		virtqueue_unpop(virtio_queue(b->v, queue), work->chain);
	work->taken = false;
}

struct budget {
	unsigned int pages, segments, buffers;
};

/* True: the buffer is done. */
static bool go_on(struct virtio_balloon *b, unsigned int queue, struct budget *left)
{
	struct balloon_work *work = &b->work[queue];
	const struct virtqueue_chain *chain = work->chain;
	size_t before, pages;

	if (is_reporting(b, queue)) {
		/* 5.5.6.7: the pages are the writable ones. */
		for (; left->segments > 0 && work->done < chain->in_count; left->segments--)
			balloon_report(b, &chain->segments[chain->out_count + work->done++]);
		return work->done == chain->in_count;
	}
	before = work->done;
	work->done = (queue == BALLOON_Q_INFLATE ? balloon_inflate
						 : balloon_deflate)(b, chain, before, left->pages);
	pages = (work->done - before) / sizeof(uint32_t);
	left->pages -= (unsigned int)MIN_OF(pages, left->pages);
	return work->done == chain->out_bytes;
}

/* 1: out of budget. 0: nothing more is there. */
static int take(struct virtio_balloon *b, unsigned int queue, struct budget *left,
		struct error *err)
{
	struct virtqueue *vq = virtio_queue(b->v, queue);
	struct balloon_work *work = &b->work[queue];

	while (left->buffers > 0 && left->pages > 0 && left->segments > 0) {
		int r = work->taken ? 1 : virtqueue_pop(vq, work->chain, err);

		if (r <= 0)
			return r;
		if (!work->taken)
			work->done = 0;
		work->taken = true;
		if (!go_on(b, queue, left))
			return 1;
		/* Nothing was written: a driver may take it for that. */
		virtqueue_push(vq, work->chain, 0);
		work->taken = false;
		left->buffers--;
	}
	return 1;
}

static void serve(struct virtio_balloon *b, unsigned int queue)
{
	struct virtqueue *vq = virtio_queue(b->v, queue);
	struct budget left = {PAGES_MAX, SEGMENTS_MAX, BUFFERS_MAX};
	struct error err = ERROR_INIT;
	int r;

	do {
		virtqueue_disable_doorbell(vq);
		if (!balloon_is_stats(b->features, queue))
			r = take(b, queue, &left, &err);
		else
			r = balloon_take_stats(b, &left.buffers, &err);
	} while (r == 0 && virtqueue_enable_doorbell(vq));
	virtio_notify_queue(b->v, queue);
	if (r < 0)
		virtio_needs_reset(b->v, &err);
	else if (r > 0)
		virtio_queue_again(b->v, queue);
}

/* A buffer in a queue that there is not. */
static void refuse(struct virtio_balloon *b, unsigned int queue)
{
	struct virtqueue *vq = virtio_queue(b->v, queue);
	struct error err = ERROR_INIT;
	int r = virtqueue_pop(vq, b->work[queue].chain, &err);

	if (r > 0) {
		virtqueue_unpop(vq, b->work[queue].chain);
		r = error_set(&err, -EPROTO, "queue %u is used, which was not negotiated", queue);
	}
	if (r < 0)
		virtio_needs_reset(b->v, &err);
}

void balloon_queue_ready(void *dev, unsigned int queue)
{
	struct virtio_balloon *b = dev;

	if (queue <= BALLOON_Q_DEFLATE || balloon_is_stats(b->features, queue) ||
	    is_reporting(b, queue))
		serve(b, queue);
	else
		refuse(b, queue);
}
