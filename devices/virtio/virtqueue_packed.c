/* SPDX-License-Identifier: Apache-2.0 */
/* Packed virtqueues: virtio 1.2, 2.8. */
#include "base/util.h"
#include "devices/virtio/virtqueue_impl.h"

#define DESC_AVAIL (1U << 7)
#define DESC_USED  (1U << 15)

/* Event suppression: 2.8.10. */
#define EVENT_ENABLE  0U
#define EVENT_DISABLE 1U
#define EVENT_DESC    2U
#define EVENT_SIZE    4U
#define WRAP_BIT      (1U << 15)

static uint16_t *flags_of(const struct virtqueue *vq, uint16_t slot)
{
	return (uint16_t *)(vq->packed.desc + 2 * (size_t)slot) + 7;
}

static void move(const struct virtqueue *vq, struct vq_packed_pos *pos, uint16_t slots)
{
	unsigned int slot = (unsigned int)pos->slot + slots;

	if (slot >= vq->config.size) {
		slot -= vq->config.size;
		pos->wrap = !pos->wrap;
	}
	pos->slot = (uint16_t)slot;
}

static void packed_areas(uint16_t size, uint64_t sizes[3], uint64_t aligns[3])
{
	sizes[0] = VQ_DESC_SIZE * (uint64_t)size;
	sizes[1] = sizes[2] = EVENT_SIZE;
	aligns[0] = 16;
	aligns[1] = aligns[2] = 4;
}

static void packed_start(struct virtqueue *vq, void *desc, void *driver, void *device)
{
	vq->packed = (struct vq_packed){.desc = desc,
					.driver_event = driver,
					.device_event = device,
					.avail = {.wrap = true},
					.used = {.wrap = true}};
}

