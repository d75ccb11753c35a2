/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "devices/virtio/virtio_pci_impl.h"

/* Bytes of a blob: FDT headers of properties and nodes, and the values. */
#define TRANSPORT_STATE_MAX 2048
#define QUEUE_STATE_MAX	    512
#define VECTOR_STATE_MAX    32
#define DEVICE_STATE_MAX    512

struct vp_image {
	uint32_t device_feature_select, driver_feature_select;
	uint64_t driver_features;
	uint16_t queue_select, config_vector;
	uint8_t status, isr, generation;
	bool active;
	struct {
		struct vp_queue_regs regs;
		uint16_t vector;
	} queues[VIRTIO_QUEUES_MAX];
};

static void queue_name(unsigned int index, char name[16])
{
	snprintf(name, 16, "queue@%u", index);
}

/* Lock held. */
static void save_registers(const struct virtio_pci *v, struct state_writer *w)
{
	state_put_u64(w, "driver-features", v->driver_features);
	state_put_u32(w, "device-feature-select", v->device_feature_select);
	state_put_u32(w, "driver-feature-select", v->driver_feature_select);
	state_put_u32(w, "config-vector", v->config_vector);
	state_put_u32(w, "status", v->status);
	state_put_u32(w, "generation", v->generation);
	state_put_u32(w, "queue-select", v->queue_select);
	state_put_u32(w, "isr", v->isr);
	state_put_u32(w, "active", v->active);
	state_put_u32(w, "queues", v->queue_count);
}

static void save_queue(const struct vp_queue *q, struct state_writer *w)
{
	char name[16];

	queue_name(q->index, name);
	state_begin(w, name);
	state_put_u32(w, "size", q->regs.size);
	state_put_u32(w, "vector", q->vector);
	state_put_u32(w, "enabled", q->regs.enabled);
	state_put_u64(w, "descriptor-area", q->regs.desc);
	state_put_u64(w, "driver-area", q->regs.driver);
	state_put_u64(w, "device-area", q->regs.device);
	if (q->regs.enabled)
		virtqueue_save(q->vq, w);
	state_end(w);
}

static bool requests_left(const struct virtio_pci *v)
{
	bool left = v->reset_wanted || v->activate_wanted;

	for (unsigned int i = 0; i < v->queue_count; i++)
		left |= v->queues[i].reset_wanted || v->queues[i].start_wanted;
	return left;
}

struct save_call {
	struct virtio_pci *v;
	struct state_writer *w;
	struct error *err;
	int result;
};

static void save(void *opaque)
{
	struct save_call *call = opaque;
	struct virtio_pci *v = call->v;
	struct state_writer *w = call->w;

	pthread_mutex_lock(&v->config_lock);
	pthread_mutex_lock(&v->lock);
	if (requests_left(v) || (v->active && !v->drained))
		call->result = error_set(call->err, -EBUSY, "the device has not been drained");
	save_registers(v, w);
	for (unsigned int i = 0; i < v->queue_count; i++)
		save_queue(&v->queues[i], w);
	pthread_mutex_unlock(&v->lock);
	pthread_mutex_unlock(&v->config_lock);
	pci_device_save(v->pci, w);
	state_begin(w, "device");
	if (call->result == 0 && v->ops->save)
		call->result = v->ops->save(v->dev, w, call->err);
	state_end(w);
}

int vp_save(const void *obj, struct state_writer *w, struct error *err)
{
	const struct virtio_pci *v = obj;
	struct save_call call = {v->self, w, err, 0};

	loop_call(v->loop, save, &call);
	return call.result;
}

static void read_registers(const struct virtio_pci *v, struct state_reader *r,
			   struct vp_image *image)
{
	uint32_t queues;

