/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/net/net.h"
#include "vmm/kinds/kinds.h"

static unsigned int count(const struct vm_config *config)
{
	return config->net_count;
}

static const char *id(const struct vm_config *config, unsigned int index)
{
	return config->nets[index].id;
}

static unsigned int slot_of(const struct vm_config *config, unsigned int index)
{
	return config->nets[index].slot;
}

static int make(const struct machine_devices_params *params, unsigned int index, void **ret,
		struct error *err)
{
	const struct virtio_net_config *config = &params->config->nets[index];
	struct vhost_ram ram;
	struct virtio_net *net;
	int r = virtio_net_new(config, params->config->id, &net, err);

	if (r < 0) {
		error_prefix(err, "net %s: ", config->id);
		return r;
	}
	if (config->vhost == NET_VHOST_ON) {
		machine_kind_vhost_ram(params->ram, &ram);
		virtio_net_use_vhost(net, VIRTIO_NET_HOST_DEVICE, &ram);
	}
	*ret = net;
	return 0;
}

static int check_update(void *dev, struct error *err)
{
	return virtio_net_check_update(dev, err);
}

static json_t *counters(const void *dev)
{
	const struct virtio_net *net = dev;
	struct virtio_net_counters c;
	char mac[NET_MAC_TEXT_SIZE];
	uint8_t bytes[NET_MAC_SIZE];

	virtio_net_mac(net, bytes);
	net_mac_format(bytes, mac);
	virtio_net_get_counters(net, &c);
	if (c.vhost)
		return json_pack("{ss ss sb sI}", "tap", virtio_net_tap_name(net), "mac", mac,
				 "vhost", 1, "announced", (json_int_t)c.announced);
	return json_pack("{ss ss sb sI sI sI sI sI sI sI sI sI}", "tap", virtio_net_tap_name(net),
			 "mac", mac, "vhost", 0, "rx-frames", (json_int_t)c.rx_frames, "rx-bytes",
			 (json_int_t)c.rx_bytes, "tx-frames", (json_int_t)c.tx_frames, "tx-bytes",
			 (json_int_t)c.tx_bytes, "rx-dropped", (json_int_t)c.rx_dropped,
			 "tx-dropped", (json_int_t)c.tx_dropped, "rx-throttled",
			 (json_int_t)c.rx_throttled, "tx-throttled", (json_int_t)c.tx_throttled,
			 "announced", (json_int_t)c.announced);
}

const struct machine_kind machine_kind_net = {
	.name = "net",
	.thread = true,
	.ops = &virtio_net_ops,
	.count = count,
	.id = id,
	.slot_of = slot_of,
	.make = make,
	.check_update = check_update,
	.counters = counters,
};
