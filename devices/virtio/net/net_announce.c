/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After an update the tap is another one, and bridges and switches have forgotten the guest or know
 * it at another port. They learn from any frame that has the guest's address as its source.
 */
#include <string.h>

#include "devices/virtio/net/net_impl.h"

/* A bridge's port that was made just now may not forward yet. */
static const uint64_t delays_ms[] = {0, 50, 150, 400, 1000, 2000};

/* RARP (RFC 903): a request for the protocol address of a station, by that station. It asks nobody
 * for anything that changes what they know. */
#define FRAME_SIZE	   60 /* IEEE 802.3: the least, without the check sequence */
#define ETHERTYPE	   12
#define ETHERTYPE_RARP	   0x8035
#define RARP_HARDWARE	   14
#define RARP_PROTOCOL	   16
#define RARP_HARDWARE_SIZE 18
#define RARP_PROTOCOL_SIZE 19
#define RARP_OPERATION	   20
#define RARP_SENDER	   22
#define RARP_TARGET	   32
#define HARDWARE_ETHERNET  1
#define PROTOCOL_IPV4	   0x0800
#define OPERATION_REQUEST  3

static void put_be16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void build(const uint8_t mac[NET_MAC_SIZE], uint8_t frame[FRAME_SIZE])
{
	memset(frame, 0, FRAME_SIZE);
	memset(frame, 0xff, NET_MAC_SIZE);
	memcpy(frame + NET_MAC_SIZE, mac, NET_MAC_SIZE);
	put_be16(frame + ETHERTYPE, ETHERTYPE_RARP);
	put_be16(frame + RARP_HARDWARE, HARDWARE_ETHERNET);
	put_be16(frame + RARP_PROTOCOL, PROTOCOL_IPV4);
	frame[RARP_HARDWARE_SIZE] = NET_MAC_SIZE;
	frame[RARP_PROTOCOL_SIZE] = 4;
	put_be16(frame + RARP_OPERATION, OPERATION_REQUEST);
	memcpy(frame + RARP_SENDER, mac, NET_MAC_SIZE);
	memcpy(frame + RARP_TARGET, mac, NET_MAC_SIZE);
}

/* 5.1.6.5.4: until the driver acknowledges, which clears it. */
static void ask_guest(struct virtio_net *net)
{
	if (!(net->features & NET_F_GUEST_ANNOUNCE))
		return;
	virtio_config_begin(net->v);
	atomic_fetch_or(&net->status, NET_S_ANNOUNCE);
	virtio_config_end(net->v);
}

void net_announce_again(void *opaque)
{
	struct virtio_net *net = opaque;
	uint8_t mac[NET_MAC_SIZE], header[NET_H_SIZE] = {0}, frame[FRAME_SIZE];
	struct iovec iov[] = {{header, sizeof(header)}, {frame, sizeof(frame)}};

	virtio_net_mac(net, mac);
	build(mac, frame);
	/* One that the tap does not take is as good as one that the network loses. */
	if (writev(net->tap.fds[0], iov, ARRAY_SIZE(iov)) >= 0)
		net_count(net, announced, 1);
	/* What the guest sends for an answer meets the same ports. */
	ask_guest(net);
	if (++net->announce_round < ARRAY_SIZE(delays_ms))
		loop_timer_arm(net->announce_timer, delays_ms[net->announce_round] * NSEC_PER_MSEC,
			       0);
}

void net_announce(struct virtio_net *net)
{
	net->announce_round = 0;
	net_announce_again(net);
	/* For the link: it is up, which a driver may have seen otherwise before. */
	virtio_config_begin(net->v);
	virtio_config_end(net->v);
}
