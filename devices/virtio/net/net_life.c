/* SPDX-License-Identifier: Apache-2.0 */
/* Activation, reset, and the way through an update. */
#include <linux/if_tun.h>
#include <poll.h>

#include "base/clock.h"
#include "devices/virtio/net/net_impl.h"

/* Frames of one pair at a freeze, at most and at once. */
#define DRAIN_FRAMES_MAX 4096
#define DRAIN_FRAMES	 64

/* ---- What the tap is told. ---- */

int net_apply_offloads(struct virtio_net *net, uint64_t offloads, struct error *err)
{
	unsigned int flags = 0;
	int r;

	if (offloads & NET_F_GUEST_CSUM)
		flags |= TUN_F_CSUM;
	/* Without checksums a tap knows nothing of the others. */
	if (flags && (offloads & NET_F_GUEST_TSO4))
		flags |= TUN_F_TSO4;
	if (flags && (offloads & NET_F_GUEST_TSO6))
		flags |= TUN_F_TSO6;
	if ((flags & (TUN_F_TSO4 | TUN_F_TSO6)) && (offloads & NET_F_GUEST_ECN))
		flags |= TUN_F_TSO_ECN;
	r = net_tap_set_offload(&net->tap, flags, err);
	if (r == 0)
		net->offloads = offloads;
	return r;
}

int net_use_pairs(struct virtio_net *net, unsigned int pairs, struct error *err)
{
	int r = 0;

	for (unsigned int i = pairs; i < net->config.queues; i++)
		net_vhost_stop(net, i, NULL);
	for (unsigned int i = 0; i < net->config.queues && r == 0; i++)
		r = net_tap_use_queue(&net->tap, i, i < pairs, err);
	if (r < 0)
		return r;
	net->pairs_used = pairs;
	for (unsigned int i = 0; i < net->config.queues; i++) {
		if (net->vhost) {
			net_vhost_start(net, i);
			continue;
		}
		if (i < pairs) {
			/* Buffers that came while it was not used. */
			net->pairs[i].rx.starved = false;
			net_receive(net, i);
			continue;
		}
		net_put_back(net, i);
		net_watch(net, i);
	}
	return 0;
}

/* ---- Life. ---- */

static void stop(struct virtio_net *net)
{
	net->running = false;
	net_vhost_watch(net, false);
	for (unsigned int i = 0; i < net->config.queues; i++) {
		net_vhost_stop(net, i, NULL);
		net->pairs[i].tx = (struct net_tx){0};
		net_watch(net, i);
	}
	loop_timer_free(STEAL_PTR(net->rx_limit.timer));
	loop_timer_free(STEAL_PTR(net->tx_limit.timer));
	loop_timer_free(STEAL_PTR(net->announce_timer));
}

static int start(struct virtio_net *net, struct error *err)
{
	struct loop *loop = virtio_loop(net->v);
	int r = loop_timer_new(loop, net_rx_limit_expired, net, &net->rx_limit.timer, err);

	if (r == 0)
		r = loop_timer_new(loop, net_tx_limit_expired, net, &net->tx_limit.timer, err);
	if (r == 0)
		r = loop_timer_new(loop, net_announce_again, net, &net->announce_timer, err);
	if (r < 0) {
		stop(net);
		return r;
	}
	net->running = true;
	net_vhost_watch(net, true);
	return 0;
}

int net_activate(void *dev, uint64_t features, struct error *err)
{
	struct virtio_net *net = dev;
	int r = net_apply_offloads(net, features & NET_GUEST_OFFLOADS, err);

	net->features = features;
	if (r == 0)
		r = net_vhost_set_features(net, err);
	/* 5.1.5: one pair until the driver asks for more. */
	if (r == 0)
		r = net_use_pairs(net, 1, err);
	return r < 0 ? r : start(net, err);
}

