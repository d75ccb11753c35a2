/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/util.h"
#include "devices/virtio/virtqueue_impl.h"

int virtqueue_new(const struct guest_memory *memory, const atomic_bool *dma, struct virtqueue **ret,
		  struct error *err)
{
	struct virtqueue *vq = calloc(1, sizeof(*vq));

	if (!vq)
		return error_set(err, -ENOMEM, "virtqueue: out of memory");
	vq->memory = *memory;
	vq->dma = dma;
	*ret = vq;
	return 0;
}

void virtqueue_free(struct virtqueue *vq)
{
	free(vq);
}

int vq_fail(struct virtqueue *vq, struct error *err, const char *fmt, ...)
{
	va_list ap;

	vq->broken = true;
	va_start(ap, fmt);
	error_vset(err, -EPROTO, fmt, ap);
	va_end(ap);
	return -EPROTO;
}

static const struct vq_ring_ops *ops_for(const struct virtqueue_config *config)
{
	return config->packed ? &vq_packed_ops : &vq_split_ops;
}

/* Areas by the rules of 2.7 and 2.8, and inside guest RAM. */
static int check_config(const struct virtqueue *vq, const struct virtqueue_config *config,
			void *ret_areas[3], struct error *err)
{
	static const char *const names[3] = {"descriptor", "driver", "device"};
	const uint64_t addrs[3] = {config->desc, config->driver, config->device};
	uint64_t sizes[3], aligns[3];

	if (config->size == 0 || config->size > VIRTQUEUE_SIZE_MAX ||
	    (!config->packed && (config->size & (config->size - 1))))
		return error_set(err, -EINVAL, "a queue cannot have %u entries", config->size);
	ops_for(config)->areas(config->size, sizes, aligns);
	for (unsigned int i = 0; i < 3; i++) {
		if (addrs[i] % aligns[i])
			return error_set(err, -EINVAL, "%s area at 0x%llx is not aligned", names[i],
					 (unsigned long long)addrs[i]);
		ret_areas[i] = vq->memory.ptr(vq->memory.opaque, addrs[i], sizes[i]);
		if (!ret_areas[i])
			return error_set(err, -EFAULT, "%s area at 0x%llx is not in guest RAM",
					 names[i], (unsigned long long)addrs[i]);
	}
	return 0;
}

static void start(struct virtqueue *vq, const struct virtqueue_config *config, void *areas[3])
{
	vq->config = *config;
	vq->ops = ops_for(config);
	vq->enabled = true;
	vq->broken = false;
	vq->in_flight = vq->slots_in_flight = 0;
	memset(vq->ids, 0, sizeof(vq->ids));
	vq->ops->start(vq, areas[0], areas[1], areas[2]);
}

int virtqueue_enable(struct virtqueue *vq, const struct virtqueue_config *config, struct error *err)
{
	void *areas[3];
	int r = check_config(vq, config, areas, err);

	if (r == 0)
		start(vq, config, areas);
	return r;
}

void virtqueue_reset(struct virtqueue *vq)
{
	*vq = (struct virtqueue){.memory = vq->memory, .dma = vq->dma};
}

bool virtqueue_enabled(const struct virtqueue *vq)
{
	return vq->enabled;
}

bool virtqueue_broken(const struct virtqueue *vq)
{
	return vq->broken;
}

const struct virtqueue_config *virtqueue_config(const struct virtqueue *vq)
{
	return &vq->config;
}

void virtqueue_areas(const struct virtqueue *vq, void *ret_areas[3])
{
	struct error err = ERROR_INIT;

	/* It was enabled with these, and guest RAM does not move. */
	check_config(vq, &vq->config, ret_areas, &err);
}

static bool dma_on(const struct virtqueue *vq)
{
	return !vq->dma || atomic_load_explicit(vq->dma, memory_order_relaxed);
}

int virtqueue_pop(struct virtqueue *vq, struct virtqueue_chain *chain, struct error *err)
{
	int r;

	if (!vq->enabled || vq->broken || !dma_on(vq))
		return 0;
	chain_clear(chain);
	r = vq->ops->pop(vq, chain, err);
	if (r <= 0)
		return r;
	/* The driver tells buffers apart by their ids only, and so do we after an update. */
	if (vq_id_in_flight(vq, chain->id))
		return vq_fail(vq, err, "buffer %u made available while it is in flight",
			       chain->id);
	vq_set_id_in_flight(vq, chain->id, true);
	chain->in = chain->iov + chain->out_count;
	vq->in_flight++;
	vq->slots_in_flight += chain->slots;
	return 1;
}

