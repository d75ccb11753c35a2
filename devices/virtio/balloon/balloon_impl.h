/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the balloon share. For devices/virtio/balloon/balloon*.c only, and its tests.
 * Everything belongs to the device's loop, but for what is marked.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_BALLOON_BALLOON_IMPL_H
#define HOLDFAST_DEVICES_VIRTIO_BALLOON_BALLOON_IMPL_H

#include <stdatomic.h>

#include "base/log.h"
#include "base/util.h"
#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/balloon/balloon_ranges.h"
#include "devices/virtio/balloon/balloon_spec.h"

#define BALLOON_QUEUES	   5
#define BALLOON_QUEUE_SIZE 128
/* 2.7.5.3.1: no chain is longer than the queue; two more for buffers across the seam of two pieces
 * of RAM. */
#define BALLOON_SEGMENTS_MAX (BALLOON_QUEUE_SIZE + 2)

/* When the kernel says that memory is preserved though we know nothing of it any more. */
#define BALLOON_RETRY_NS NSEC_PER_SEC

/* A buffer that is being worked on, a turn of the loop after the other if it is large. */
struct balloon_work {
	struct virtqueue_chain *chain; /* owned */
	bool taken;
	size_t done; /* bytes of page numbers, or segments */
};

struct virtio_balloon {
	struct virtio_pci *v;
	struct virtio_balloon_config config;
	_Atomic uint64_t memory; /* bytes */
	struct guest_memory ram;
	struct guest_discard discard;

	/* Any thread. */
	_Atomic uint64_t checked_features; /* those that the driver asked for last */
	_Atomic uint32_t target, actual;   /* pages */
	_Atomic uint32_t poison;	   /* of the configuration space */
	struct {
		_Atomic uint64_t inflated_bytes, deflated_bytes, reported_bytes, given_back_bytes,
			refused, failed;
	} counters;

	uint64_t features; /* negotiated; while active */
	bool running;	   /* started and not drained */
	struct balloon_work work[BALLOON_QUEUES];
	struct log_ratelimit log;

	/* Given away; only with MUST_TELL_HOST. */
	struct balloon_ranges ranges;
	bool kept;
	bool again;			/* all of `ranges` is to be given back again ... */
	uint64_t again_from;		/* ... from this page on */
	struct loop_timer *again_timer; /* while running */

	struct virtqueue_chain *stats_buffer; /* owned */
	bool stats_held;		      /* it has the driver's buffer */
	struct loop_timer *stats_timer;	      /* while running */
	uint32_t stats_present;		      /* bit per tag */
	uint64_t stats[BALLOON_STATS];
	uint64_t stats_realtime_ns; /* when they came; 0: never */
};

#define balloon_count(b, counter, n) \
	atomic_fetch_add_explicit(&(b)->counters.counter, (n), memory_order_relaxed)

/* balloon.c */
unsigned int balloon_queue_count(void *dev);

/* balloon_config_space.c */
uint64_t balloon_features(void *dev);
int balloon_check_features(void *dev, uint64_t features, struct error *err);
size_t balloon_config_size(void *dev);
void balloon_config_read(void *dev, size_t offset, void *data, size_t size);
void balloon_config_write(void *dev, size_t offset, const void *data, size_t size);

/* balloon_queue.c */
void balloon_queue_ready(void *dev, unsigned int queue);
/* The queue's buffer that is half done goes back into the queue: doing it again is the same. */
void balloon_put_back(struct virtio_balloon *b, unsigned int queue);
/* Whether this is the queue of statistics, for a driver with these features. */
bool balloon_is_stats(uint64_t features, unsigned int queue);

/* balloon_pages.c */
/* Page numbers of a buffer, from byte `done` on, at most so many; returns how far it got. */
size_t balloon_inflate(struct virtio_balloon *b, const struct virtqueue_chain *chain, size_t done,
		       unsigned int pages_max);
size_t balloon_deflate(struct virtio_balloon *b, const struct virtqueue_chain *chain, size_t done,
		       unsigned int pages_max);
/* A segment of a report. */
void balloon_report(struct virtio_balloon *b, const struct virtqueue_segment *segment);
/* Some of what was given away, again: after memory was kept. */
void balloon_give_back_again(void *opaque);

/* balloon_stats.c */
/* 1: out of budget, there may be more. 0: nothing more is there. -EPROTO. */
int balloon_take_stats(struct virtio_balloon *b, unsigned int *buffers_left, struct error *err);
void balloon_ask_stats(void *opaque); /* the timer's */

/* balloon_life.c */
int balloon_activate(void *dev, uint64_t features, struct error *err);
void balloon_reset(void *dev, int queue);
int balloon_drain(void *dev, uint64_t deadline_ns, struct error *err);
void balloon_thaw(void *dev);
int balloon_resumed(void *dev, uint64_t features, struct error *err);
/* Gives back again what there is, if it may, from where it was left, after that time. */
void balloon_go_on_again(struct virtio_balloon *b, uint64_t delay_ns);

/* balloon_state.c */
int balloon_save(const void *dev, struct state_writer *w, struct error *err);
int balloon_load(void *dev, uint32_t version, struct state_reader *r, enum state_mode mode,
		 struct error *err);
size_t balloon_state_size_max(const void *dev);

#endif
