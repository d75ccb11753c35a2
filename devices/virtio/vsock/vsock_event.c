/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of events: virtio 1.2, 5.10.6.7. */
#include <errno.h>

#include "base/le.h"
#include "devices/virtio/vsock/vsock_impl.h"

/* 1: told. 0: no buffer is there. */
static int put_event(struct virtio_vsock *s, uint32_t id, struct error *err)
{
	struct virtqueue *vq = virtio_queue(s->v, VSOCK_Q_EVENT);
	uint8_t event[VSOCK_EVENT_SIZE];
	int r = virtqueue_pop(vq, s->chain, err);

	if (r <= 0)
		return r;
	if (s->chain->in_bytes < sizeof(event)) {
		virtqueue_unpop(vq, s->chain);
		return error_set(err, -EPROTO, "a buffer of %zu bytes for an event",
				 s->chain->in_bytes);
	}
	le_put32(event, 0, id);
	virtqueue_chain_write(s->chain, 0, event, sizeof(event));
	virtqueue_push(vq, s->chain, sizeof(event));
	return 1;
}

void vsock_tell(struct virtio_vsock *s)
{
	struct virtqueue *vq = virtio_queue(s->v, VSOCK_Q_EVENT);
	struct error err = ERROR_INIT;
	int r;

	if (!s->reset_owed || !virtio_queue_live(s->v, VSOCK_Q_EVENT))
		return;
	do {
		r = put_event(s, VSOCK_EVENT_RESET, &err);
	} while (r == 0 && virtqueue_enable_doorbell(vq));
	if (r < 0) {
		virtio_needs_reset(s->v, &err);
		return;
	}
	s->reset_owed = r == 0;
	virtio_notify_queue(s->v, VSOCK_Q_EVENT);
}
