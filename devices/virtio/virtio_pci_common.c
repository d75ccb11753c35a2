/* SPDX-License-Identifier: Apache-2.0 */
/* Common configuration structure: virtio 1.2, 4.1.4.3. */
#include "devices/virtio/virtio_pci_impl.h"

enum {
	DEVICE_FEATURE_SELECT = 0,
	DEVICE_FEATURE = 4,
	DRIVER_FEATURE_SELECT = 8,
	DRIVER_FEATURE = 12,
	CONFIG_MSIX_VECTOR = 16,
	NUM_QUEUES = 18,
	DEVICE_STATUS = 20,
	CONFIG_GENERATION = 21,
	QUEUE_SELECT = 22,
	QUEUE_SIZE = 24,
	QUEUE_MSIX_VECTOR = 26,
	QUEUE_ENABLE = 28,
	QUEUE_NOTIFY_OFF = 30,
	QUEUE_DESC = 32,
	QUEUE_DRIVER = 40,
	QUEUE_DEVICE = 48,
	QUEUE_NOTIFY_DATA = 56,
	QUEUE_RESET = 58,
};

/* 4.1.3.1: the driver uses each field's own width, and two dwords for 64 bits. 0: no such field. */
static unsigned int field_width(unsigned int offset)
{
	switch (offset) {
	case DEVICE_FEATURE_SELECT:
	case DEVICE_FEATURE:
	case DRIVER_FEATURE_SELECT:
	case DRIVER_FEATURE:
	case QUEUE_DESC:
	case QUEUE_DESC + 4:
	case QUEUE_DRIVER:
	case QUEUE_DRIVER + 4:
	case QUEUE_DEVICE:
	case QUEUE_DEVICE + 4:
		return 4;
	case DEVICE_STATUS:
	case CONFIG_GENERATION:
		return 1;
	case CONFIG_MSIX_VECTOR:
	case NUM_QUEUES:
	case QUEUE_SELECT:
	case QUEUE_SIZE:
	case QUEUE_MSIX_VECTOR:
	case QUEUE_ENABLE:
	case QUEUE_NOTIFY_OFF:
	case QUEUE_NOTIFY_DATA:
	case QUEUE_RESET:
		return 2;
	default:
		return 0;
	}
}

static struct vp_queue *selected(struct virtio_pci *v)
{
	return v->queue_select < v->queue_count ? &v->queues[v->queue_select] : NULL;
}

static uint32_t half(uint64_t value, unsigned int upper)
{
	return (uint32_t)(value >> (upper ? 32 : 0));
}

static uint32_t queue_read(const struct vp_queue *q, unsigned int offset)
{
	switch (offset) {
	case QUEUE_SIZE:
		return q->regs.size;
	case QUEUE_MSIX_VECTOR:
		return q->vector;
	case QUEUE_ENABLE:
		return q->regs.enabled;
	case QUEUE_NOTIFY_OFF:
	case QUEUE_NOTIFY_DATA:
		return q->index;
	case QUEUE_RESET:
		return q->reset_wanted;
	case QUEUE_DESC:
	case QUEUE_DESC + 4:
		return half(q->regs.desc, offset - QUEUE_DESC);
	case QUEUE_DRIVER:
	case QUEUE_DRIVER + 4:
		return half(q->regs.driver, offset - QUEUE_DRIVER);
	case QUEUE_DEVICE:
	case QUEUE_DEVICE + 4:
		return half(q->regs.device, offset - QUEUE_DEVICE);
	default:
		return 0;
	}
}

static uint32_t device_read(struct virtio_pci *v, unsigned int offset)
{
	switch (offset) {
	case DEVICE_FEATURE_SELECT:
		return v->device_feature_select;
	case DEVICE_FEATURE:
		return v->device_feature_select < 2 ? half(v->offered, v->device_feature_select)
						    : 0;
	case DRIVER_FEATURE_SELECT:
		return v->driver_feature_select;
	case DRIVER_FEATURE:
		return v->driver_feature_select < 2
			       ? half(v->driver_features, v->driver_feature_select)
			       : 0;
	case CONFIG_MSIX_VECTOR:
		return v->config_vector;
	case NUM_QUEUES:
		return v->queue_count;
	case DEVICE_STATUS:
		return v->status;
	case QUEUE_SELECT:
		return v->queue_select;
	default:
		return 0;
	}
}

