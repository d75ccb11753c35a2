/* SPDX-License-Identifier: Apache-2.0 */
/* One ring: what the kernel is told before it walks it, and what it tells when it has stopped. */
#include <linux/vhost.h>
#include <sys/epoll.h>

#include "base/util.h"
#include "devices/vhost/vhost_impl.h"

static void on_error(void *opaque, uint32_t events _unused_)
{
	struct vhost_ring *ring = opaque;
	uint64_t value;

	if (read(ring->error_fd, &value, sizeof(value)) > 0)
		ring->vhost->params.on_error(ring->vhost->params.opaque, ring->index);
}

static int set_state(struct vhost_ring *ring, unsigned long request, uint32_t value,
		     const char *what, struct error *err)
{
	const struct vhost_vring_state state = {.index = ring->index, .num = value};

	return vhost_ioctl(ring->vhost, request, &state, what, err);
}

/* fd: VHOST_FILE_UNBIND for none. */
static int set_file(struct vhost_ring *ring, unsigned long request, int fd, const char *what,
		    struct error *err)
{
	const struct vhost_vring_file file = {.index = ring->index, .fd = fd};

	return vhost_ioctl(ring->vhost, request, &file, what, err);
}

static int set_place(struct vhost_ring *ring, const struct virtqueue *vq, struct error *err)
{
	struct vhost_vring_addr addr = {.index = ring->index};
	void *areas[3];
	int r = set_state(ring, VHOST_SET_VRING_NUM, virtqueue_config(vq)->size,
			  "VHOST_SET_VRING_NUM", err);

	if (r == 0)
		r = set_state(ring, VHOST_SET_VRING_BASE, virtqueue_position(vq),
			      "VHOST_SET_VRING_BASE", err);
	if (r < 0)
		return r;
	virtqueue_areas(vq, areas);
	addr.desc_user_addr = (uintptr_t)areas[0];
	addr.avail_user_addr = (uintptr_t)areas[1];
	addr.used_user_addr = (uintptr_t)areas[2];
	return vhost_ioctl(ring->vhost, VHOST_SET_VRING_ADDR, &addr, "VHOST_SET_VRING_ADDR", err);
}

int vhost_ring_move_interrupt(struct vhost *vhost, unsigned int index, struct error *err)
{
	struct vhost_ring *ring = &vhost->rings[index];
	int fd;

	if (!ring->transport)
		return 0;
	fd = virtio_queue_interrupt_fd(ring->transport, ring->queue, err);
	return fd < 0 ? fd : set_file(ring, VHOST_SET_VRING_CALL, fd, "VHOST_SET_VRING_CALL", err);
}

static int set_files(struct vhost_ring *ring, struct error *err)
{
	int r = set_file(ring, VHOST_SET_VRING_ERR, ring->error_fd, "VHOST_SET_VRING_ERR", err);

	if (r == 0)
		r = vhost_ring_move_interrupt(ring->vhost, ring->index, err);
	if (r == 0)
		r = set_file(ring, VHOST_SET_VRING_KICK, ring->doorbell, "VHOST_SET_VRING_KICK",
			     err);
	return r;
}

int vhost_ring_start(struct vhost *vhost, unsigned int index, struct virtio_pci *transport,
		     unsigned int queue, struct error *err)
{
	struct vhost_ring *ring = &vhost->rings[index];
	uint64_t old;
	int r;

	/* An error of the time before is not this one's. */
	if (read(ring->error_fd, &old, sizeof(old)) < 0 && errno != EAGAIN)
		return error_sys(err, -errno, "%s: cannot read an eventfd", vhost->params.name);
	r = loop_add_fd(virtio_loop(transport), ring->error_fd, EPOLLIN, on_error, ring,
			&ring->error_source, err);
	if (r < 0)
		return r;
	ring->transport = transport;
	ring->queue = queue;
	ring->doorbell = virtio_queue_doorbell_fd(transport, queue, false);
	r = set_place(ring, virtio_queue(transport, queue), err);
	if (r == 0)
		r = set_files(ring, err);
	if (r < 0) {
		loop_remove_fd(STEAL_PTR(ring->error_source));
		ring->transport = NULL;
		virtio_queue_doorbell_fd(transport, queue, true);
	}
	return r;
}

void vhost_ring_kick(struct vhost *vhost, unsigned int index)
{
	const struct vhost_ring *ring = &vhost->rings[index];
	uint64_t one = 1;

	/* A full counter has woken the kernel already. */
	if (ring->transport && write(ring->doorbell, &one, sizeof(one)) < 0)
		return;
}

int vhost_ring_stop(struct vhost *vhost, unsigned int index, struct error *err)
{
	struct vhost_ring *ring = &vhost->rings[index];
	struct vhost_vring_state state = {.index = index};
	int r, r_files;

	if (!ring->transport)
		return 0;
	r_files = set_file(ring, VHOST_SET_VRING_KICK, VHOST_FILE_UNBIND, "VHOST_SET_VRING_KICK",
			   err);
	if (r_files == 0)
		r_files = set_file(ring, VHOST_SET_VRING_CALL, VHOST_FILE_UNBIND,
				   "VHOST_SET_VRING_CALL", err);
	r = vhost_ioctl(vhost, VHOST_GET_VRING_BASE, &state, "VHOST_GET_VRING_BASE", err);
	if (r == 0)
		virtqueue_set_position(virtio_queue(ring->transport, ring->queue), state.num);
	loop_remove_fd(STEAL_PTR(ring->error_source));
	ring->transport = NULL;
	return r < 0 ? r : r_files;
}