void net_queue_ready(void *dev, unsigned int queue)
{
	struct virtio_net *net = dev;
	unsigned int ctrl = net_ctrl_queue(net, net->features);

	if (queue == ctrl) {
		if (net->features & NET_F_CTRL_VQ)
			net_obey(net, queue);
	} else if (queue > ctrl) {
		/* Of a driver that uses what it has not negotiated. */
		return;
	} else if (net->vhost) {
		net_vhost_start(net, queue / 2);
	} else if (queue % 2) {
		net_transmit(net, queue / 2);
	} else {
		net->pairs[queue / 2].rx.starved = false;
		net_receive(net, queue / 2);
	}
}

void net_reset(void *dev, int queue)
{
	struct virtio_net *net = dev;
	struct error err = ERROR_INIT;

	for (unsigned int i = 0; i < net->config.queues; i++) {
		if (queue < 0 || queue == (int)(2 * i))
			net_forget(net, i);
		if (queue == (int)(2 * i + 1))
			net->pairs[i].tx = (struct net_tx){0};
		net_watch(net, i);
	}
	if (queue >= 0)
		return;
	stop(net);
	net->features = 0;
	net->pairs_used = 1;
	net_set_mac(net, net->config.mac);
	atomic_fetch_and(&net->status, ~NET_S_ANNOUNCE);
	if (net_apply_offloads(net, 0, &err) < 0)
		log_ratelimited(&net->log, LOG_LEVEL_WARNING, "net %s: %s", net->config.id,
				error_message(&err));
}

/* Buffers that are held would be written though the guest has forbidden it, and the kernel knows
 * nothing of that. */
void net_dma_changed(void *dev, bool on)
{
	struct virtio_net *net = dev;

	for (unsigned int i = 0; i < net->config.queues && !on; i++) {
		net_vhost_stop(net, i, NULL);
		net_put_back(net, i);
		net_watch(net, i);
	}
}

/* ---- Update. ---- */

static bool has_frames(const struct virtio_net *net, unsigned int pair)
{
	struct pollfd pollfd = {net->tap.fds[pair], POLLIN, 0};

	return poll(&pollfd, 1, 0) > 0 && (pollfd.revents & POLLIN);
}

/* What the tap has goes to the guest as long as there are buffers and time for it. */
static void receive_rest(struct virtio_net *net, unsigned int pair, uint64_t deadline_ns)
{
	unsigned int left = DRAIN_FRAMES_MAX;

	/* A limit does not wait for the next process either: what it holds back stays behind. */
	while (left > 0 && !net->pairs[pair].rx.starved && !net->pairs[pair].rx.throttled &&
	       has_frames(net, pair)) {
		net_receive_rest(net, pair, DRAIN_FRAMES);
		left -= DRAIN_FRAMES;
		if (clock_monotonic_ns() >= deadline_ns || atomic_load(&net->lost))
			return;
	}
}

int net_drain(void *dev, uint64_t deadline_ns, struct error *err)
{
	struct virtio_net *net = dev;
	int ret = 0;

	net->frames_left = false;
	for (unsigned int i = 0; i < net->pairs_used; i++) {
		int r = net_vhost_stop(net, i, ret < 0 ? NULL : err);

		ret = ret < 0 ? ret : r;
		/* The kernel has stopped where it was, and the queue is ours from there on. */
		if (net->vhost)
			net->pairs[i].rx.starved = r < 0;
		receive_rest(net, i, deadline_ns);
		net->frames_left |= net->pairs[i].rx.waiting || has_frames(net, i);
		net_put_back(net, i);
	}
	stop(net);
	return ret;
}

void net_thaw(void *dev)
{
	struct virtio_net *net = dev;
	struct error err = ERROR_INIT;

	if (start(net, &err) < 0)
		virtio_needs_reset(net->v, &err);
}

int net_resumed(void *dev, uint64_t features, struct error *err)
{
	struct virtio_net *net = dev;
	int r;

	net->features = features;
	r = net_apply_offloads(net, net->offloads, err);
	if (r == 0)
		r = net_vhost_set_features(net, err);
	if (r == 0)
		r = net_use_pairs(net, net->pairs_used, err);
	if (r == 0)
		r = start(net, err);
	if (r < 0)
		return r;
	log_info("net %s: frames that came for the guest while it stood still are lost%s",
		 net->config.id,
		 net->frames_left ? ", and some for which it had no buffers before" : "");
	net_announce(net);
	return 0;
}
