/* SPDX-License-Identifier: Apache-2.0 */
/* Frames for the guest: virtio 1.2, 5.1.6.3 and 5.1.6.4. */
#include <string.h>

#include "base/le.h"
#include "devices/virtio/net/net_impl.h"

/* Frames in one turn of the loop: other queues want it, too. */
#define FRAMES_MAX 256

static struct virtqueue *rx_queue(const struct virtio_net *net, unsigned int pair)
{
	return virtio_queue(net->v, 2 * pair);
}

static bool merges(const struct virtio_net *net)
{
	return net->features & NET_F_MRG_RXBUF;
}

/* ---- Buffers. ---- */

static struct virtqueue_chain *held(const struct net_rx *rx, unsigned int index)
{
	return rx->chains[(rx->first + index) % NET_HELD_MAX];
}

/* What the next frame may need, header included. */
static size_t bytes_wanted(const struct virtio_net *net)
{
	if (net->offloads & (NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6))
		return NET_H_SIZE + NET_FRAME_MAX;
	return NET_H_SIZE + net->tap.mtu + ETHERNET_HEADER_MAX;
}

static int check_buffer(const struct virtqueue_chain *chain, struct error *err)
{
	/* 5.1.6.3.1: at least the header fits into each. */
	if (chain->out_count || chain->in_bytes < NET_H_SIZE)
		return error_set(err, -EPROTO, "a receive buffer with %zu bytes to write",
				 chain->in_bytes);
	return 0;
}

