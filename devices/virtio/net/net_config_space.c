/* SPDX-License-Identifier: Apache-2.0 */
/* Features and configuration space: virtio 1.2, 5.1.3 to 5.1.5. */
#include <string.h>

#include "base/le.h"
#include "devices/virtio/net/net_impl.h"

/* A tap knows no USO and no longer UFO, and what it cannot tell (hashes, VLANs) is not offered. */
uint64_t net_features(void *dev)
{
	const struct virtio_net *net = dev;
	/* Also where the kernel has no vhost-net after an update: the same device. */
	uint64_t transport = net->config.vhost == NET_VHOST_ON ? VHOST_TRANSPORT_FEATURES
							       : VIRTIO_TRANSPORT_FEATURES;
	uint64_t features = transport | NET_F_MAC | NET_F_MRG_RXBUF | NET_F_STATUS | NET_F_CTRL_VQ |
			    NET_F_CTRL_RX | NET_F_CTRL_MAC_ADDR | NET_F_GUEST_ANNOUNCE;

	if (net->config.offload)
		features |= NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_HOST_ECN |
			    NET_GUEST_OFFLOADS | NET_F_CTRL_GUEST_OFFLOADS;
	if (net->config.mtu)
		features |= NET_F_MTU;
	if (net->config.queues > 1)
		features |= NET_F_MQ;
	return features;
}

/* 5.1.3.1: a feature, and those of which a driver must have negotiated one as well. */
static const struct {
	uint64_t feature, needs;
	const char *name, *need_names;
} rules[] = {
	{NET_F_GUEST_TSO4, NET_F_GUEST_CSUM, "GUEST_TSO4", "GUEST_CSUM"},
	{NET_F_GUEST_TSO6, NET_F_GUEST_CSUM, "GUEST_TSO6", "GUEST_CSUM"},
	{NET_F_GUEST_ECN, NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6, "GUEST_ECN",
	 "GUEST_TSO4 or GUEST_TSO6"},
	{NET_F_HOST_TSO4, NET_F_CSUM, "HOST_TSO4", "CSUM"},
	{NET_F_HOST_TSO6, NET_F_CSUM, "HOST_TSO6", "CSUM"},
	{NET_F_HOST_ECN, NET_F_HOST_TSO4 | NET_F_HOST_TSO6, "HOST_ECN", "HOST_TSO4 or HOST_TSO6"},
	{NET_F_CTRL_RX, NET_F_CTRL_VQ, "CTRL_RX", "CTRL_VQ"},
	{NET_F_GUEST_ANNOUNCE, NET_F_CTRL_VQ, "GUEST_ANNOUNCE", "CTRL_VQ"},
	{NET_F_MQ, NET_F_CTRL_VQ, "MQ", "CTRL_VQ"},
	{NET_F_CTRL_MAC_ADDR, NET_F_CTRL_VQ, "CTRL_MAC_ADDR", "CTRL_VQ"},
};

int net_check_features(void *dev, uint64_t features, struct error *err)
{
	struct virtio_net *net = dev;

	for (unsigned int i = 0; i < ARRAY_SIZE(rules); i++) {
		if ((features & rules[i].feature) && !(features & rules[i].needs))
			return error_set(err, -EINVAL, "%s without %s", rules[i].name,
					 rules[i].need_names);
	}
	/* For net_load(), which is before activate(). */
	atomic_store(&net->checked_features, features);
	return 0;
}

size_t net_config_size(void *dev _unused_)
{
	return NET_CONFIG_SIZE;
}

void net_config_read(void *dev, size_t offset, void *data, size_t size)
{
	const struct virtio_net *net = dev;
	uint8_t space[NET_CONFIG_SIZE] = {0};

	virtio_net_mac(net, space + NET_C_MAC);
	le_put16(space, NET_C_STATUS, (uint16_t)atomic_load(&net->status));
	le_put16(space, NET_C_MAX_PAIRS, net->config.queues);
	le_put16(space, NET_C_MTU, net->config.mtu);
	memcpy(data, space + offset, size);
}
