/* SPDX-License-Identifier: Apache-2.0 */
/* Notifying the driver: virtio 1.2, 4.1.4.5, 4.1.5.3 and 4.1.5.4. */
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "devices/virtio/virtio_pci_impl.h"

static void interrupt(struct virtio_pci *v, uint16_t vector, uint8_t isr)
{
	/* With MSI-X enabled a source without a vector stays silent. */
	if (pci_msix_enabled(v->pci)) {
		pci_msix_fire(v->pci, vector);
		return;
	}
	/* The lock keeps the bit and the line together against vp_isr_read(). */
	pthread_mutex_lock(&v->lock);
	v->isr |= isr;
	pci_intx_set(v->pci, true);
	pthread_mutex_unlock(&v->lock);
}

void vp_interrupt_queue(struct virtio_pci *v, struct vp_queue *q)
{
	interrupt(v, atomic_load(&q->vector), VP_ISR_QUEUE);
}

/* 2.1.2 and 3.1.1: not before DRIVER_OK. */
void vp_interrupt_config(struct virtio_pci *v)
{
	bool ready;

	pthread_mutex_lock(&v->lock);
	ready = (v->status & VP_DRIVER_OK) && !v->reset_wanted;
	pthread_mutex_unlock(&v->lock);
	if (ready)
		interrupt(v, atomic_load(&v->config_vector), VP_ISR_CONFIG);
}

/* 4.1.4.5.1: reading clears, and lets INTA go. */
uint8_t vp_isr_read(struct virtio_pci *v)
{
	uint8_t isr;

	pthread_mutex_lock(&v->lock);
	isr = v->isr;
	v->isr = 0;
	pci_intx_set(v->pci, false);
	pthread_mutex_unlock(&v->lock);
	return isr;
}

void virtio_notify_queue(struct virtio_pci *v, unsigned int queue)
{
	struct vp_queue *q = &v->queues[queue];

	if (virtqueue_publish(q->vq))
		vp_interrupt_queue(v, q);
}

void virtio_config_begin(struct virtio_pci *v)
{
	pthread_mutex_lock(&v->config_lock);
}

void virtio_config_end(struct virtio_pci *v)
{
	v->generation++;
	pthread_mutex_unlock(&v->config_lock);
	vp_interrupt_config(v);
}

void virtio_needs_reset(struct virtio_pci *v, const struct error *why)
{
	pthread_mutex_lock(&v->lock);
	vp_needs_reset_locked(v, error_message(why));
	pthread_mutex_unlock(&v->lock);
	vp_interrupt_config(v);
}

void vp_relay(struct vp_queue *q)
{
	uint64_t value;

	if (q->relay_source && read(q->relay, &value, sizeof(value)) > 0)
		vp_interrupt_queue(q->v, q);
}

static void on_relay(void *opaque, uint32_t events _unused_)
{
	vp_relay(opaque);
}

static int relay_fd(struct vp_queue *q, struct error *err)
{
	int r;

	if (q->relay < 0) {
		q->relay = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->relay < 0)
			return error_sys(err, -errno, "%s: cannot create an eventfd",
					 q->v->ops->name);
	}
	if (!q->relay_source) {
		r = loop_add_fd(q->v->loop, q->relay, EPOLLIN, on_relay, q, &q->relay_source, err);
		if (r < 0)
			return r;
	}
	return q->relay;
}

int virtio_queue_interrupt_fd(struct virtio_pci *v, unsigned int queue, struct error *err)
{
	struct vp_queue *q = &v->queues[queue];
	uint16_t vector = atomic_load(&q->vector);

	if (!pci_msix_enabled(v->pci) || vector == VP_NO_VECTOR)
		return relay_fd(q, err);
	return pci_msix_eventfd(v->pci, vector, err);
}
