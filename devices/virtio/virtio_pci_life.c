/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to the device itself: all of it on its loop. */
#include <sys/epoll.h>

#include "devices/virtio/virtio_pci_impl.h"

static void queue_ready(struct vp_queue *q)
{
	if (virtio_queue_live(q->v, q->index))
		q->v->ops->queue_ready(q->v->dev, q->index);
}

static void on_doorbell(void *opaque, uint32_t events _unused_)
{
	struct vp_queue *q = opaque;
	uint64_t value;

	/* Drained before the ring is looked at, so that a ring meanwhile comes again. */
	if (read(q->doorbell, &value, sizeof(value)) > 0)
		queue_ready(q);
}

static void watch(struct vp_queue *q)
{
	struct error err = ERROR_INIT;

	if (q->doorbell_source || q->unwatched)
		return;
	if (loop_add_fd(q->v->loop, q->doorbell, EPOLLIN, on_doorbell, q, &q->doorbell_source,
			&err) < 0)
		virtio_needs_reset(q->v, &err);
}

static void unwatch(struct vp_queue *q)
{
	loop_remove_fd(q->doorbell_source);
	q->doorbell_source = NULL;
}

int virtio_queue_doorbell_fd(struct virtio_pci *v, unsigned int queue, bool watched)
{
	struct vp_queue *q = &v->queues[queue];

	q->unwatched = !watched;
	if (watched && virtio_queue_live(v, queue))
		watch(q);
	else if (!watched)
		unwatch(q);
	return q->doorbell;
}

void virtio_queue_again(struct virtio_pci *v, unsigned int queue)
{
	uint64_t one = 1;

	/* A full counter wakes the loop as well. */
	if (write(virtio_queue_doorbell_fd(v, queue, true), &one, sizeof(one)) < 0)
		return;
}

static void queue_gone(struct vp_queue *q)
{
	unwatch(q);
	loop_remove_fd(q->relay_source);
	q->relay_source = NULL;
	q->unwatched = false;
	q->live = false;
}

static void start_queue(struct vp_queue *q)
{
	struct virtio_pci *v = q->v;
	struct error err = ERROR_INIT;

	q->live = true;
	if (v->ops->queue_start && v->ops->queue_start(v->dev, q->index, &err) < 0) {
		virtio_needs_reset(v, &err);
		return;
	}
	watch(q);
	queue_ready(q);
}

void vp_deactivate(struct virtio_pci *v)
{
	v->ops->reset(v->dev, -1);
	for (unsigned int i = 0; i < v->queue_count; i++)
		queue_gone(&v->queues[i]);
	pthread_mutex_lock(&v->lock);
	v->active = false;
	pthread_mutex_unlock(&v->lock);
	v->drained = v->loaded = false;
}

static void activate(struct virtio_pci *v, uint64_t features)
{
	struct error err = ERROR_INIT;
	int r = v->ops->activate(v->dev, features, &err);

	pthread_mutex_lock(&v->lock);
	v->active = r == 0;
	v->dma_told = virtio_dma_allowed(v);
	for (unsigned int i = 0; i < v->queue_count; i++)
		v->queues[i].start_wanted = r == 0 && v->queues[i].regs.enabled;
	pthread_mutex_unlock(&v->lock);
	if (r < 0)
		virtio_needs_reset(v, &err);
}

static void reset_queue(struct vp_queue *q)
{
	struct virtio_pci *v = q->v;

	if (q->live)
		v->ops->reset(v->dev, (int)q->index);
	queue_gone(q);
	pthread_mutex_lock(&v->lock);
	vp_reset_queue_registers(q);
	pthread_mutex_unlock(&v->lock);
}

static void change_dma(struct virtio_pci *v)
{
	bool on = virtio_dma_allowed(v);

	if (!v->active || on == v->dma_told)
		return;
	v->dma_told = on;
	if (v->ops->dma_changed)
		v->ops->dma_changed(v->dev, on);
	for (unsigned int i = 0; on && i < v->queue_count; i++)
		queue_ready(&v->queues[i]);
}

/* A spurious interrupt is none too many: the kernel may have signalled where nobody listens any
 * more. */