void virtqueue_unpop(struct virtqueue *vq, const struct virtqueue_chain *chain)
{
	if (!vq->enabled || vq->in_flight == 0)
		return;
	vq->in_flight--;
	vq->slots_in_flight -= chain->slots;
	vq_set_id_in_flight(vq, chain->id, false);
	vq->ops->unpop(vq, chain);
}

void virtqueue_push(struct virtqueue *vq, const struct virtqueue_chain *chain, uint32_t written)
{
	if (!vq->enabled || vq->in_flight == 0)
		return;
	vq->in_flight--;
	vq->slots_in_flight -= chain->slots;
	vq_set_id_in_flight(vq, chain->id, false);
	if (!dma_on(vq))
		vq->broken = true;
	if (!vq->broken)
		vq->ops->push(vq, chain, written);
}

bool virtqueue_publish(struct virtqueue *vq)
{
	return vq->enabled && !vq->broken && dma_on(vq) && vq->ops->publish(vq);
}

void virtqueue_disable_doorbell(struct virtqueue *vq)
{
	if (vq->enabled && !vq->broken && dma_on(vq))
		vq->ops->disable_doorbell(vq);
}

bool virtqueue_enable_doorbell(struct virtqueue *vq)
{
	return vq->enabled && !vq->broken && dma_on(vq) && vq->ops->enable_doorbell(vq);
}

unsigned int virtqueue_in_flight(const struct virtqueue *vq)
{
	return vq->in_flight;
}

uint32_t virtqueue_position(const struct virtqueue *vq)
{
	uint16_t available = 0, used = 0;

	if (!vq->enabled)
		return 0;
	vq->ops->get(vq, &available, &used);
	return vq->config.packed ? available | (uint32_t)used << 16 : available;
}

void virtqueue_set_position(struct virtqueue *vq, uint32_t position)
{
	uint16_t available = (uint16_t)position, used = (uint16_t)(position >> 16);

	if (!vq->enabled)
		return;
	/* Split: nothing is in flight, so all that was popped is used. */
	vq->ops->set(vq, available, vq->config.packed ? used : available);
	vq->in_flight = vq->slots_in_flight = 0;
	memset(vq->ids, 0, sizeof(vq->ids));
}

void virtqueue_save(const struct virtqueue *vq, struct state_writer *w)
{
	uint16_t available = 0, used = 0;

	if (vq->enabled)
		vq->ops->get(vq, &available, &used);
	state_put_u32(w, "available", available);
	state_put_u32(w, "used", used);
	state_put_u32(w, "in-flight", vq->in_flight);
	state_put_u32(w, "broken", vq->broken);
}

void virtqueue_load(struct virtqueue *vq, const struct virtqueue_config *config,
		    struct state_reader *r, enum state_mode mode)
{
	uint16_t available = (uint16_t)state_get_u32_max(r, "available", UINT16_MAX);
	uint16_t used = (uint16_t)state_get_u32_max(r, "used", UINT16_MAX);
	uint32_t in_flight = state_get_u32_max(r, "in-flight", VIRTQUEUE_SIZE_MAX);
	bool broken = state_get_bool(r, "broken");
	struct error err = ERROR_INIT;
	void *areas[3];
	int distance;

	if (r->code)
		return;
	if (check_config(vq, config, areas, &err) < 0) {
		state_require(r, false, "%s", error_message(&err));
		return;
	}
	distance = ops_for(config)->distance(config->size, available, used);
	/* A broken queue lost count of what it had. */
	state_require(
		r,
		distance >= 0 && (broken || (config->packed ? (in_flight <= (uint32_t)distance &&
							       (in_flight > 0 || distance == 0))
							    : in_flight == (uint32_t)distance)),
		"available %u, used %u and %u in flight cannot be", available, used, in_flight);
	if (r->code)
		return;
	vq->loaded_in_flight = in_flight;
	if (mode != STATE_APPLY)
		return;
	start(vq, config, areas);
	vq->ops->set(vq, available, used);
	vq->in_flight = in_flight;
	vq->slots_in_flight = (unsigned int)distance;
	vq->broken = broken;
}

void virtqueue_load_disabled(struct virtqueue *vq)
{
	vq->loaded_in_flight = 0;
}

unsigned int virtqueue_loaded_in_flight(const struct virtqueue *vq)
{
	return vq->loaded_in_flight;
}
