/* SPDX-License-Identifier: Apache-2.0 */
/* The control queue: virtio 1.2, 5.1.6.5. */
#include "base/le.h"
#include "devices/virtio/net/net_impl.h"

/* In one turn of the loop. */
#define COMMANDS_MAX 32

/* What a command is about. Bytes behind the header; false: there are fewer. */
static bool read_data(const struct virtio_net *net, size_t offset, void *ret, size_t size)
{
	return virtqueue_chain_read(net->chain, NET_CTRL_HEADER_SIZE + offset, ret, size) == size;
}

/* 5.1.6.5.1. Every frame of the tap is given to the guest, whatever it asks for: what it does not
 * want it drops, as it must with a filter that is not exact. */
static int set_rx_mode(const struct virtio_net *net, uint8_t command)
{
	uint8_t on;

	if (!(net->features & NET_F_CTRL_RX) ||
	    (command != NET_CTRL_RX_PROMISC && command != NET_CTRL_RX_ALLMULTI))
		return -EOPNOTSUPP;
	return read_data(net, 0, &on, 1) && on <= 1 ? 0 : -EINVAL;
}

/* 5.1.6.5.2: two tables, of addresses of stations and of groups. Its last bytes are there. */
static int set_mac_table(const struct virtio_net *net)
{
	uint64_t offset = 0;

	if (!(net->features & NET_F_CTRL_RX))
		return -EOPNOTSUPP;
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t count[NET_CTRL_MAC_TABLE_COUNT];

		if (!read_data(net, offset, count, sizeof(count)))
			return -EINVAL;
		offset += sizeof(count) + (uint64_t)le_get32(count, 0) * NET_MAC_SIZE;
		if (offset > net->chain->out_bytes - NET_CTRL_HEADER_SIZE)
			return -EINVAL;
	}
	return 0;
}

static int set_mac_address(struct virtio_net *net)
{
	uint8_t mac[NET_MAC_SIZE];

	if (!(net->features & NET_F_CTRL_MAC_ADDR))
		return -EOPNOTSUPP;
	if (!read_data(net, 0, mac, sizeof(mac)))
		return -EINVAL;
	net_set_mac(net, mac);
	return 0;
}

static int acknowledge_announcement(struct virtio_net *net)
{
	if (!(net->features & NET_F_GUEST_ANNOUNCE))
		return -EOPNOTSUPP;
	atomic_fetch_and(&net->status, ~NET_S_ANNOUNCE);
	return 0;
}

static int set_pairs(struct virtio_net *net)
{
	uint8_t pairs[2];
	struct error err = ERROR_INIT;

	if (!(net->features & NET_F_MQ))
		return -EOPNOTSUPP;
	if (!read_data(net, 0, pairs, sizeof(pairs)) || le_get16(pairs, 0) < 1 ||
	    le_get16(pairs, 0) > net->config.queues)
		return -EINVAL;
	return net_use_pairs(net, le_get16(pairs, 0), &err);
}

/* 5.1.6.5.6: of those that were negotiated. */
static int set_offloads(struct virtio_net *net)
{
	struct error err = ERROR_INIT;
	uint8_t bits[8];

	if (!(net->features & NET_F_CTRL_GUEST_OFFLOADS))
		return -EOPNOTSUPP;
	if (!read_data(net, 0, bits, sizeof(bits)) ||
	    (le_get64(bits, 0) & ~(net->features & NET_GUEST_OFFLOADS)))
		return -EINVAL;
	return net_apply_offloads(net, le_get64(bits, 0), &err);
}

static int command(struct virtio_net *net)
{
	uint8_t header[NET_CTRL_HEADER_SIZE];

	if (virtqueue_chain_read(net->chain, 0, header, sizeof(header)) < sizeof(header))
		return -EINVAL;
	if (header[0] == NET_CTRL_RX)
		return set_rx_mode(net, header[1]);
	if (header[0] == NET_CTRL_MAC && header[1] == NET_CTRL_MAC_TABLE_SET)
		return set_mac_table(net);
	if (header[0] == NET_CTRL_MAC && header[1] == NET_CTRL_MAC_ADDR_SET)
		return set_mac_address(net);
	if (header[0] == NET_CTRL_ANNOUNCE && header[1] == NET_CTRL_ANNOUNCE_ACK)
		return acknowledge_announcement(net);
	if (header[0] == NET_CTRL_MQ && header[1] == NET_CTRL_MQ_PAIRS_SET)
		return set_pairs(net);
	if (header[0] == NET_CTRL_GUEST_OFFLOADS && header[1] == NET_CTRL_OFFLOADS_SET)
		return set_offloads(net);
	return -EOPNOTSUPP;
}

static int obey_one(struct virtio_net *net, struct virtqueue *vq, struct error *err)
{
	int r = virtqueue_pop(vq, net->chain, err);
	uint8_t ack;

	if (r <= 0)
		return r;
	if (net->chain->in_bytes == 0) {
		virtqueue_unpop(vq, net->chain);
		return error_set(err, -EPROTO, "a command without room for its answer");
	}
	ack = command(net) == 0 ? NET_CTRL_OK : NET_CTRL_ERR;
	virtqueue_chain_write(net->chain, 0, &ack, 1);
	virtqueue_push(vq, net->chain, 1);
	return 1;
}

void net_obey(struct virtio_net *net, unsigned int queue)
{
	struct virtqueue *vq = virtio_queue(net->v, queue);
	struct error err = ERROR_INIT;
	unsigned int taken = 0;
	int r = 0;

	do {
		virtqueue_disable_doorbell(vq);
		while (taken < COMMANDS_MAX && (r = obey_one(net, vq, &err)) > 0)
			taken++;
	} while (r == 0 && virtqueue_enable_doorbell(vq));
	virtio_notify_queue(net->v, queue);
	if (r < 0)
		virtio_needs_reset(net->v, &err);
	else if (r > 0)
		virtio_queue_again(net->v, queue);
}
