/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <string.h>
#include <sys/eventfd.h>

#include "devices/virtio/virtio_pci_impl.h"

#define VIRTIO_VENDOR	     0x1af4 /* 4.1.2 */
#define VIRTIO_DEVICE_MODERN 0x1040 /* plus the virtio device id */
/* 2.2: bits 0 to 23 and from 50 on are the device types'. */
#define DEVICE_FEATURES (0xffffffULL | ~0ULL << 50)

struct virtqueue_config vp_queue_config(const struct virtio_pci *v _unused_,
					const struct vp_queue_regs *q, uint64_t features)
{
	return (struct virtqueue_config){
		.size = q->size,
		.desc = q->desc,
		.driver = q->driver,
		.device = q->device,
		.packed = features & VIRTIO_FEATURE_RING_PACKED,
		.event_idx = features & VIRTIO_FEATURE_EVENT_IDX,
		.indirect = features & VIRTIO_FEATURE_INDIRECT_DESC,
	};
}

void vp_reset_queue_registers(struct vp_queue *q)
{
	q->regs = (struct vp_queue_regs){.size = q->v->ops->queue_size_max(q->v->dev, q->index)};
	q->start_wanted = q->reset_wanted = q->interrupt_changed = false;
	atomic_store(&q->vector, VP_NO_VECTOR);
	virtqueue_reset(q->vq);
}

void vp_reset_registers(struct virtio_pci *v)
{
	for (unsigned int i = 0; i < v->queue_count; i++)
		vp_reset_queue_registers(&v->queues[i]);
	v->device_feature_select = v->driver_feature_select = 0;
	v->driver_features = 0;
	v->queue_select = 0;
	v->status = v->isr = 0;
	v->reset_wanted = v->activate_wanted = false;
	atomic_store(&v->config_vector, VP_NO_VECTOR);
	pci_intx_set(v->pci, false);
	vp_update_dma(v);
}

/* A device that asks for a reset touches nothing until it gets one. */
void vp_update_dma(struct virtio_pci *v)
{
	atomic_store(&v->dma, pci_bus_master(v->pci) && !(v->status & VP_NEEDS_RESET));
}

/* ---- BAR 0. ---- */

static uint64_t device_config(struct virtio_pci *v, uint64_t offset, unsigned int size)
{
	uint64_t value = 0;

	if (offset + size > v->config_size)
		return 0;
	pthread_mutex_lock(&v->config_lock);
	v->ops->config_read(v->dev, offset, &value, size);
	pthread_mutex_unlock(&v->config_lock);
	return le64toh(value);
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct virtio_pci *v = opaque;

	if (offset >= VP_NOTIFY_OFFSET)
		return 0;
	if (offset >= VP_DEVICE_OFFSET)
		return device_config(v, offset - VP_DEVICE_OFFSET, size);
	if (offset >= VP_ISR_OFFSET)
		return offset == VP_ISR_OFFSET ? vp_isr_read(v) : 0;
	return vp_common_read(v, (unsigned int)offset, size);
}

/* Where the kernel does not do it: a write of a queue's doorbell. */
static void ring(struct virtio_pci *v, uint64_t offset)
{
	unsigned int queue = (unsigned int)(offset / VP_NOTIFY_STRIDE);
	uint64_t one = 1;

	/* A full counter wakes the loop as well. */
	if (queue < v->queue_count && write(v->queues[queue].doorbell, &one, sizeof(one)) < 0)
		return;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct virtio_pci *v = opaque;
	uint64_t bytes = htole64(value);

	if (offset >= VP_NOTIFY_OFFSET) {
		ring(v, offset - VP_NOTIFY_OFFSET);
	} else if (offset >= VP_DEVICE_OFFSET) {
		offset -= VP_DEVICE_OFFSET;
		if (offset + size > v->config_size || !v->ops->config_write)
			return;
		pthread_mutex_lock(&v->config_lock);
		v->ops->config_write(v->dev, offset, &bytes, size);
		pthread_mutex_unlock(&v->config_lock);
	} else if (offset < VP_ISR_OFFSET) {
		vp_common_write(v, (unsigned int)offset, value, size);
	}
}

