/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/net/net.h"

#include "base/clock.h"
#include "devices/virtio/net/net_impl.h"

static void net_attached(void *dev, struct virtio_pci *v)
{
	((struct virtio_net *)dev)->v = v;
}

unsigned int net_queue_count(void *dev)
{
	return 2U * ((struct virtio_net *)dev)->config.queues + 1;
}

unsigned int net_ctrl_queue(const struct virtio_net *net, uint64_t features)
{
	return features & NET_F_MQ ? 2U * net->config.queues : 2;
}

bool net_gso_allowed(uint8_t type, bool tso4, bool tso6, bool ecn)
{
	if ((type & NET_GSO_ECN) && !ecn)
		return false;
	switch (type & ~NET_GSO_ECN) {
	case NET_GSO_NONE:
		return true;
	case NET_GSO_TCPV4:
		return tso4;
	case NET_GSO_TCPV6:
		return tso6;
	default:
		return false;
	}
}

static uint16_t net_queue_size(void *dev, unsigned int queue _unused_)
{
	return ((struct virtio_net *)dev)->config.queue_size;
}

static void net_free(void *dev)
{
	virtio_net_free(dev);
}

void virtio_net_free(struct virtio_net *net)
{
	if (!net)
		return;
	for (unsigned int i = 0; i < NET_PAIRS_MAX; i++) {
		for (unsigned int k = 0; k < NET_HELD_MAX; k++)
			virtqueue_chain_free(net->pairs[i].rx.chains[k]);
		free(net->pairs[i].rx.spill);
	}
	net_vhost_free(net);
	virtqueue_chain_free(net->chain);
	free(net->iov);
	net_tap_close(&net->tap);
	free(net);
}

void net_set_mac(struct virtio_net *net, const uint8_t mac[NET_MAC_SIZE])
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < NET_MAC_SIZE; i++)
		value |= (uint64_t)mac[i] << 8 * i;
	atomic_store(&net->mac, value);
}

void virtio_net_mac(const struct virtio_net *net, uint8_t mac[NET_MAC_SIZE])
{
	uint64_t value = atomic_load(&net->mac);

	for (unsigned int i = 0; i < NET_MAC_SIZE; i++)
		mac[i] = (uint8_t)(value >> 8 * i);
}

static void init_limit(struct net_limit *limit, const struct rate_limiter_config *config,
		       _Atomic uint64_t *throttled)
{
	rate_limiter_init(&limit->limiter, config, clock_monotonic_ns());
	limit->throttled = throttled;
}

static bool make_spills(struct virtio_net *net)
{
	for (unsigned int i = 0; i < net->config.queues; i++) {
		net->pairs[i].rx.spill = malloc(NET_FRAME_MAX);
		if (!net->pairs[i].rx.spill)
			return false;
	}
	return true;
}

int net_new_with_tap(const struct virtio_net_config *config, const char *vm, struct net_tap *tap,
		     struct virtio_net **ret, struct error *err)
{
	struct virtio_net *net = calloc(1, sizeof(*net));

	if (!net) {
		net_tap_close(tap);
		return error_set(err, -ENOMEM, "tap %s: out of memory", tap->name);
	}
	net->config = *config;
	net->tap = *tap;
	net->links = FD_NONE;
	net->pairs_used = 1;
	for (unsigned int i = 0; i < NET_PAIRS_MAX; i++) {
		net->pairs[i].net = net;
		net->pairs[i].index = i;
		net->pairs[i].rx.starved = true;
	}
	atomic_store(&net->status, NET_S_LINK_UP);
	if (!config->has_mac)
		net_mac_choose(vm, config->id, net->config.mac);
	net_set_mac(net, net->config.mac);
	init_limit(&net->rx_limit, &config->rx_limits, &net->counters.rx_throttled);
	init_limit(&net->tx_limit, &config->tx_limits, &net->counters.tx_throttled);
	/* 2.7.5.3.1: no chain is longer than the queue; two more for buffers across the seam of two
	 * pieces of RAM. */
	net->segments_max = MIN_OF(config->queue_size + 2U, (unsigned int)VIRTQUEUE_SEGMENTS_MAX);
	net->chain = virtqueue_chain_new(net->segments_max);
	net->iov = calloc(MAX_OF(net->segments_max, NET_IOV_MAX) + 2U, sizeof(net->iov[0]));
	if (!net->chain || !net->iov || !make_spills(net)) {
		virtio_net_free(net);
		return error_set(err, -ENOMEM, "net %s: out of memory", config->id);
	}
	*ret = net;
	return 0;
}

int virtio_net_new(const struct virtio_net_config *config, const char *vm, struct virtio_net **ret,
		   struct error *err)
{
	struct net_tap tap;
	int r = net_tap_open(config, &tap, err);

	return r < 0 ? r : net_new_with_tap(config, vm, &tap, ret, err);
}

int virtio_net_check_update(const struct virtio_net *net, struct error *err)
{
	return net_tap_check_reopen(&net->tap, &net->config, err);
}

const char *virtio_net_tap_name(const struct virtio_net *net)
{
	return net->tap.name;
}

void virtio_net_get_counters(const struct virtio_net *net, struct virtio_net_counters *ret)
{
#define GET(counter) .counter = atomic_load(&net->counters.counter)
	*ret = (struct virtio_net_counters){GET(rx_frames),    GET(rx_bytes),	  GET(tx_frames),
					    GET(tx_bytes),     GET(rx_dropped),	  GET(tx_dropped),
					    GET(rx_throttled), GET(tx_throttled), GET(announced),
					    net->vhost};
#undef GET
}

const struct virtio_device_ops virtio_net_ops = {
	.name = "virtio-net",
	.device_id = NET_DEVICE_ID,
	.class_code = NET_CLASS_ETHERNET,
	.state_version = 1,
	.state_min_version = 1,
	.attached = net_attached,
	.features = net_features,
	.check_features = net_check_features,
	.queue_count = net_queue_count,
	.queue_size_max = net_queue_size,
	.config_size = net_config_size,
	.config_read = net_config_read,
	.activate = net_activate,
	.queue_ready = net_queue_ready,
	.interrupt_changed = net_interrupt_changed,
	.reset = net_reset,
	.dma_changed = net_dma_changed,
	.drain = net_drain,
	.thaw = net_thaw,
	.resumed = net_resumed,
	.save = net_save,
	.load = net_load,
	.free = net_free,
};
