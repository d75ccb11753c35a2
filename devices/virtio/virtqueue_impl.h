/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a virtqueue share. For devices/virtio/virtqueue*.c only. */
#ifndef HOLDFAST_DEVICES_VIRTIO_VIRTQUEUE_IMPL_H
#define HOLDFAST_DEVICES_VIRTIO_VIRTQUEUE_IMPL_H

#include <endian.h>

#include "devices/virtio/virtqueue.h"

/* A descriptor, copied out of guest memory, in host byte order. */
struct vq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* packed: the buffer id */
};

/* virtio 1.2, 2.7.5 and 2.8.1. */
#define VQ_DESC_NEXT	 1U
#define VQ_DESC_WRITE	 2U
#define VQ_DESC_INDIRECT 4U
#define VQ_DESC_SIZE	 16U

struct vq_split {
	const uint64_t *desc;
	/* le16 each: flags, idx, ring[size], used_event. */
	const uint16_t *avail;
	/* le16 flags, le16 idx, {le32 id, le32 len}[size], le16 avail_event. */
	uint16_t *used;
	uint16_t avail_next;	 /* next entry to pop */
	uint16_t avail_seen;	 /* the driver's index when we last looked */
	uint16_t used_next;	 /* next entry to push */
	uint16_t used_published; /* as the driver sees it */
};

/* A place in a packed ring; wrap starts at 1 (2.8.1). */
struct vq_packed_pos {
	uint16_t slot;
	bool wrap;
};

struct vq_packed {
	uint64_t *desc;
	const uint16_t *driver_event; /* le16 offset and wrap, le16 flags */
	uint16_t *device_event;
	struct vq_packed_pos avail, used;
	struct vq_packed_pos first; /* first pushed and not published: its flags are held back */
	uint16_t first_flags;
	uint16_t pushed; /* slots pushed since the last publish */
};

struct vq_ring_ops {
	/* Sizes and alignments of the three areas in bytes: 2.7 and 2.8. */
	void (*areas)(uint16_t size, uint64_t sizes[3], uint64_t aligns[3]);
	void (*start)(struct virtqueue *vq, void *desc, void *driver, void *device);
	int (*pop)(struct virtqueue *vq, struct virtqueue_chain *chain, struct error *err);
	void (*unpop)(struct virtqueue *vq, const struct virtqueue_chain *chain);
	void (*push)(struct virtqueue *vq, const struct virtqueue_chain *chain, uint32_t written);
	bool (*publish)(struct virtqueue *vq);
	void (*disable_doorbell)(struct virtqueue *vq);
	bool (*enable_doorbell)(struct virtqueue *vq);
	/* Positions as 16 bits each: index (split) or slot and wrap bit 15 (packed). */
	void (*get)(const struct virtqueue *vq, uint16_t *available, uint16_t *used);
	/* Slots (split: buffers) between used and available, or -1 if that cannot be. */
	int (*distance)(uint16_t size, uint16_t available, uint16_t used);
	void (*set)(struct virtqueue *vq, uint16_t available, uint16_t used);
};

extern const struct vq_ring_ops vq_split_ops, vq_packed_ops;

struct virtqueue {
	struct guest_memory memory;
	const atomic_bool *dma;
	struct virtqueue_config config;
	const struct vq_ring_ops *ops;
	bool enabled, broken;
	unsigned int in_flight, slots_in_flight;
	unsigned int loaded_in_flight;
	uint64_t ids[1024]; /* one bit for each id: whether a buffer with it is in flight */
	union {
		struct vq_split split;
		struct vq_packed packed;
	};
};

/* The driver broke the rules: the queue is broken from here on. Returns -EPROTO. */
int vq_fail(struct virtqueue *vq, struct error *err, const char *fmt, ...) _printf_(3, 4);

static inline void chain_clear(struct virtqueue_chain *chain)
{
	chain->out_count = chain->in_count = 0;
	chain->out_bytes = chain->in_bytes = 0;
	chain->slots = 1;
	chain->out = chain->in = chain->iov;
}

static inline bool vq_id_in_flight(const struct virtqueue *vq, uint16_t id)
{
	return vq->ids[id / 64] >> (id % 64) & 1;
}

static inline void vq_set_id_in_flight(struct virtqueue *vq, uint16_t id, bool in_flight)
{
	uint64_t bit = (uint64_t)1 << (id % 64);

	if (in_flight)
		vq->ids[id / 64] |= bit;
	else
		vq->ids[id / 64] &= ~bit;
}

/* Adds what one descriptor points to; order, addresses, total length and room are checked. */
int vq_add(struct virtqueue *vq, struct virtqueue_chain *chain, const struct vq_desc *desc,
	   struct error *err);
/* Checks the descriptor that points to an indirect table and gives the table. */
int vq_indirect(struct virtqueue *vq, const struct vq_desc *desc, const uint64_t **ret_table,
		uint32_t *ret_count, struct error *err);

/*
 * One copy of a descriptor: volatile, so that the compiler cannot look again after the checks. The
 * guest may tear it while we copy; it is checked as copied.
 */
static inline struct vq_desc vq_desc_copy(const uint64_t *table, uint32_t index)
{
	const volatile uint64_t *p = table + 2 * (size_t)index;
	uint64_t addr = le64toh(p[0]), rest = le64toh(p[1]);

	return (struct vq_desc){.addr = addr,
				.len = (uint32_t)rest,
				.flags = (uint16_t)(rest >> 32),
				.next = (uint16_t)(rest >> 48)};
}

static inline uint16_t vq_load16(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

/* What the driver wrote before this value is seen by what we read after it. */
static inline uint16_t vq_load16_acquire(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static inline void vq_store16(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, htole16(value), __ATOMIC_RELAXED);
}

/* All that we wrote before is seen by whoever sees this value. */
static inline void vq_store16_release(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, htole16(value), __ATOMIC_RELEASE);
}

/* Store, then load: only a full barrier keeps the two in order, on x86 too. */
static inline void vq_full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* 2.7.7.1: has the event index been passed on the way from old to new? */
static inline bool vq_event_passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

#endif
