/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the block device share. For devices/virtio/blk/blk*.c only, and its tests.
 *
 * A request's life: taken from its queue (blk_queue.c) -> understood (blk_request.c) -> one or more
 * operations of the backend (blk_run.c) -> answered. Everything here belongs to the thread of the
 * device's loop, but for what is marked.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_BLK_BLK_IMPL_H
#define HOLDFAST_DEVICES_VIRTIO_BLK_BLK_IMPL_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/util.h"
#include "devices/virtio/blk/backend.h"
#include "devices/virtio/blk/blk.h"
#include "devices/virtio/blk/blk_spec.h"

/* Ranges of one discard or write zeroes. */
#define BLK_RANGES_MAX 16
/* Memory of one request whose buffers direct I/O cannot use; larger ones go in pieces. */
#define BLK_BOUNCE_MAX (128U * 1024)

struct blk_range {
	uint64_t offset, length; /* bytes */
	bool unmap;
};

struct blk_request {
	struct blk_io io; /* the operation that is under way for it */
	TAILQ_ENTRY(blk_request) in_flight;
	STAILQ_ENTRY(blk_request) waiting;
	struct virtqueue_chain *chain; /* owned */
	uint16_t queue;
	/* Of the header, read once. */
	uint32_t type;
	uint64_t sector;
	/* What is left to do, and where it is in guest memory. */
	uint8_t *status;
	struct iovec *data;
	unsigned int data_count;
	uint64_t offset, left; /* bytes */
	uint64_t size;	       /* of all data */
	struct blk_range ranges[BLK_RANGES_MAX];
	unsigned int range_count, range_next;
	uint8_t *bounce; /* owned; BLK_BOUNCE_MAX bytes */
	struct iovec bounce_iov;
	uint64_t bounce_skip; /* bytes at its start that nobody asked for */
	bool exclusive;	      /* alone on the image */
	bool waits;	      /* is in the list `waiting` */
	bool running;	      /* the backend has an operation of it */
	bool abandoned;	      /* its queue was reset: no answer */
};

TAILQ_HEAD(blk_request_list, blk_request);
STAILQ_HEAD(blk_waiting_list, blk_request);

struct blk_queue {
	bool stalled; /* may have buffers that were not taken for want of room or tokens */
	bool dirty;   /* something was pushed since the driver was notified */
};

/* Cache mode: what the driver wrote, or by 5.2.5.2 what it starts with. */
enum blk_writeback { BLK_WRITEBACK_OFF, BLK_WRITEBACK_ON, BLK_WRITEBACK_DEFAULT };

struct virtio_blk {
	struct virtio_pci *v;
	struct virtio_blk_config config;
	struct blk_image image;	     /* its size is written on the loop */
	struct blk_limits limits;    /* as the driver sees them; a loaded state's own */
	struct blk_backend *backend; /* owned */
	uint64_t features;	     /* negotiated; while active */
	/* vCPUs write the two, the loop reads them. */
	_Atomic uint64_t checked_features; /* those that the driver asked for last */
	_Atomic uint32_t writeback;	   /* enum blk_writeback */
	_Atomic uint64_t sectors;	   /* capacity, for any thread */

	unsigned int segments_max; /* of a chain */
	struct blk_queue queues[BLK_QUEUES_MAX];
	unsigned int next_queue;	   /* whose turn it is after a stall */
	struct blk_request_list in_flight; /* oldest first */
	unsigned int in_flight_count;
	struct blk_request_list free_requests; /* kept for the next ones */
	struct blk_waiting_list waiting;       /* for an exclusive one, or to be one */
	unsigned int running;
	struct blk_request *exclusive;
	bool frozen;  /* drained, and neither thawed nor resumed */
	bool peeking; /* in the backend's peek() */

	struct rate_limiter limiter;
	struct loop_timer *limiter_timer; /* while started */
	struct log_ratelimit error_log, driver_log;
	struct {
		_Atomic uint64_t read_ops, read_bytes, write_ops, write_bytes, flush_ops, other_ops,
			errors, throttled, resubmitted;
	} counters;
};

#define blk_count(blk, counter, n) \
	atomic_fetch_add_explicit(&(blk)->counters.counter, (n), memory_order_relaxed)

/* blk.c. make: the backend; tests have one of their own. */
int blk_new_with_backend(const struct virtio_blk_config *config, blk_backend_new_fn *make,
			 struct virtio_blk **ret, struct error *err);

/* blk_config_space.c */
uint64_t blk_features(void *dev);
int blk_check_features(void *dev, uint64_t features, struct error *err);
size_t blk_config_size(void *dev);
void blk_config_read(void *dev, size_t offset, void *data, size_t size);
void blk_config_write(void *dev, size_t offset, const void *data, size_t size);
/* A completed write must be stable: 5.2.6.2. */
bool blk_write_through(const struct virtio_blk *blk);

/* blk_request.c */
/* One with a chain, not in flight; NULL: out of memory. */
struct blk_request *blk_request_get(struct virtio_blk *blk);
void blk_request_put(struct virtio_blk *blk, struct blk_request *q);
void blk_request_destroy(struct blk_request *q); /* NULL is fine */
/* Reads the header. -EPROTO: there is nowhere to put a status. */
int blk_request_read_header(struct blk_request *q, struct error *err);
/*
 * Checks all of it by type and sector and finds its data. A status to answer with at once, or -1:
 * it is to be run.
 */
int blk_request_prepare(struct virtio_blk *blk, struct blk_request *q);

/* blk_run.c */
/* Of a request in flight. Ends may be told in it. */
void blk_request_start(struct virtio_blk *blk, struct blk_request *q);
void blk_io_done(void *opaque, struct blk_io *io); /* the backend's client */
/* Requests of that queue (negative: of all) are dropped without an answer; waits for the host. */
void blk_abandon(struct virtio_blk *blk, int queue);

/* blk_queue.c */
void blk_serve(struct virtio_blk *blk, unsigned int queue);
void blk_batch_done(
	void *opaque); /* the backend's client: notifies, and takes what was held back */
void blk_notify(struct virtio_blk *blk);
void blk_limiter_expired(void *opaque);

/* blk_life.c */
int blk_activate(void *dev, uint64_t features, struct error *err);
void blk_reset(void *dev, int queue);
int blk_drain(void *dev, uint64_t deadline_ns, struct error *err);
void blk_thaw(void *dev);
int blk_resumed(void *dev, uint64_t features, struct error *err);

/* blk_state.c */
int blk_save(const void *dev, struct state_writer *w, struct error *err);
int blk_load(void *dev, uint32_t version, struct state_reader *r, enum state_mode mode,
	     struct error *err);
size_t blk_state_size_max(const void *dev);

#endif