uint64_t vp_common_read(struct virtio_pci *v, unsigned int offset, unsigned int size)
{
	struct vp_queue *q;
	uint32_t value = 0;

	if (size == 8)
		return vp_common_read(v, offset, 4) | vp_common_read(v, offset + 4, 4) << 32;
	if (size != field_width(offset))
		return 0;
	if (offset == CONFIG_GENERATION) {
		/* See virtio_config_begin(). */
		pthread_mutex_lock(&v->config_lock);
		value = v->generation;
		pthread_mutex_unlock(&v->config_lock);
		return value;
	}
	pthread_mutex_lock(&v->lock);
	q = selected(v);
	if (offset < QUEUE_SIZE)
		value = device_read(v, offset);
	else if (q)
		value = queue_read(q, offset);
	pthread_mutex_unlock(&v->lock);
	return value;
}

static void set_half(uint64_t *value, unsigned int upper, uint32_t half_value)
{
	uint64_t mask = upper ? UINT32_MAX : ~(uint64_t)UINT32_MAX;

	*value = (*value & mask) | (uint64_t)half_value << (upper ? 32 : 0);
}

/* 4.1.4.3.1: a vector that cannot be had reads back NO_VECTOR. */
static uint16_t usable_vector(const struct virtio_pci *v, uint32_t vector)
{
	return vector <= v->queue_count ? (uint16_t)vector : VP_NO_VECTOR;
}

/* 4.1.5.1.3: the driver may make a queue smaller; with a split ring only to a power of two, which
 * is known when the queue is enabled. */
static void set_size(struct vp_queue *q, uint32_t size)
{
	if (size > 0 && size <= q->v->ops->queue_size_max(q->v->dev, q->index))
		q->regs.size = (uint16_t)size;
}

static void queue_write(struct vp_queue *q, unsigned int offset, uint32_t value)
{
	struct virtio_pci *v = q->v;

	if (offset == QUEUE_MSIX_VECTOR)
		vp_set_vector(v, q, usable_vector(v, value));
	if (offset == QUEUE_RESET && value == 1)
		vp_reset_queue(v, q);
	/* The rest is fixed while the queue is enabled. */
	if (q->regs.enabled || q->reset_wanted)
		return;
	switch (offset) {
	case QUEUE_SIZE:
		set_size(q, value);
		break;
	case QUEUE_ENABLE:
		if (value == 1)
			vp_enable_queue(v, q);
		break;
	case QUEUE_DESC:
	case QUEUE_DESC + 4:
		set_half(&q->regs.desc, offset - QUEUE_DESC, value);
		break;
	case QUEUE_DRIVER:
	case QUEUE_DRIVER + 4:
		set_half(&q->regs.driver, offset - QUEUE_DRIVER, value);
		break;
	case QUEUE_DEVICE:
	case QUEUE_DEVICE + 4:
		set_half(&q->regs.device, offset - QUEUE_DEVICE, value);
		break;
	default:
		break;
	}
}

static void device_write(struct virtio_pci *v, unsigned int offset, uint32_t value)
{
	switch (offset) {
	case DEVICE_FEATURE_SELECT:
		v->device_feature_select = value;
		break;
	case DRIVER_FEATURE_SELECT:
		v->driver_feature_select = value;
		break;
	case DRIVER_FEATURE:
		/* Accepted ones stay as they are (3.1.1, step 5). */
		if (v->driver_feature_select < 2 && !(v->status & VP_FEATURES_OK))
			set_half(&v->driver_features, v->driver_feature_select, value);
		break;
	case CONFIG_MSIX_VECTOR:
		atomic_store(&v->config_vector, usable_vector(v, value));
		break;
	case DEVICE_STATUS:
		vp_write_status(v, (uint8_t)value);
		break;
	case QUEUE_SELECT:
		v->queue_select = (uint16_t)value;
		break;
	default:
		break;
	}
}

void vp_common_write(struct virtio_pci *v, unsigned int offset, uint64_t value, unsigned int size)
{
	bool was_ok, is_ok;

	if (size == 8) {
		vp_common_write(v, offset, value & UINT32_MAX, 4);
		vp_common_write(v, offset + 4, value >> 32, 4);
		return;
	}
	if (size != field_width(offset))
		return;
	pthread_mutex_lock(&v->lock);
	was_ok = !(v->status & VP_NEEDS_RESET);
	/* While a reset is under way there is no device to talk to. */
	if (!v->reset_wanted) {
		struct vp_queue *q = selected(v);

		if (offset < QUEUE_SIZE)
			device_write(v, offset, (uint32_t)value);
		else if (q)
			queue_write(q, offset, (uint32_t)value);
	}
	is_ok = !(v->status & VP_NEEDS_RESET);
	pthread_mutex_unlock(&v->lock);
	if (was_ok && !is_ok)
		vp_interrupt_config(v);
}
