/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtqueue, split or packed (virtio 1.2, 2.7 and 2.8), seen from the device. Everything in the
 * rings is hostile: each descriptor is copied once and its range checked once; chains are bounded
 * by the queue size (and 1,024 segments). A queue that finds nonsense is broken until reset:
 * virtqueue_broken() and the device sets DEVICE_NEEDS_RESET. One thread at a time per queue.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_VIRTQUEUE_H
#define HOLDFAST_DEVICES_VIRTIO_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/state.h"
#include "devices/attach.h"

#define VIRTQUEUE_SIZE_MAX     1024
#define VIRTQUEUE_SEGMENTS_MAX 1024

/* As the driver set it up through the transport. */
struct virtqueue_config {
	uint16_t size;
	uint64_t desc, driver,
		device; /* descriptor area, driver area (avail), device area (used) */
	bool packed, event_idx, indirect; /* negotiated features */
};

struct virtqueue;

/* A buffer that the driver made available: readable segments first, then writable ones. */
struct virtqueue_chain {
	uint16_t id;	/* head index (split) or buffer id (packed) */
	uint16_t slots; /* descriptors it takes in a packed ring */
	unsigned int out_count, in_count;
	size_t out_bytes, in_bytes;
	struct iovec *out; /* driver -> device; storage belongs to the caller's chain, see below */
	struct iovec *in;  /* device -> driver */
	struct iovec segments[VIRTQUEUE_SEGMENTS_MAX];
};

int virtqueue_new(const struct guest_memory *memory, struct virtqueue **ret, struct error *err);
void virtqueue_free(struct virtqueue *vq);

/* Checks the three areas against guest RAM and the alignment rules, then the queue is live.
 * -EINVAL, -EFAULT. */
int virtqueue_enable(struct virtqueue *vq, const struct virtqueue_config *config,
		     struct error *err);
void virtqueue_reset(struct virtqueue *vq);
bool virtqueue_enabled(const struct virtqueue *vq);

/* 1: *chain holds the next buffer. 0: none. -EPROTO: the driver broke the rules (said once through
 * err). */
int virtqueue_pop(struct virtqueue *vq, struct virtqueue_chain *chain, struct error *err);
/* Gives back the last popped buffers, newest first, as if they had not been popped (rx buffers that
 * were not needed). */
void virtqueue_unpop(struct virtqueue *vq, const struct virtqueue_chain *chain);
/* Returns a buffer with `written` bytes. Order is the device's. */
void virtqueue_push(struct virtqueue *vq, uint16_t id, uint16_t slots, uint32_t written);
/* After pushes: whether the driver wants an interrupt now (flags or EVENT_IDX), with the barrier
 * the spec asks for. */
bool virtqueue_should_notify(struct virtqueue *vq);
/* Asks the driver (not) to ring. disable() is a hint; enable() returns true if buffers arrived
 * meanwhile: pop again. */
void virtqueue_disable_doorbell(struct virtqueue *vq);
bool virtqueue_enable_doorbell(struct virtqueue *vq);
bool virtqueue_broken(const struct virtqueue *vq);

/* Ring positions for vhost (VHOST_SET_VRING_BASE) and back. */
uint32_t virtqueue_position(const struct virtqueue *vq);
void virtqueue_set_position(struct virtqueue *vq, uint32_t position);

/* Buffers popped and not pushed: their ids, for devices that submit them again after a resume. */
int virtqueue_save(const struct virtqueue *vq, struct state_writer *w, struct error *err);
int virtqueue_load(struct virtqueue *vq, struct state_reader *r, enum state_mode mode,
		   struct error *err);

#endif
