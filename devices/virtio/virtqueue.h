/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtqueue, split or packed (virtio 1.2, 2.7 and 2.8), seen from the device. Everything in the
 * rings is hostile: each descriptor is copied once and its range checked once; chains are bounded.
 * A queue in which nonsense was found is broken until it is reset: nothing more is popped or
 * pushed. One thread at a time per queue.
 *
 * The usual turn of a device:
 *
 *	do {
 *		virtqueue_disable_doorbell(vq);
 *		while ((r = virtqueue_pop(vq, chain, &err)) > 0) {
 *			... n bytes into chain->in ...
 *			virtqueue_push(vq, chain, n);
 *		}
 *	} while (r == 0 && virtqueue_enable_doorbell(vq));
 *	virtio_notify_queue(v, queue);  // publishes all pushes at once, one interrupt at most
 *	if (r < 0)
 *		virtio_needs_reset(v, &err);
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_VIRTQUEUE_H
#define HOLDFAST_DEVICES_VIRTIO_VIRTQUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/state.h"
#include "devices/attach.h"

#define VIRTQUEUE_SIZE_MAX     1024 /* entries */
#define VIRTQUEUE_SEGMENTS_MAX 1024 /* of a chain */

/* As the driver set it up through the transport. */
struct virtqueue_config {
	uint16_t size; /* split: a power of two */
	uint64_t desc, driver,
		device; /* descriptor area, driver area (avail), device area (used) */
	bool packed, event_idx, indirect; /* negotiated features */
};

struct virtqueue;

/* One piece of a buffer, with its guest address: pointers do not survive an update, addresses do.
 */
struct virtqueue_segment {
	uint64_t gpa;
	uint32_t len;
};

/*
 * A buffer that the driver made available: readable segments first, then writable ones; descriptors
 * of length 0 are left out, so there may be none. Allocated by the device, once per request it can
 * have in flight; used again and again.
 */
struct virtqueue_chain {
	uint16_t id;	/* head index (split) or buffer id (packed) */
	uint16_t slots; /* descriptors it takes in the ring (packed) */
	uint16_t out_count, in_count;
	size_t out_bytes, in_bytes;
	struct iovec *out; /* driver -> device: iov[0..out_count) */
	struct iovec *in;  /* device -> driver: iov[out_count..out_count + in_count) */
	struct virtqueue_segment *segments; /* the same pieces by guest address */
	unsigned int capacity;		    /* segments that fit */
	struct iovec iov[];
};

/* capacity: segments, 1 to VIRTQUEUE_SEGMENTS_MAX. NULL: out of memory. */
struct virtqueue_chain *virtqueue_chain_new(unsigned int capacity);
void virtqueue_chain_free(struct virtqueue_chain *chain); /* NULL is fine */
static inline void virtqueue_chain_freep(struct virtqueue_chain **chain)
{
	virtqueue_chain_free(*chain);
}

/* Bytes between a chain and a flat buffer, from offset on; returns how many there were. */
size_t virtqueue_chain_read(const struct virtqueue_chain *chain, size_t offset, void *buf,
			    size_t size);
size_t virtqueue_chain_write(const struct virtqueue_chain *chain, size_t offset, const void *buf,
			     size_t size);

/* dma: while it is false (bus mastering off) nothing is popped, and a buffer that is pushed is
 * lost: the queue is broken then. NULL: always true. Borrowed, as memory's opaque. */
int virtqueue_new(const struct guest_memory *memory, const atomic_bool *dma, struct virtqueue **ret,
		  struct error *err);
void virtqueue_free(struct virtqueue *vq); /* NULL is fine */

/* Checks the three areas against guest RAM and the alignment rules (2.7, 2.8), then the queue is
 * live, from its beginning. -EINVAL, -EFAULT. */
int virtqueue_enable(struct virtqueue *vq, const struct virtqueue_config *config,
		     struct error *err);
/* Forgets the rings. Buffers that are in flight must not be pushed any more. */
void virtqueue_reset(struct virtqueue *vq);
bool virtqueue_enabled(const struct virtqueue *vq);
bool virtqueue_broken(const struct virtqueue *vq);
/* Valid while the queue is enabled. */
const struct virtqueue_config *virtqueue_config(const struct virtqueue *vq);
/* Where descriptor, driver and device area lie in this process, all of each, while the queue is
 * enabled: for vhost. */
void virtqueue_areas(const struct virtqueue *vq, void *ret_areas[3]);

/*
 * 1: *chain holds the next buffer. 0: none (or the queue is disabled, broken, or DMA is off).
 * -EPROTO: the driver broke the rules, or made a buffer with more segments than the chain has room
 * for; the queue is broken now, and this is said once.
 */
int virtqueue_pop(struct virtqueue *vq, struct virtqueue_chain *chain, struct error *err);
/* Gives back the last popped buffers, newest first, as if they had not been popped (receive buffers
 * that were not needed). */
void virtqueue_unpop(struct virtqueue *vq, const struct virtqueue_chain *chain);
/* Returns a buffer with `written` bytes, in any order. The driver sees nothing before
 * virtqueue_publish(). */
void virtqueue_push(struct virtqueue *vq, const struct virtqueue_chain *chain, uint32_t written);
/* Makes all pushed buffers visible to the driver, at once. True: it wants an interrupt (flags or
 * EVENT_IDX). For devices: virtio_notify_queue(). */
bool virtqueue_publish(struct virtqueue *vq);
/* Asks the driver (not) to ring. disable() is a hint; enable() returns true if buffers arrived
 * meanwhile: pop again. */
void virtqueue_disable_doorbell(struct virtqueue *vq);
bool virtqueue_enable_doorbell(struct virtqueue *vq);
/* Buffers popped and not pushed. */
unsigned int virtqueue_in_flight(const struct virtqueue *vq);

/*
 * Ring positions as vhost has them (VHOST_SET_VRING_BASE; linux/vhost_types.h): split: index of the
 * next available entry; packed: available and used positions with their wrap bits. Nothing may be
 * in flight.
 */
uint32_t virtqueue_position(const struct virtqueue *vq);
void virtqueue_set_position(struct virtqueue *vq, uint32_t position);

/*
 * Positions, as properties of the node that is open: the transport's "queue@N". Everything pushed
 * is published by then. Loading enables the queue with this config, checked as enable() does.
 */
void virtqueue_save(const struct virtqueue *vq, struct state_writer *w);
void virtqueue_load(struct virtqueue *vq, const struct virtqueue_config *config,
		    struct state_reader *r, enum state_mode mode);
/* Instead, for a queue that is not enabled. */
void virtqueue_load_disabled(struct virtqueue *vq);
/* In-flight buffers that the last load() told of, in STATE_CHECK mode too: a device must find as
 * many in its own state. */
unsigned int virtqueue_loaded_in_flight(const struct virtqueue *vq);

/*
 * A buffer in flight, for devices that submit it again after a resume: properties of the node that
 * is open. Loading checks addresses as pop() does; state_reader_done() tells what is wrong.
 */
void virtqueue_chain_save(const struct virtqueue_chain *chain, struct state_writer *w);
void virtqueue_chain_load(struct virtqueue *vq, struct virtqueue_chain *chain,
			  struct state_reader *r);

#endif