static void change_interrupt(struct vp_queue *q)
{
	struct virtio_pci *v = q->v;

	if (!virtio_queue_live(v, q->index) || !v->ops->interrupt_changed)
		return;
	v->ops->interrupt_changed(v->dev, q->index);
	vp_interrupt_queue(v, q);
}

static void service_queue(struct vp_queue *q)
{
	struct virtio_pci *v = q->v;
	bool reset, start, interrupt;

	pthread_mutex_lock(&v->lock);
	reset = q->reset_wanted;
	start = q->start_wanted && !reset && v->active;
	interrupt = q->interrupt_changed;
	q->start_wanted = q->interrupt_changed = false;
	pthread_mutex_unlock(&v->lock);
	if (reset)
		reset_queue(q);
	else if (start && !q->live)
		start_queue(q);
	else if (interrupt)
		change_interrupt(q);
}

void vp_service(void *opaque)
{
	struct virtio_pci *v = opaque;
	bool reset, start, dma;
	uint64_t features;

	pthread_mutex_lock(&v->lock);
	reset = v->reset_wanted;
	start = v->activate_wanted && !reset;
	dma = v->dma_changed;
	features = v->driver_features;
	v->activate_wanted = v->dma_changed = false;
	/* From here on a reset has to wait for the device. */
	if (start)
		v->active = true;
	pthread_mutex_unlock(&v->lock);
	if (reset) {
		if (v->active)
			vp_deactivate(v);
		pthread_mutex_lock(&v->lock);
		vp_reset_registers(v);
		pthread_mutex_unlock(&v->lock);
		return;
	}
	if (start)
		activate(v, features);
	for (unsigned int i = 0; i < v->queue_count; i++)
		service_queue(&v->queues[i]);
	if (dma)
		change_dma(v);
}

/* ---- Update. ---- */

struct drain_call {
	struct virtio_pci *v;
	uint64_t deadline_ns;
	struct error *err;
	int result;
};

/* The driver may see a device which asks for a reset; it is still drained, because its backends run
 * on. */
static void drain(void *opaque)
{
	struct drain_call *call = opaque;
	struct virtio_pci *v = call->v;

	vp_service(v);
	if (!v->active || v->drained)
		return;
	v->drained = true;
	for (unsigned int i = 0; i < v->queue_count; i++)
		unwatch(&v->queues[i]);
	if (!v->loaded)
		call->result = v->ops->drain(v->dev, call->deadline_ns, call->err);
	/* The loop may not turn again before the interrupt's state is saved. */
	for (unsigned int i = 0; i < v->queue_count; i++)
		vp_relay(&v->queues[i]);
}

int virtio_pci_drain(struct virtio_pci *v, uint64_t deadline_ns, struct error *err)
{
	struct drain_call call = {v, deadline_ns, err, 0};

	loop_call(v->loop, drain, &call);
	if (call.result < 0) {
		virtio_pci_thaw(v);
		error_prefix(err, "%s: ", v->ops->name);
	}
	return call.result;
}

static void go_on(struct virtio_pci *v)
{
	v->drained = false;
	for (unsigned int i = 0; i < v->queue_count; i++) {
		if (!v->queues[i].live)
			continue;
		watch(&v->queues[i]);
		queue_ready(&v->queues[i]);
	}
}

static void thaw(void *opaque)
{
	struct virtio_pci *v = opaque;

	if (!v->active || !v->drained || v->loaded)
		return;
	if (v->ops->thaw)
		v->ops->thaw(v->dev);
	go_on(v);
}

void virtio_pci_thaw(struct virtio_pci *v)
{
	loop_call(v->loop, thaw, v);
}

static void resumed(void *opaque)
{
	struct virtio_pci *v = opaque;
	struct error err = ERROR_INIT;

	if (!v->loaded)
		return;
	v->loaded = false;
	v->drained = false;
	pci_device_resumed(v->pci);
	if (!v->active)
		return;
	if (v->ops->resumed(v->dev, v->driver_features, &err) < 0)
		virtio_needs_reset(v, &err);
	else
		go_on(v);
}

void virtio_pci_resumed(struct virtio_pci *v)
{
	loop_call(v->loop, resumed, v);
}
