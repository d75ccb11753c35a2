/* SPDX-License-Identifier: Apache-2.0 */
/* Device status and the life of queues, as far as the driver's writes go: virtio 1.2, 2.1, 2.2, 3.1
 * and 4.1.4.3. */
#include "devices/virtio/virtio_pci_impl.h"

void vp_needs_reset_locked(struct virtio_pci *v, const char *why)
{
	v->status |= VP_NEEDS_RESET;
	vp_update_dma(v);
	v->dma_changed = true;
	wakeup_signal(v->wakeup);
	log_ratelimited(&v->log, LOG_LEVEL_WARNING, "%s: stopped until the guest resets it: %s",
			v->ops->name, why);
}

/* 2.2.1 and 2.2.2: only what was offered, and never without VERSION_1. */
static bool features_acceptable(struct virtio_pci *v)
{
	uint64_t unknown = v->driver_features & ~v->offered;
	struct error err = ERROR_INIT;

	if (unknown)
		error_set(&err, -EINVAL, "bits 0x%llx were not offered",
			  (unsigned long long)unknown);
	else if (!(v->driver_features & VIRTIO_FEATURE_VERSION_1))
		error_set(&err, -EINVAL, "VERSION_1 is missing");
	else if (!v->ops->check_features ||
		 v->ops->check_features(v->dev, v->driver_features, &err) == 0)
		return true;
	log_ratelimited(&v->log, LOG_LEVEL_WARNING, "%s: features 0x%llx refused: %s", v->ops->name,
			(unsigned long long)v->driver_features, error_message(&err));
	return false;
}

static void reset(struct virtio_pci *v)
{
	if (!v->active && !v->activate_wanted) {
		vp_reset_registers(v);
		return;
	}
	/* Status stays as it is, and thereby not 0, until the device has let go of the rings. */
	v->reset_wanted = true;
	wakeup_signal(v->wakeup);
}

void vp_write_status(struct virtio_pci *v, uint8_t value)
{
	uint8_t set;

	if (value == 0) {
		reset(v);
		return;
	}
	/* Bits are set one after the other and never cleared but by a reset; NEEDS_RESET is ours,
	 * and those that no specification names are nobody's. */
	set = (uint8_t)(value & VP_STATUS_BITS & ~v->status & ~VP_NEEDS_RESET);
	if ((set & VP_FEATURES_OK) && !features_acceptable(v))
		set &= (uint8_t)~VP_FEATURES_OK;
	if ((set & VP_DRIVER_OK) && !((v->status | set) & VP_FEATURES_OK))
		set &= (uint8_t)~VP_DRIVER_OK;
	v->status |= set;
	if (set & VP_DRIVER_OK) {
		v->activate_wanted = true;
		wakeup_signal(v->wakeup);
	}
}

void vp_enable_queue(struct virtio_pci *v, struct vp_queue *q)
{
	struct virtqueue_config config = vp_queue_config(v, &q->regs, v->driver_features);
	struct error err = ERROR_INIT;

	/* Before that it is not known what kind of ring it is. */
	if (!(v->status & VP_FEATURES_OK))
		return;
	if (virtqueue_enable(q->vq, &config, &err) < 0) {
		error_prefix(&err, "queue %u: ", q->index);
		vp_needs_reset_locked(v, error_message(&err));
		return;
	}
	q->regs.enabled = true;
	if (v->status & VP_DRIVER_OK) {
		q->start_wanted = true;
		wakeup_signal(v->wakeup);
	}
}

void vp_set_vector(struct virtio_pci *v, struct vp_queue *q, uint16_t vector)
{
	if (atomic_exchange(&q->vector, vector) == vector || !q->regs.enabled)
		return;
	q->interrupt_changed = true;
	wakeup_signal(v->wakeup);
}

void vp_reset_queue(struct virtio_pci *v, struct vp_queue *q)
{
	if (!(v->driver_features & VIRTIO_FEATURE_RING_RESET) || !q->regs.enabled ||
	    q->reset_wanted)
		return;
	if (!(v->status & VP_DRIVER_OK)) {
		vp_reset_queue_registers(q);
		return;
	}
	q->reset_wanted = true;
	wakeup_signal(v->wakeup);
}