	image->driver_features = state_get_u64(r, "driver-features");
	image->device_feature_select = state_get_u32(r, "device-feature-select");
	image->driver_feature_select = state_get_u32(r, "driver-feature-select");
	image->config_vector = (uint16_t)state_get_u32_max(r, "config-vector", UINT16_MAX);
	image->status = (uint8_t)state_get_u32_max(r, "status", UINT8_MAX);
	image->generation = (uint8_t)state_get_u32_max(r, "generation", UINT8_MAX);
	image->queue_select = (uint16_t)state_get_u32_max(r, "queue-select", UINT16_MAX);
	image->isr = (uint8_t)state_get_u32_max(r, "isr", VP_ISR_QUEUE | VP_ISR_CONFIG);
	image->active = state_get_bool(r, "active");
	queues = state_get_u32(r, "queues");
	state_require(r, queues == v->queue_count, "queues: %u, this device has %u", queues,
		      v->queue_count);
	state_require(r, state_reader_child_count(r) == v->queue_count + 2U,
		      "%u nodes inside, %u are known", state_reader_child_count(r),
		      v->queue_count + 2U);
}

static bool vector_ok(const struct virtio_pci *v, uint16_t vector)
{
	return vector <= v->queue_count || vector == VP_NO_VECTOR;
}

/* What no driver can have brought about, and what this program could not go on with. */
static void check_registers(struct virtio_pci *v, struct state_reader *r,
			    const struct vp_image *image)
{
	uint64_t lost = image->driver_features & ~v->offered;
	bool features_ok = image->status & VP_FEATURES_OK;
	bool driver_ok = image->status & VP_DRIVER_OK;
	struct error err = ERROR_INIT;

	state_require(r, !features_ok || !lost,
		      "driver-features: the guest uses 0x%llx, which this host or program does not "
		      "offer",
		      (unsigned long long)lost);
	state_require(r, !features_ok || (image->driver_features & VIRTIO_FEATURE_VERSION_1),
		      "driver-features: VERSION_1 is missing");
	state_require(r, (image->status & ~VP_STATUS_BITS) == 0, "status: unknown bits");
	state_require(r, !driver_ok || features_ok, "status: DRIVER_OK without FEATURES_OK");
	state_require(
		r, driver_ok ? image->active || (image->status & VP_NEEDS_RESET) : !image->active,
		"active: not as the status says");
	state_require(r, vector_ok(v, image->config_vector), "config-vector: no such vector");
	if (!r->code && features_ok && v->ops->check_features &&
	    v->ops->check_features(v->dev, image->driver_features, &err) < 0)
		state_require(r, false, "driver-features: %s", error_message(&err));
}

static void read_queue_regs(struct vp_queue *q, struct state_reader *r, struct vp_image *image)
{
	struct vp_queue_regs *regs = &image->queues[q->index].regs;
	struct virtio_pci *v = q->v;
	uint16_t vector;

	regs->size =
		(uint16_t)state_get_u32_max(r, "size", v->ops->queue_size_max(v->dev, q->index));
	vector = (uint16_t)state_get_u32_max(r, "vector", UINT16_MAX);
	regs->enabled = state_get_bool(r, "enabled");
	regs->desc = state_get_u64(r, "descriptor-area");
	regs->driver = state_get_u64(r, "driver-area");
	regs->device = state_get_u64(r, "device-area");
	image->queues[q->index].vector = vector;
	state_require(r, regs->size > 0, "size: 0");
	state_require(r, vector_ok(v, vector), "vector: no such vector");
	state_require(r, !regs->enabled || (image->status & VP_FEATURES_OK),
		      "enabled: before the features were");
}

static int load_queue(struct vp_queue *q, struct state_reader *parent, struct vp_image *image,
		      enum state_mode mode, struct error *err)
{
	struct vp_queue_regs *regs = &image->queues[q->index].regs;
	struct state_reader r;
	char name[16];

