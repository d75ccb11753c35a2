/* SPDX-License-Identifier: Apache-2.0 */
/* Frames from the guest: virtio 1.2, 5.1.6.1 and 5.1.6.2. */
#include "devices/virtio/net/net_impl.h"

/* Frames in one turn of the loop: other queues want it, too. */
#define FRAMES_MAX 256

/* False: it asks for what was not negotiated. */
static bool fit_header(const struct virtio_net *net, uint8_t header[NET_H_SIZE])
{
	/* 5.1.6.2.2: other flags are ignored. */
	header[NET_H_FLAGS] &= net->features & NET_F_CSUM ? NET_H_NEEDS_CSUM : 0;
	return net_gso_allowed(header[NET_H_GSO_TYPE], net->features & NET_F_HOST_TSO4,
			       net->features & NET_F_HOST_TSO6, net->features & NET_F_HOST_ECN);
}

/* The header, which was read once, and the frame where it is. Returns how many pieces. */
static int spread(struct virtio_net *net, uint8_t header[NET_H_SIZE])
{
	const struct virtqueue_chain *chain = net->chain;
	size_t skip = NET_H_SIZE;
	int n = 0;

	net->iov[n++] = (struct iovec){header, NET_H_SIZE};
	for (unsigned int i = 0; i < chain->out_count; i++) {
		struct iovec piece = chain->out[i];
		size_t skipped = MIN_OF(skip, piece.iov_len);

		skip -= skipped;
		piece.iov_len -= skipped;
		piece.iov_base = (uint8_t *)piece.iov_base + skipped;
		if (piece.iov_len)
			net->iov[n++] = piece;
	}
	return n;
}

/* Of the frame in net->chain. -EAGAIN: the tap is full. Another error: it is not sent. */
static int write_frame(struct virtio_net *net, unsigned int pair)
{
	size_t frame = net->chain->out_bytes - NET_H_SIZE;
	uint8_t header[NET_H_SIZE];
	ssize_t n;
	int count;

	virtqueue_chain_read(net->chain, 0, header, sizeof(header));
	if (atomic_load(&net->lost))
		return -ENODEV;
	if (frame < ETHERNET_HEADER || frame > NET_FRAME_MAX || !fit_header(net, header))
		return -EINVAL;
	count = spread(net, header);
	do {
		n = writev(net->tap.fds[pair], net->iov, count);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* 1: one was taken. 0: there is none, or it must wait. Negative: the driver broke the rules. */
static int send_one(struct virtio_net *net, unsigned int pair, struct error *err)
{
	struct virtqueue *vq = virtio_queue(net->v, 2 * pair + 1);
	struct net_tx *tx = &net->pairs[pair].tx;
	size_t frame;
	int r;

	if (!net_may_go(&net->tx_limit)) {
		tx->throttled = true;
		return 0;
	}
	r = virtqueue_pop(vq, net->chain, err);
	if (r <= 0)
		return r;
	if (net->chain->out_bytes < NET_H_SIZE) {
		virtqueue_unpop(vq, net->chain);
		return error_set(err, -EPROTO, "a frame of %zu bytes, without a header",
				 net->chain->out_bytes);
	}
	r = write_frame(net, pair);
	if (r == -EAGAIN) {
		virtqueue_unpop(vq, net->chain);
		tx->blocked = true;
		return 0;
	}
	frame = net->chain->out_bytes - NET_H_SIZE;
	net_pay(&net->tx_limit, frame);
	if (r < 0) {
		net_count(net, tx_dropped, 1);
	} else {
		net_count(net, tx_frames, 1);
		net_count(net, tx_bytes, frame);
	}
	virtqueue_push(vq, net->chain, 0);
	return 1;
}

static bool may_send(const struct virtio_net *net, unsigned int pair)
{
	const struct net_tx *tx = &net->pairs[pair].tx;

	return net->running && !tx->blocked && !tx->throttled;
}

void net_transmit(struct virtio_net *net, unsigned int pair)
{
	unsigned int queue = 2 * pair + 1, taken = 0;
	struct virtqueue *vq = virtio_queue(net->v, queue);
	struct error err = ERROR_INIT;
	int r = 0;

	if (!virtio_queue_live(net->v, queue) || !may_send(net, pair))
		return;
	do {
		virtqueue_disable_doorbell(vq);
		while (taken < FRAMES_MAX && (r = send_one(net, pair, &err)) > 0)
			taken++;
	} while (r == 0 && may_send(net, pair) && virtqueue_enable_doorbell(vq));
	virtio_notify_queue(net->v, queue);
	if (r < 0)
		virtio_needs_reset(net->v, &err);
	else if (r > 0)
		virtio_queue_again(net->v, queue);
	net_watch(net, pair);
}
