/* SPDX-License-Identifier: Apache-2.0 */
/* Activation, reset, and the way through an update. */
#include <string.h>

#include "devices/virtio/balloon/balloon_impl.h"

static void stop(struct virtio_balloon *b)
{
	loop_timer_free(STEAL_PTR(b->again_timer));
	loop_timer_free(STEAL_PTR(b->stats_timer));
	b->running = false;
}

void balloon_go_on_again(struct virtio_balloon *b, uint64_t delay_ns)
{
	if (b->again && b->running && !b->kept)
		loop_timer_arm(b->again_timer, delay_ns, 0);
}

static int start(struct virtio_balloon *b, struct error *err)
{
	struct loop *loop = virtio_loop(b->v);
	uint64_t interval_ns = b->config.stats_interval * NSEC_PER_SEC;
	int r = loop_timer_new(loop, balloon_give_back_again, b, &b->again_timer, err);

	if (r == 0)
		r = loop_timer_new(loop, balloon_ask_stats, b, &b->stats_timer, err);
	if (r < 0) {
		stop(b);
		return r;
	}
	b->running = true;
	if (b->features & BALLOON_F_STATS_VQ)
		loop_timer_arm(b->stats_timer, interval_ns, interval_ns);
	balloon_go_on_again(b, 0);
	return 0;
}

/* What a driver gave away is its own again. */
static void forget_pages(struct virtio_balloon *b)
{
	b->ranges.count = 0;
	b->again = false;
	b->again_from = UINT64_MAX;
}

int balloon_activate(void *dev, uint64_t features, struct error *err)
{
	struct virtio_balloon *b = dev;

	b->features = features;
	forget_pages(b);
	return start(b, err);
}

/* The pages are the driver's again: whoever resets a device has taken them out, or starts anew. */
void balloon_reset(void *dev, int queue)
{
	struct virtio_balloon *b = dev;

	for (int i = 0; i < BALLOON_QUEUES; i++) {
		if (queue < 0 || queue == i)
			b->work[i].taken = false;
	}
	if (queue < 0 || queue == BALLOON_Q_STATS)
		b->stats_held = false;
	if (queue >= 0)
		return;
	stop(b);
	b->features = 0;
	forget_pages(b);
	b->stats_present = 0;
	b->stats_realtime_ns = 0;
	memset(b->stats, 0, sizeof(b->stats));
	atomic_store(&b->actual, 0);
	atomic_store(&b->poison, 0);
}

/* What is half done is done again by whoever goes on: that has the same result. */
int balloon_drain(void *dev, uint64_t deadline_ns _unused_, struct error *err _unused_)
{
	struct virtio_balloon *b = dev;

	for (unsigned int i = 0; i < BALLOON_QUEUES; i++)
		balloon_put_back(b, i);
	stop(b);
	return 0;
}

void balloon_thaw(void *dev)
{
	struct virtio_balloon *b = dev;
	struct error err = ERROR_INIT;

	if (start(b, &err) < 0)
		virtio_needs_reset(b->v, &err);
}

int balloon_resumed(void *dev, uint64_t features, struct error *err)
{
	struct virtio_balloon *b = dev;

	b->features = features;
	return start(b, err);
}

/* ---- Kept memory. ---- */

struct keep_call {
	struct virtio_balloon *b;
	bool keep;
};

static void keep(void *opaque)
{
	const struct keep_call *call = opaque;
	struct virtio_balloon *b = call->b;

	if (b->kept == call->keep)
		return;
	b->kept = call->keep;
	if (b->kept) {
		if (b->again_timer)
			loop_timer_disarm(b->again_timer);
		return;
	}
	b->again = b->ranges.count > 0;
	b->again_from = 0;
	balloon_go_on_again(b, 0);
}

void virtio_balloon_keep(struct virtio_balloon *b, bool keep_it)
{
	struct keep_call call = {b, keep_it};

	loop_call(virtio_loop(b->v), keep, &call);
}
