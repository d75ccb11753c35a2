/* SPDX-License-Identifier: Apache-2.0 */
/* What a card waits for: frames, room in the tap, a rate limit. */
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "devices/virtio/net/net_impl.h"

static void on_tap(void *opaque, uint32_t events)
{
	struct net_pair *pair = opaque;
	struct virtio_net *net = pair->net;

	if ((events & (EPOLLERR | EPOLLHUP)) && pair->index < net->pairs_used) {
		net_tap_lost(net, ENODEV);
		return;
	}
	if (events & EPOLLOUT) {
		pair->tx.blocked = false;
		net_transmit(net, pair->index);
	}
	if (events & EPOLLIN)
		net_receive(net, pair->index);
}

static uint32_t wanted(const struct virtio_net *net, const struct net_pair *pair)
{
	uint32_t events = 0;

	/* Frames of a tap that the kernel reads are its own. */
	if (net->vhost || !net->running || atomic_load(&net->lost) ||
	    pair->index >= net->pairs_used)
		return 0;
	if (!pair->rx.starved && !pair->rx.throttled && virtio_queue_live(net->v, 2 * pair->index))
		events |= EPOLLIN;
	if (pair->tx.blocked)
		events |= EPOLLOUT;
	return events;
}

/* Without events the descriptor is not watched at all: its errors would come for ever. */
void net_watch(struct virtio_net *net, unsigned int index)
{
	struct net_pair *pair = &net->pairs[index];
	uint32_t events = wanted(net, pair);
	struct error err = ERROR_INIT;
	int r = 0;

	if (events == pair->events)
		return;
	if (!events)
		loop_remove_fd(STEAL_PTR(pair->source));
	else if (pair->source)
		r = loop_modify_fd(pair->source, events);
	else
		r = loop_add_fd(virtio_loop(net->v), net->tap.fds[index], events, on_tap, pair,
				&pair->source, &err);
	pair->events = events;
	if (r < 0) {
		error_set(&err, r, "tap %s cannot be watched", net->tap.name);
		virtio_needs_reset(net->v, &err);
	}
}

void net_tap_lost(struct virtio_net *net, int code)
{
	if (atomic_exchange(&net->lost, true))
		return;
	log_error("net %s: tap %s is gone: %s; the guest's link is down. Unplug the card and plug "
		  "it in again when the tap is back",
		  net->config.id, net->tap.name, strerror(code));
	virtio_config_begin(net->v);
	atomic_fetch_and(&net->status, ~NET_S_LINK_UP);
	virtio_config_end(net->v);
	for (unsigned int i = 0; i < net->config.queues; i++) {
		net_vhost_stop(net, i, NULL);
		net_watch(net, i);
	}
}

/* ---- Rate limits. ---- */

bool net_may_go(struct net_limit *limit)
{
	uint64_t wait;

	if (!rate_limiter_enabled(&limit->limiter))
		return true;
	wait = rate_limiter_wait_ns(&limit->limiter, clock_monotonic_ns());
	if (wait == 0)
		return true;
	atomic_fetch_add_explicit(limit->throttled, 1, memory_order_relaxed);
	loop_timer_arm(limit->timer, wait, 0);
	return false;
}

void net_pay(struct net_limit *limit, size_t bytes)
{
	if (rate_limiter_enabled(&limit->limiter))
		rate_limiter_take(&limit->limiter, bytes, 1, clock_monotonic_ns());
}

void net_rx_limit_expired(void *opaque)
{
	struct virtio_net *net = opaque;

	for (unsigned int i = 0; i < net->config.queues; i++) {
		if (!net->pairs[i].rx.throttled)
			continue;
		net->pairs[i].rx.throttled = false;
		net_receive(net, i);
	}
}

void net_tx_limit_expired(void *opaque)
{
	struct virtio_net *net = opaque;

	for (unsigned int i = 0; i < net->config.queues; i++) {
		if (!net->pairs[i].tx.throttled)
			continue;
		net->pairs[i].tx.throttled = false;
		net_transmit(net, i);
	}
}