const struct io_ops vp_bar_ops = {.name = "virtio", .read = bar_read, .write = bar_write};

/* The kernel's doorbells follow the BAR. Where it has none left, writes come as exits. */
static void bar_moved(void *opaque, uint64_t base)
{
	struct virtio_pci *v = opaque;
	const struct doorbell_ops *bells = v->attach.doorbells;
	struct error err = ERROR_INIT;

	if (!bells)
		return;
	for (unsigned int i = 0; v->notify_base && i < v->queue_count; i++)
		bells->remove(v->attach.doorbell_opaque, v->notify_base + i * VP_NOTIFY_STRIDE, 0,
			      v->queues[i].doorbell);
	v->notify_base = 0;
	for (unsigned int i = 0; base && i < v->queue_count; i++) {
		uint64_t gpa = base + VP_NOTIFY_OFFSET + i * VP_NOTIFY_STRIDE;

		if (bells->add(v->attach.doorbell_opaque, gpa, 0, v->queues[i].doorbell, &err) == 0)
			continue;
		log_ratelimited(&v->log, LOG_LEVEL_WARNING, "%s: queue %u rings slowly: %s",
				v->ops->name, i, error_message(&err));
		while (i-- > 0)
			bells->remove(v->attach.doorbell_opaque,
				      base + VP_NOTIFY_OFFSET + i * VP_NOTIFY_STRIDE, 0,
				      v->queues[i].doorbell);
		return;
	}
	v->notify_base = base ? base + VP_NOTIFY_OFFSET : 0;
}

static void command_changed(void *opaque, uint16_t command _unused_)
{
	struct virtio_pci *v = opaque;

	pthread_mutex_lock(&v->lock);
	vp_update_dma(v);
	v->dma_changed = true;
	pthread_mutex_unlock(&v->lock);
	wakeup_signal(v->wakeup);
}

static void msix_changed(void *opaque)
{
	struct virtio_pci *v = opaque;

	pthread_mutex_lock(&v->lock);
	for (unsigned int i = 0; i < v->queue_count; i++)
		v->queues[i].interrupt_changed = true;
	pthread_mutex_unlock(&v->lock);
	wakeup_signal(v->wakeup);
}

/* ---- Making. ---- */

static int make_queues(struct virtio_pci *v, struct error *err)
{
	unsigned int count = v->ops->queue_count(v->dev);

	if (count > VIRTIO_QUEUES_MAX)
		return error_set(err, -EINVAL, "%s: %u queues, at most %u can be", v->ops->name,
				 count, VIRTIO_QUEUES_MAX);
	v->queues = calloc(MAX_OF(count, 1U), sizeof(*v->queues));
	if (!v->queues)
		return error_set(err, -ENOMEM, "%s: out of memory", v->ops->name);
	for (; v->queue_count < count; v->queue_count++) {
		struct vp_queue *q = &v->queues[v->queue_count];
		int r;

		q->v = v;
		q->index = v->queue_count;
		q->relay = FD_NONE;
		q->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->doorbell < 0)
			return error_sys(err, -errno, "%s: cannot create a doorbell", v->ops->name);
		r = virtqueue_new(&v->attach.memory, &v->dma, &q->vq, err);
		if (r < 0) {
			close_fdp(&q->doorbell);
			return r;
		}
	}
	return 0;
}