/* Takes buffers until there are so many bytes, as far as the driver has made them available. */
static int hold(struct virtio_net *net, unsigned int pair, size_t bytes, struct error *err)
{
	struct net_rx *rx = &net->pairs[pair].rx;
	unsigned int max = merges(net) ? NET_HELD_MAX : 1;

	while (rx->bytes < bytes && rx->count < max) {
		struct virtqueue_chain **chain =
			&rx->chains[(rx->first + rx->count) % NET_HELD_MAX];
		int r;

		if (!*chain)
			*chain = virtqueue_chain_new(net->segments_max);
		if (!*chain)
			return error_set(err, -ENOMEM, "out of memory");
		r = virtqueue_pop(rx_queue(net, pair), *chain, err);
		if (r <= 0)
			return r;
		rx->count++;
		rx->bytes += (*chain)->in_bytes;
		rx->segments += (*chain)->in_count;
		r = check_buffer(*chain, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void drop_waiting(struct virtio_net *net, struct net_rx *rx)
{
	if (rx->waiting)
		net_count(net, rx_dropped, 1);
	rx->waiting = 0;
}

void net_forget(struct virtio_net *net, unsigned int pair)
{
	struct net_rx *rx = &net->pairs[pair].rx;

	drop_waiting(net, rx);
	rx->first = rx->count = rx->segments = 0;
	rx->bytes = 0;
	rx->starved = true;
	rx->throttled = false;
}

void net_put_back(struct virtio_net *net, unsigned int pair)
{
	struct net_rx *rx = &net->pairs[pair].rx;

	while (rx->count > 0)
		virtqueue_unpop(rx_queue(net, pair), held(rx, --rx->count));
	net_forget(net, pair);
}

/* No more can be held, however long one waits. */
static bool is_full(const struct virtio_net *net, unsigned int pair)
{
	const struct net_rx *rx = &net->pairs[pair].rx;
	const struct virtqueue_config *config = virtqueue_config(rx_queue(net, pair));

	return rx->count == NET_HELD_MAX || rx->count >= config->size ||
	       (!config->indirect && rx->segments >= config->size);
}

/* Bytes into the held buffers, from offset on. */
static void put(const struct net_rx *rx, size_t offset, const uint8_t *bytes, size_t size)
{
	for (unsigned int i = 0; i < rx->count && size > 0; i++) {
		const struct virtqueue_chain *chain = held(rx, i);
		size_t n;

		if (offset >= chain->in_bytes) {
			offset -= chain->in_bytes;
			continue;
		}
		n = virtqueue_chain_write(chain, offset, bytes, size);
		bytes += n;
		size -= n;
		offset = 0;
	}
}

/* ---- Frames. ---- */

/* 5.1.6.4.1: nothing that the driver has not negotiated. False: it cannot be told in a header. */
static bool fit_header(const struct virtio_net *net, uint8_t header[NET_H_SIZE])
{
	if (!(net->offloads & NET_F_GUEST_CSUM)) {
		header[NET_H_FLAGS] &= (uint8_t)~NET_H_DATA_VALID;
		if (header[NET_H_FLAGS] & NET_H_NEEDS_CSUM)
			return false;
	}
	return net_gso_allowed(header[NET_H_GSO_TYPE], net->offloads & NET_F_GUEST_TSO4,
			       net->offloads & NET_F_GUEST_TSO6, net->offloads & NET_F_GUEST_ECN);
}

/* The frame is in the held buffers, as far as it was placed: the rest, the header, and done. */
static void deliver(struct virtio_net *net, unsigned int pair, size_t frame)
{
	struct net_rx *rx = &net->pairs[pair].rx;
	size_t left = NET_H_SIZE + frame, bytes = 0;
	unsigned int buffers = 0;

	if (frame > rx->placed)
		put(rx, NET_H_SIZE + rx->placed, rx->spill, frame - rx->placed);
	while (bytes < left)
		bytes += held(rx, buffers++)->in_bytes;
	le_put16(rx->header, NET_H_NUM_BUFFERS, (uint16_t)buffers);
	put(rx, 0, rx->header, NET_H_SIZE);
	while (buffers-- > 0) {
		const struct virtqueue_chain *chain = held(rx, 0);
		size_t n = MIN_OF(left, chain->in_bytes);

		rx->count--;
		rx->bytes -= chain->in_bytes;
		rx->segments -= chain->in_count;
		rx->first = (rx->first + 1) % NET_HELD_MAX;
		virtqueue_push(rx_queue(net, pair), chain, (uint32_t)n);
		left -= n;
	}
	rx->waiting = 0;
	net_count(net, rx_frames, 1);
	net_count(net, rx_bytes, frame);
}

/* 1: look again. 0: the driver rings when it has some. */
static int wait_for_buffers(struct virtio_net *net, unsigned int pair)
{
	if (virtqueue_enable_doorbell(rx_queue(net, pair)))
		return 1;
	net->pairs[pair].rx.starved = true;
	return 0;
}

/* One that needs more buffers than there were. */
static int place_waiting(struct virtio_net *net, unsigned int pair, struct error *err)
{
	struct net_rx *rx = &net->pairs[pair].rx;
	int r = hold(net, pair, NET_H_SIZE + rx->waiting, err);

	if (r < 0)
		return r;
	if (rx->bytes >= NET_H_SIZE + rx->waiting) {
		deliver(net, pair, rx->waiting);
		return 1;
	}
	if (!merges(net) || is_full(net, pair)) {
		drop_waiting(net, rx);
		return 1;
	}
	return wait_for_buffers(net, pair);
}

/* The header, what is held, and the spill for what does not fit. Returns how many pieces. */
static int spread(struct virtio_net *net, struct net_rx *rx, size_t *ret_room)
{
	size_t skip = NET_H_SIZE;
	int n = 0;

	*ret_room = 0;
	net->iov[n++] = (struct iovec){rx->header, NET_H_SIZE};
	for (unsigned int i = 0; i < rx->count; i++) {
		const struct virtqueue_chain *chain = held(rx, i);

		for (unsigned int k = 0; k < chain->in_count && n < NET_IOV_MAX; k++) {
			struct iovec piece = chain->in[k];
			size_t skipped = MIN_OF(skip, piece.iov_len);

			skip -= skipped;
			piece.iov_len -= skipped;
			piece.iov_base = (uint8_t *)piece.iov_base + skipped;
			if (piece.iov_len == 0)
				continue;
			*ret_room += piece.iov_len;
			net->iov[n++] = piece;
		}
	}
	net->iov[n++] = (struct iovec){rx->spill, NET_FRAME_MAX};
	return n;
}

/* 1: there was one. 0: there is none. */
static int read_frame(struct virtio_net *net, unsigned int pair, struct error *err)
{
	struct net_rx *rx = &net->pairs[pair].rx;
	size_t room, frame;
	int count = spread(net, rx, &room);
	ssize_t n;

	do {
		n = readv(net->tap.fds[pair], net->iov, count);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0) {
		net_tap_lost(net, n < 0 ? errno : ENODEV);
		return 0;
	}
	net_pay(&net->rx_limit, MAX_OF((size_t)n, (size_t)NET_H_SIZE) - NET_H_SIZE);
	if (n < (ssize_t)(NET_H_SIZE + ETHERNET_HEADER) || !fit_header(net, rx->header)) {
		net_count(net, rx_dropped, 1);
		return 1;
	}
	frame = (size_t)n - NET_H_SIZE;
	rx->placed = MIN_OF(frame, room);
	rx->waiting = frame;
	return place_waiting(net, pair, err);
}

/* 1: go on. 0: enough for now. */
static int receive_one(struct virtio_net *net, unsigned int pair, struct error *err)
{
	struct net_rx *rx = &net->pairs[pair].rx;
	int r;

	if (rx->waiting)
		return place_waiting(net, pair, err);
	if (!net_may_go(&net->rx_limit)) {
		rx->throttled = true;
		return 0;
	}
	r = hold(net, pair, bytes_wanted(net), err);
	if (r < 0)
		return r;
	return rx->count ? read_frame(net, pair, err) : wait_for_buffers(net, pair);
}

static bool may_receive(const struct virtio_net *net, unsigned int pair)
{
	return net->running && !atomic_load(&net->lost) && pair < net->pairs_used &&
	       virtqueue_enabled(rx_queue(net, pair));
}

void net_receive_rest(struct virtio_net *net, unsigned int pair, unsigned int max)
{
	struct error err = ERROR_INIT;
	int r = 1;

	if (!may_receive(net, pair))
		return;
	virtqueue_disable_doorbell(rx_queue(net, pair));
	while (max-- > 0 && r > 0)
		r = receive_one(net, pair, &err);
	if (r < 0)
		net_put_back(net, pair);
	virtio_notify_queue(net->v, 2 * pair);
	if (r < 0)
		virtio_needs_reset(net->v, &err);
}

void net_receive(struct virtio_net *net, unsigned int pair)
{
	if (virtio_queue_live(net->v, 2 * pair))
		net_receive_rest(net, pair, FRAMES_MAX);
	net_watch(net, pair);
}