/* 2.8.1: available where the avail bit is our wrap counter and the used bit is not. */
static bool is_available(uint16_t flags, bool wrap)
{
	return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

/* A descriptor of the ring in the packed layout: addr, len, id, flags. */
static struct vq_desc ring_copy(const struct virtqueue *vq, uint16_t slot)
{
	struct vq_desc desc = vq_desc_copy(vq->packed.desc, slot);
	uint16_t id = desc.flags;

	desc.flags = desc.next;
	desc.next = id;
	return desc;
}

/* 2.8.7: every descriptor of the table is part of the buffer, in order; only WRITE is looked at. */
static int walk_table(struct virtqueue *vq, const struct vq_desc *desc,
		      struct virtqueue_chain *chain, struct error *err)
{
	const uint64_t *table;
	uint32_t count;
	int r = vq_indirect(vq, desc, &table, &count, err);

	for (uint32_t i = 0; r == 0 && i < count; i++) {
		struct vq_desc entry = vq_desc_copy(table, i);

		entry.flags = entry.next;
		r = vq_add(vq, chain, &entry, err);
	}
	return r;
}

/* flags: of the first descriptor, as they were when it was found available. */
static int walk_ring(struct virtqueue *vq, uint16_t flags, struct virtqueue_chain *chain,
		     struct error *err)
{
	struct vq_packed_pos pos = vq->packed.avail;

	for (uint16_t slots = 1;; slots++) {
		struct vq_desc desc = ring_copy(vq, pos.slot);
		int r;

		if (slots == 1)
			desc.flags = flags;
		if (vq->slots_in_flight + slots > vq->config.size)
			return vq_fail(vq, err, "a descriptor chain longer than the free ring");
		if ((desc.flags & VQ_DESC_INDIRECT) && slots > 1)
			return vq_fail(vq, err, "an indirect descriptor inside a chain");
		r = desc.flags & VQ_DESC_INDIRECT ? walk_table(vq, &desc, chain, err)
						  : vq_add(vq, chain, &desc, err);
		if (r < 0)
			return r;
		/* 2.8.6: the last descriptor's id is the buffer's. */
		chain->id = desc.next;
		chain->slots = slots;
		if (!(desc.flags & VQ_DESC_NEXT))
			return 0;
		move(vq, &pos, 1);
	}
}

static int packed_pop(struct virtqueue *vq, struct virtqueue_chain *chain, struct error *err)
{
	struct vq_packed *p = &vq->packed;
	/* Acquire: the rest of the chain was written before these flags. */
	uint16_t flags = vq_load16_acquire(flags_of(vq, p->avail.slot));
	int r;

	if (!is_available(flags, p->avail.wrap))
		return 0;
	r = walk_ring(vq, flags, chain, err);
	if (r < 0)
		return r;
	move(vq, &p->avail, chain->slots);
	return 1;
}

static void packed_unpop(struct virtqueue *vq, const struct virtqueue_chain *chain)
{
	struct vq_packed_pos *pos = &vq->packed.avail;

	if (pos->slot < chain->slots) {
		pos->slot = (uint16_t)(pos->slot + vq->config.size);
		pos->wrap = !pos->wrap;
	}
	pos->slot = (uint16_t)(pos->slot - chain->slots);
}

/*
 * The driver looks at the first used descriptor that it expects and not past it, so all but the
 * first of a batch can be written whole at once; the first one's flags make them all visible.
 */
static void packed_push(struct virtqueue *vq, const struct virtqueue_chain *chain, uint32_t written)
{
	struct vq_packed *p = &vq->packed;
	uint64_t *desc = p->desc + 2 * (size_t)p->used.slot;
	uint16_t *halves = (uint16_t *)desc;
	uint16_t flags = p->used.wrap ? DESC_AVAIL | DESC_USED : 0;
	uint32_t len = htole32(written);

	/* 2.8.2: whether the length means anything. */
	if (written)
		flags |= VQ_DESC_WRITE;
	__builtin_memcpy(&halves[4], &len, sizeof(len));
	vq_store16(&halves[6], chain->id);
	if (p->pushed == 0) {
		p->first = p->used;
		p->first_flags = flags;
	} else {
		vq_store16(&halves[7], flags);
	}
	p->pushed = (uint16_t)(p->pushed + chain->slots);
	move(vq, &p->used, chain->slots);
}

static bool packed_publish(struct virtqueue *vq)
{
	struct vq_packed *p = &vq->packed;
	uint16_t pushed = p->pushed, flags, event;

	if (pushed == 0)
		return false;
	vq_store16_release(flags_of(vq, p->first.slot), p->first_flags);
	p->pushed = 0;
	/* The driver arms its event, then looks at the ring; we the other way round. */
	vq_full_barrier();
	flags = vq_load16_acquire(p->driver_event + 1) & 3;
	if (flags != EVENT_DESC || !vq->config.event_idx)
		return flags != EVENT_DISABLE;
	event = vq_load16(p->driver_event);
	/* The event may be one lap behind or ahead of our position: 2.8.21.3.1 makes one line of
	 * both. */
	if (!!(event & WRAP_BIT) != p->used.wrap)
		event = (uint16_t)((event & ~WRAP_BIT) - vq->config.size);
	else
		event &= (uint16_t)~WRAP_BIT;
	return vq_event_passed(event, p->used.slot, (uint16_t)(p->used.slot - pushed));
}

static void packed_disable_doorbell(struct virtqueue *vq)
{
	vq_store16(vq->packed.device_event + 1, EVENT_DISABLE);
}

static bool packed_enable_doorbell(struct virtqueue *vq)
{
	struct vq_packed *p = &vq->packed;

	if (vq->config.event_idx) {
		vq_store16(p->device_event,
			   (uint16_t)(p->avail.slot | (p->avail.wrap ? WRAP_BIT : 0)));
		/* Release: whoever sees EVENT_DESC sees the place. */
		vq_store16_release(p->device_event + 1, EVENT_DESC);
	} else {
		vq_store16(p->device_event + 1, EVENT_ENABLE);
	}
	vq_full_barrier();
	return is_available(vq_load16(flags_of(vq, p->avail.slot)), p->avail.wrap);
}

static uint16_t pack(struct vq_packed_pos pos)
{
	return (uint16_t)(pos.slot | (pos.wrap ? WRAP_BIT : 0));
}

static struct vq_packed_pos unpack(uint16_t value)
{
	return (struct vq_packed_pos){.slot = (uint16_t)(value & ~WRAP_BIT),
				      .wrap = value & WRAP_BIT};
}

static void packed_get(const struct virtqueue *vq, uint16_t *available, uint16_t *used)
{
	*available = pack(vq->packed.avail);
	*used = pack(vq->packed.used);
}

static int packed_distance(uint16_t size, uint16_t available, uint16_t used)
{
	struct vq_packed_pos a = unpack(available), u = unpack(used);
	int distance = (int)a.slot - u.slot + (a.wrap == u.wrap ? 0 : size);

	if (a.slot >= size || u.slot >= size || distance < 0 || distance > size)
		return -1;
	return distance;
}

static void packed_set(struct virtqueue *vq, uint16_t available, uint16_t used)
{
	vq->packed.avail = unpack(available);
	vq->packed.used = unpack(used);
	vq->packed.pushed = 0;
	/* Positions from vhost are the kernel's, but a slot that is not there must not be used. */
	vq->packed.avail.slot = (uint16_t)(vq->packed.avail.slot % vq->config.size);
	vq->packed.used.slot = (uint16_t)(vq->packed.used.slot % vq->config.size);
}

const struct vq_ring_ops vq_packed_ops = {
	.areas = packed_areas,
	.start = packed_start,
	.pop = packed_pop,
	.unpop = packed_unpop,
	.push = packed_push,
	.publish = packed_publish,
	.disable_doorbell = packed_disable_doorbell,
	.enable_doorbell = packed_enable_doorbell,
	.get = packed_get,
	.distance = packed_distance,
	.set = packed_set,
};
