/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the socket device share. For devices/virtio/vsock/ only; all of it belongs to
 * the device's loop. */
#ifndef HOLDFAST_DEVICES_VIRTIO_VSOCK_VSOCK_IMPL_H
#define HOLDFAST_DEVICES_VIRTIO_VSOCK_VSOCK_IMPL_H

#include "base/log.h"
#include "devices/virtio/vsock/vsock.h"
#include "devices/virtio/vsock/vsock_spec.h"

#define VSOCK_QUEUE_SIZE 128
#define VSOCK_RINGS	 2 /* the kernel's: VSOCK_Q_RX and VSOCK_Q_TX, under the same numbers */
/* 2.7.5.3.1: no chain is longer than the queue; two more for buffers across the seam of two pieces
 * of RAM. */
#define VSOCK_SEGMENTS_MAX (VSOCK_QUEUE_SIZE + 2)

struct virtio_vsock {
	struct virtio_pci *v;
	uint32_t cid;
	struct vhost *vhost;	       /* owned */
	struct virtqueue_chain *chain; /* owned: an event */
	bool active;
	bool running;	 /* the kernel walks its queues */
	bool reset_owed; /* the driver has to be told that its connections are gone */
};

/* vsock_life.c */
int vsock_activate(void *dev, uint64_t features, struct error *err);
void vsock_queue_ready(void *dev, unsigned int queue);
void vsock_dma_changed(void *dev, bool on);
void vsock_interrupt_changed(void *dev, unsigned int queue);
void vsock_reset(void *dev, int queue);
int vsock_drain(void *dev, uint64_t deadline_ns, struct error *err);
int vsock_resumed(void *dev, uint64_t features, struct error *err);
/* The kernel cannot go on with a queue. */
void vsock_failed(void *dev, unsigned int ring);

/* vsock_event.c */
/* Tells the driver what it is owed, if it has given a buffer for it. */
void vsock_tell(struct virtio_vsock *s);

#endif
