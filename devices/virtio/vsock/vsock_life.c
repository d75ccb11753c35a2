/* SPDX-License-Identifier: Apache-2.0 */
/* When the kernel walks the queues of packets, and the way through an update. */
#include <linux/vhost.h>

#include "base/util.h"
#include "devices/virtio/vsock/vsock_impl.h"

static const char *const queue_names[VSOCK_RINGS] = {"receive", "transmit"};

static int set_running(struct virtio_vsock *s, int on, struct error *err)
{
	return vhost_ioctl(s->vhost, VHOST_VSOCK_SET_RUNNING, &on, "VHOST_VSOCK_SET_RUNNING", err);
}

static int stop_rings(struct virtio_vsock *s, struct error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < VSOCK_RINGS; i++) {
		int r = vhost_ring_stop(s->vhost, i, ret < 0 ? NULL : err);

		ret = ret < 0 ? ret : r;
	}
	return ret;
}

/* After it the kernel touches no queue and signals nothing more. */
static int stop(struct virtio_vsock *s, struct error *err)
{
	int r, r_rings;

	if (!s->running)
		return 0;
	s->running = false;
	r = set_running(s, 0, err);
	r_rings = stop_rings(s, r < 0 ? NULL : err);
	return r < 0 ? r : r_rings;
}

static int start(struct virtio_vsock *s, struct error *err)
{
	int r = 0;

	for (unsigned int i = 0; i < VSOCK_RINGS && r == 0; i++)
		r = vhost_ring_start(s->vhost, i, s->v, i, err);
	if (r == 0)
		r = set_running(s, 1, err);
	if (r < 0) {
		stop_rings(s, NULL);
		return r;
	}
	s->running = true;
	for (unsigned int i = 0; i < VSOCK_RINGS; i++)
		vhost_ring_kick(s->vhost, i);
	return 0;
}

/* The kernel takes both queues or none. */
static bool can_run(const struct virtio_vsock *s)
{
	return s->active && virtio_dma_allowed(s->v) && virtio_queue_live(s->v, VSOCK_Q_RX) &&
	       virtio_queue_live(s->v, VSOCK_Q_TX);
}

/* Also after a start, a thaw, a resume and when bus mastering comes on. */
void vsock_queue_ready(void *dev, unsigned int queue)
{
	struct virtio_vsock *s = dev;
	struct error err = ERROR_INIT;

	if (queue == VSOCK_Q_EVENT)
		vsock_tell(s);
	else if (!s->running && can_run(s) && start(s, &err) < 0)
		virtio_needs_reset(s->v, &err);
}

int vsock_activate(void *dev, uint64_t features, struct error *err)
{
	struct virtio_vsock *s = dev;
	int r = vhost_set_features(s->vhost, features, err);

	s->active = r == 0;
	return r;
}

/* Nobody could do anything about it: the kernel refuses only what is not its owner's. */
static void stop_and_log(struct virtio_vsock *s)
{
	struct error err = ERROR_INIT;

	if (stop(s, &err) < 0)
		log_error("virtio-vsock: %s", error_message(&err));
}

void vsock_dma_changed(void *dev, bool on)
{
	if (!on)
		stop_and_log(dev);
}

void vsock_interrupt_changed(void *dev, unsigned int queue)
{
	struct virtio_vsock *s = dev;
	struct error err = ERROR_INIT;

	if (queue < VSOCK_RINGS && vhost_ring_move_interrupt(s->vhost, queue, &err) < 0)
		virtio_needs_reset(s->v, &err);
}

void vsock_failed(void *dev, unsigned int ring)
{
	struct virtio_vsock *s = dev;
	struct error err = ERROR_INIT;

	stop_and_log(s);
	error_set(
		&err, -EPROTO,
		"the host's kernel cannot go on with the %s queue: the driver broke the rules, or "
		"the host is out of memory",
		queue_names[ring]);
	virtio_needs_reset(s->v, &err);
}

/* Only of the whole: reset of one queue is not offered. */
void vsock_reset(void *dev, int queue _unused_)
{
	struct virtio_vsock *s = dev;

	stop_and_log(s);
	s->active = false;
	s->reset_owed = false;
}

/* The kernel finishes a packet before it stops: nothing is in flight then. */
int vsock_drain(void *dev, uint64_t deadline_ns _unused_, struct error *err)
{
	return stop(dev, err);
}

int vsock_resumed(void *dev, uint64_t features, struct error *err)
{
	struct virtio_vsock *s = dev;
	int r = vsock_activate(s, features, err);

	if (r < 0)
		return r;
	/* Before the first packet: a connection of now is not one of those that are gone. */
	s->reset_owed = true;
	vsock_tell(s);
	return 0;
}
