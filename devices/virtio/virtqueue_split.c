/* SPDX-License-Identifier: Apache-2.0 */
/* Split virtqueues: virtio 1.2, 2.7. */
#include "base/util.h"
#include "devices/virtio/virtqueue_impl.h"

#define AVAIL_NO_INTERRUPT 1U
#define USED_NO_NOTIFY	   1U

static const uint16_t *avail_idx(const struct virtqueue *vq)
{
	return vq->split.avail + 1;
}

static const uint16_t *used_event(const struct virtqueue *vq)
{
	return vq->split.avail + 2 + vq->config.size;
}

static uint16_t *avail_event(struct virtqueue *vq)
{
	return vq->split.used + 2 + 4 * (size_t)vq->config.size;
}

static void split_areas(uint16_t size, uint64_t sizes[3], uint64_t aligns[3])
{
	sizes[0] = VQ_DESC_SIZE * (uint64_t)size;
	sizes[1] = 6 + 2 * (uint64_t)size;
	sizes[2] = 6 + 8 * (uint64_t)size;
	aligns[0] = 16;
	aligns[1] = 2;
	aligns[2] = 4;
}

static void split_start(struct virtqueue *vq, void *desc, void *driver, void *device)
{
	vq->split = (struct vq_split){.desc = desc, .avail = driver, .used = device};
}

/* The descriptors of an indirect table are a chain of their own (2.7.5.3). */
static int walk(struct virtqueue *vq, const uint64_t *table, uint32_t count, uint32_t index,
		bool direct, struct virtqueue_chain *chain, struct error *err)
{
	const uint64_t *indirect = NULL;

	for (uint32_t seen = 0;; seen++) {
		struct vq_desc desc;
		int r;

		if (index >= count)
			return vq_fail(vq, err, "descriptor %u of %u", index, count);
		if (seen >= count)
			return vq_fail(vq, err, "a descriptor chain with a loop");
		desc = vq_desc_copy(table, index);
		if (desc.flags & VQ_DESC_INDIRECT) {
			uint32_t inner;

			if (!direct)
				return vq_fail(vq, err, "an indirect descriptor inside a table");
			r = vq_indirect(vq, &desc, &indirect, &inner, err);
			return r < 0 ? r : walk(vq, indirect, inner, 0, false, chain, err);
		}
		r = vq_add(vq, chain, &desc, err);
		if (r < 0)
			return r;
		if (!(desc.flags & VQ_DESC_NEXT))
			return 0;
		index = desc.next;
	}
}

static int split_pop(struct virtqueue *vq, struct virtqueue_chain *chain, struct error *err)
{
	struct vq_split *s = &vq->split;
	uint16_t head;
	int r;

	if (s->avail_next == s->avail_seen) {
		/* Acquire: the entries and descriptors before the index are the driver's finished
		 * ones. Looked at once per batch: the driver writes this cache line. */
		s->avail_seen = vq_load16_acquire(avail_idx(vq));
		if ((uint16_t)(s->avail_seen - s->avail_next) > vq->config.size)
			return vq_fail(vq, err, "available index %u is more than %u after %u",
				       s->avail_seen, vq->config.size, s->avail_next);
	}
	if (s->avail_next == s->avail_seen)
		return 0;
	if (vq->in_flight >= vq->config.size)
		return vq_fail(vq, err, "more buffers in flight than the queue has entries");
	head = vq_load16(s->avail + 2 + s->avail_next % vq->config.size);
	r = walk(vq, s->desc, vq->config.size, head, true, chain, err);
	if (r < 0)
		return r;
	chain->id = head;
	s->avail_next++;
	return 1;
}

static void split_unpop(struct virtqueue *vq, const struct virtqueue_chain *chain _unused_)
{
	vq->split.avail_next--;
}

static void split_push(struct virtqueue *vq, const struct virtqueue_chain *chain, uint32_t written)
{
	struct vq_split *s = &vq->split;
	uint16_t *entry = s->used + 2 + 4 * (size_t)(s->used_next++ % vq->config.size);
	uint32_t values[2] = {htole32(chain->id), htole32(written)};

	__builtin_memcpy(entry, values, sizeof(values));
}

static bool split_publish(struct virtqueue *vq)
{
	struct vq_split *s = &vq->split;
	uint16_t old = s->used_published;

	if (s->used_next == old)
		return false;
	/* Release: entries and the data in the buffers before the index (2.7.8.2). */
	vq_store16_release(s->used + 1, s->used_next);
	s->used_published = s->used_next;
	/* The driver arms used_event, then looks at our index; we write the index, then look at
	 * used_event: one of the two must see the other. */
	vq_full_barrier();
	if (vq->config.event_idx)
		return vq_event_passed(vq_load16(used_event(vq)), s->used_next, old);
	return !(vq_load16(s->avail) & AVAIL_NO_INTERRUPT);
}

/* With EVENT_IDX there is nothing to do: an event index that is not moved is soon behind. */
static void split_disable_doorbell(struct virtqueue *vq)
{
	if (!vq->config.event_idx)
		vq_store16(vq->split.used, USED_NO_NOTIFY);
}

static bool split_enable_doorbell(struct virtqueue *vq)
{
	struct vq_split *s = &vq->split;

	if (vq->config.event_idx)
		vq_store16(avail_event(vq), s->avail_next);
	else
		vq_store16(s->used, 0);
	/* As in publish, with the parts changed. */
	vq_full_barrier();
	return vq_load16(avail_idx(vq)) != s->avail_next;
}

static void split_get(const struct virtqueue *vq, uint16_t *available, uint16_t *used)
{
	*available = vq->split.avail_next;
	*used = vq->split.used_next;
}

static int split_distance(uint16_t size, uint16_t available, uint16_t used)
{
	uint16_t distance = (uint16_t)(available - used);

	return distance <= size ? distance : -1;
}

static void split_set(struct virtqueue *vq, uint16_t available, uint16_t used)
{
	vq->split.avail_next = vq->split.avail_seen = available;
	vq->split.used_next = vq->split.used_published = used;
}

const struct vq_ring_ops vq_split_ops = {
	.areas = split_areas,
	.start = split_start,
	.pop = split_pop,
	.unpop = split_unpop,
	.push = split_push,
	.publish = split_publish,
	.disable_doorbell = split_disable_doorbell,
	.enable_doorbell = split_enable_doorbell,
	.get = split_get,
	.distance = split_distance,
	.set = split_set,
};