	queue_name(q->index, name);
	if (state_reader_child(parent, name, &r) < 0)
		return error_set(err, -EINVAL, "state %s: %s: missing", parent->path, name);
	read_queue_regs(q, &r, image);
	virtqueue_load_disabled(q->vq);
	if (!r.code && regs->enabled) {
		struct virtqueue_config config =
			vp_queue_config(q->v, regs, image->driver_features);

		virtqueue_load(q->vq, &config, &r, mode);
	}
	return state_reader_done(&r, err);
}

static int load_device(struct virtio_pci *v, uint32_t version, struct state_reader *parent,
		       enum state_mode mode, struct error *err)
{
	struct state_reader r;

	if (state_reader_child(parent, "device", &r) < 0)
		return error_set(err, -EINVAL, "state %s: device: missing", parent->path);
	return v->ops->load ? v->ops->load(v->dev, version, &r, mode, err)
			    : state_reader_done(&r, err);
}

/* One pass over the nodes inside: first to check all, then to apply all. */
static int load_nodes(struct virtio_pci *v, uint32_t version, struct state_reader *r,
		      struct vp_image *image, enum state_mode mode, struct error *err)
{
	int ret = pci_device_load(v->pci, r, mode, err);

	for (unsigned int i = 0; ret == 0 && i < v->queue_count; i++)
		ret = load_queue(&v->queues[i], r, image, mode, err);
	return ret < 0 ? ret : load_device(v, version, r, mode, err);
}

static void apply(struct virtio_pci *v, const struct vp_image *image)
{
	pthread_mutex_lock(&v->config_lock);
	pthread_mutex_lock(&v->lock);
	v->device_feature_select = image->device_feature_select;
	v->driver_feature_select = image->driver_feature_select;
	v->driver_features = image->driver_features;
	v->queue_select = image->queue_select;
	atomic_store(&v->config_vector, image->config_vector);
	v->status = image->status;
	v->isr = image->isr;
	v->generation = image->generation;
	v->active = image->active;
	for (unsigned int i = 0; i < v->queue_count; i++) {
		struct vp_queue *q = &v->queues[i];

		q->regs = image->queues[i].regs;
		atomic_store(&q->vector, image->queues[i].vector);
		q->live = image->active && q->regs.enabled;
	}
	vp_update_dma(v);
	pthread_mutex_unlock(&v->lock);
	pthread_mutex_unlock(&v->config_lock);
	v->dma_told = virtio_dma_allowed(v);
	v->loaded = v->drained = true;
}

struct load_call {
	struct virtio_pci *v;
	uint32_t version;
	struct state_reader *r;
	enum state_mode mode;
	struct error *err;
	int result;
};

static void load(void *opaque)
{
	struct load_call *call = opaque;
	struct virtio_pci *v = call->v;
	struct vp_image image = {0};

	read_registers(v, call->r, &image);
	check_registers(v, call->r, &image);
	call->result = state_reader_done(call->r, call->err);
	if (call->result == 0)
		call->result =
			load_nodes(v, call->version, call->r, &image, STATE_CHECK, call->err);
	if (call->result < 0 || call->mode == STATE_CHECK)
		return;
	if (v->active)
		vp_deactivate(v);
	pthread_mutex_lock(&v->lock);
	vp_reset_registers(v);
	pthread_mutex_unlock(&v->lock);
	call->result = load_nodes(v, call->version, call->r, &image, STATE_APPLY, call->err);
	if (call->result == 0)
		apply(v, &image);
}

int vp_load(void *obj, uint32_t version, struct state_reader *r, enum state_mode mode,
	    struct error *err)
{
	struct virtio_pci *v = obj;
	struct load_call call = {v, version, r, mode, err, 0};

	loop_call(v->loop, load, &call);
	return call.result;
}

size_t virtio_pci_state_size_max(struct virtio_pci *v)
{
	size_t device = v->ops->state_size_max ? v->ops->state_size_max(v->dev) : DEVICE_STATE_MAX;

	return TRANSPORT_STATE_MAX + v->queue_count * QUEUE_STATE_MAX +
	       (v->queue_count + 1U) * VECTOR_STATE_MAX + device;
}
