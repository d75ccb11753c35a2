/* SPDX-License-Identifier: Apache-2.0 */
/* State: docs/state-format.md. */
#include <string.h>

#include "base/clock.h"
#include "devices/virtio/net/net_impl.h"

#define RX_NODE "rx-limits"
#define TX_NODE "tx-limits"

static void save_limit(const struct net_limit *limit, const char *node, struct state_writer *w)
{
	state_begin(w, node);
	rate_limiter_save(&limit->limiter, w);
	state_end(w);
}

int net_save(const void *dev, struct state_writer *w, struct error *err _unused_)
{
	const struct virtio_net *net = dev;
	char bridge[NET_NAME_MAX + 1];
	uint8_t mac[NET_MAC_SIZE];

	virtio_net_mac(net, mac);
	/* A tap that is gone is to be again where its configuration puts it. */
	if (net_tap_bridge(&net->tap, bridge, NULL) < 0)
		memcpy(bridge, net->config.bridge, sizeof(bridge));
	state_put_string(w, "tap", net->tap.name);
	state_put_string(w, "bridge", bridge);
	state_put_bytes(w, "mac", mac, sizeof(mac));
	state_put_u32(w, "announce", !!(atomic_load(&net->status) & NET_S_ANNOUNCE));
	state_put_u32(w, "pairs", net->pairs_used);
	state_put_u64(w, "offloads", net->offloads);
	state_put_u32(w, "frames-left", net->frames_left);
	save_limit(&net->rx_limit, RX_NODE, w);
	save_limit(&net->tx_limit, TX_NODE, w);
	return 0;
}

/* ---- Loading. ---- */

struct image {
	uint8_t mac[NET_MAC_SIZE];
	bool announce, frames_left;
	uint32_t pairs;
	uint64_t offloads;
	struct rate_limiter rx, tx;
};

/* The tap of now has the name and is in the bridge that the guest's had. */
static void check_tap(const struct virtio_net *net, struct state_reader *r)
{
	const char *name = state_get_string(r, "tap", NET_NAME_MAX + 1);
	const char *bridge = state_get_string(r, "bridge", NET_NAME_MAX + 1);
	char now[NET_NAME_MAX + 1] = "";
	struct error err = ERROR_INIT;

	if (r->code)
		return;
	state_require(r, strcmp(name, net->tap.name) == 0, "tap: the guest had %s, and this is %s",
		      name, net->tap.name);
	if (net_tap_bridge(&net->tap, now, &err) < 0)
		state_require(r, false, "tap: %s", error_message(&err));
	state_require(r, !bridge[0] || strcmp(bridge, now) == 0,
		      "bridge: tap %s was in %s and is in %s now: put it back (ip link set %s "
		      "master %s), then try again",
		      name, bridge, now[0] ? now : "none", name, bridge);
}

static int read_limit(const struct net_limit *limit, const char *node, struct state_reader *parent,
		      struct rate_limiter *ret, struct error *err)
{
	struct state_reader r;

	if (state_reader_child(parent, node, &r) < 0)
		return error_set(err, -EINVAL, "state %s: %s: missing", parent->path, node);
	rate_limiter_load(&limit->limiter, &r, clock_monotonic_ns(), ret);
	return state_reader_done(&r, err);
}

/* Buffers are given back before a state is saved. */
static void check_queues(struct virtio_net *net, struct state_reader *r)
{
	for (unsigned int i = 0; i < net_queue_count(net); i++) {
		unsigned int in_flight = virtqueue_loaded_in_flight(virtio_queue(net->v, i));

		state_require(r, in_flight == 0, "queue %u has %u buffers in flight", i, in_flight);
	}
}

static int read_all(struct virtio_net *net, struct state_reader *r, struct image *image,
		    struct error *err)
{
	uint64_t features = atomic_load(&net->checked_features);
	int ret = 0;

	check_tap(net, r);
	state_get_bytes(r, "mac", image->mac, sizeof(image->mac));
	image->announce = state_get_bool(r, "announce");
	image->pairs = state_get_u32_max(r, "pairs", net->config.queues);
	image->offloads = state_get_u64(r, "offloads");
	image->frames_left = state_get_bool(r, "frames-left");
	state_require(r, image->pairs == 1 || (image->pairs > 1 && (features & NET_F_MQ)),
		      "pairs: %u of a driver %s MQ", image->pairs,
		      features & NET_F_MQ ? "with" : "without");
	state_require(r, !(image->offloads & ~(features & NET_GUEST_OFFLOADS)),
		      "offloads: 0x%llx were not negotiated", (unsigned long long)image->offloads);
	state_require(r, !image->announce || (features & NET_F_GUEST_ANNOUNCE),
		      "announce: of a driver without GUEST_ANNOUNCE");
	state_require(r, state_reader_child_count(r) == 2, "%u nodes inside",
		      state_reader_child_count(r));
	if (!r->code)
		check_queues(net, r);
	if (!r->code)
		ret = read_limit(&net->rx_limit, RX_NODE, r, &image->rx, err);
	if (!r->code && ret == 0)
		ret = read_limit(&net->tx_limit, TX_NODE, r, &image->tx, err);
	return ret < 0 ? ret : state_reader_done(r, err);
}

int net_load(void *dev, uint32_t version _unused_, struct state_reader *r, enum state_mode mode,
	     struct error *err)
{
	struct virtio_net *net = dev;
	struct image image = {.pairs = 0};
	int ret = read_all(net, r, &image, err);

	if (ret < 0 || mode == STATE_CHECK)
		return ret;
	net_set_mac(net, image.mac);
	if (image.announce)
		atomic_fetch_or(&net->status, NET_S_ANNOUNCE);
	else
		atomic_fetch_and(&net->status, ~NET_S_ANNOUNCE);
	net->pairs_used = image.pairs;
	net->offloads = image.offloads;
	net->frames_left = image.frames_left;
	net->rx_limit.limiter = image.rx;
	net->tx_limit.limiter = image.tx;
	return 0;
}