static int make_function(struct virtio_pci *v, struct error *err)
{
	const struct pci_params params = {
		.name = v->ops->name,
		.vendor_id = VIRTIO_VENDOR,
		.device_id = (uint16_t)(VIRTIO_DEVICE_MODERN + v->ops->device_id),
		.subsystem_vendor_id = VIRTIO_VENDOR,
		.subsystem_id = (uint16_t)(VIRTIO_DEVICE_MODERN + v->ops->device_id),
		.class_code = v->ops->class_code,
		.revision = 1, /* 4.1.2.1: a modern device */
		.interrupt_pin = 1,
		.bars[VP_BAR] = {.kind = PCI_BAR_MEM32,
				 .size = VP_BAR_SIZE,
				 .ops = &vp_bar_ops,
				 .opaque = v,
				 .moved = bar_moved},
		.msix_vectors = v->queue_count + 1, /* one for changes of the configuration */
		.msix_bar = VP_MSIX_BAR,
		.command_changed = command_changed,
		.msix_changed = msix_changed,
		.opaque = v,
	};
	int r = pci_device_new(&params, &v->attach, &v->pci, err);

	return r < 0 ? r : vp_add_capabilities(v, err);
}

static int init(struct virtio_pci *v, struct error *err)
{
	int r;

	if (v->ops->attached)
		v->ops->attached(v->dev, v);
	v->offered = (v->ops->features(v->dev) & (DEVICE_FEATURES | VIRTIO_TRANSPORT_FEATURES)) |
		     VIRTIO_FEATURE_VERSION_1;
	v->config_size = MIN_OF(v->ops->config_size(v->dev), VP_CONFIG_MAX);
	v->state_ops = (struct state_ops){.name = v->ops->name,
					  .version = v->ops->state_version,
					  .min_version = v->ops->state_min_version,
					  .save = vp_save,
					  .load = vp_load};
	r = make_queues(v, err);
	if (r == 0)
		r = make_function(v, err);
	if (r == 0)
		r = wakeup_new(v->loop, vp_service, v, &v->wakeup, err);
	if (r == 0)
		vp_reset_registers(v);
	return r;
}

int virtio_pci_new(const struct virtio_device_ops *ops, void *dev, struct loop *loop,
		   const struct pci_attach *attach, struct virtio_pci **ret, struct error *err)
{
	struct virtio_pci *v = calloc(1, sizeof(*v));
	int r;

	if (!v) {
		ops->free(dev);
		return error_set(err, -ENOMEM, "%s: out of memory", ops->name);
	}
	v->self = v;
	v->ops = ops;
	v->dev = dev;
	v->loop = loop;
	v->attach = *attach;
	pthread_mutex_init(&v->config_lock, NULL);
	pthread_mutex_init(&v->lock, NULL);
	r = init(v, err);
	if (r < 0) {
		virtio_pci_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

static void free_on_loop(void *opaque)
{
	struct virtio_pci *v = opaque;

	if (v->active)
		vp_deactivate(v);
	wakeup_free(v->wakeup);
	v->ops->free(v->dev);
}

void virtio_pci_free(struct virtio_pci *v)
{
	if (!v)
		return;
	/* First the registers, then the device, then what both use. */
	if (v->pci)
		pci_device_unplug(v->pci);
	loop_call(v->loop, free_on_loop, v);
	pci_device_free(v->pci);
	for (unsigned int i = 0; i < v->queue_count; i++) {
		virtqueue_free(v->queues[i].vq);
		close_fdp(&v->queues[i].doorbell);
		close_fdp(&v->queues[i].relay);
	}
	free(v->queues);
	pthread_mutex_destroy(&v->lock);
	pthread_mutex_destroy(&v->config_lock);
	free(v);
}

struct pci_device *virtio_pci_function(struct virtio_pci *v)
{
	return v->pci;
}

const struct state_ops *virtio_pci_state_ops(struct virtio_pci *v)
{
	return &v->state_ops;
}

bool virtio_dma_allowed(struct virtio_pci *v)
{
	return atomic_load(&v->dma);
}

struct loop *virtio_loop(struct virtio_pci *v)
{
	return v->loop;
}

struct virtqueue *virtio_queue(struct virtio_pci *v, unsigned int queue)
{
	return v->queues[queue].vq;
}

bool virtio_queue_live(struct virtio_pci *v, unsigned int queue)
{
	return queue < v->queue_count && v->queues[queue].live && !v->drained;
}
