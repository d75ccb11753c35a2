/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user says about a network card. As one option,
 *
 *	--net tap=tap0,mac=02:00:00:00:00:01,bridge=br0,queues=2
 *
 * or as a JSON object with the same keys; docs/devices.md lists them. What is only known on the
 * host (is the tap there, who else has it) is told by virtio_net_new().
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_NET_CONFIG_H
#define HOLDFAST_DEVICES_VIRTIO_NET_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "devices/rate_limiter.h"
#include "devices/virtio/slots.h"

#define NET_PAIRS_MAX		 8 /* a receive and a transmit queue each */
#define NET_QUEUE_SIZE_MIN	 16
#define NET_QUEUE_SIZE_MAX	 1024
#define NET_QUEUE_SIZE_DEFAULT	 256
#define NET_MTU_MIN		 68    /* virtio 1.2, 5.1.4.1 */
#define NET_MTU_MAX		 65521 /* a tap's: 65535 less an Ethernet header */
#define NET_MAC_SIZE		 6
#define NET_NAME_MAX		 15 /* bytes of a network interface's name: IFNAMSIZ less one */
#define VIRTIO_NET_CONFIG_ID_MAX 63

/* Who moves the frames. AUTO is a question that virtio_net_decide_vhost() answers; a card that was
 * made with it is one without. */
enum net_vhost { NET_VHOST_AUTO, NET_VHOST_OFF, NET_VHOST_ON };

struct virtio_net_config {
	char id[VIRTIO_NET_CONFIG_ID_MAX + 1]; /* "" for none */
	/* The tap's name; "" if its descriptor was passed and its name is not known yet. */
	char tap[NET_NAME_MAX + 1];
	char bridge[NET_NAME_MAX + 1]; /* that the tap joins; "" for none */
	/* The tap, open already, for each pair of queues, in the process that was started with
	 * them. Never in JSON. fd_count 0: it is opened by its name. Borrowed. */
	int fds[NET_PAIRS_MAX];
	uint8_t fd_count;
	bool has_mac;
	uint8_t mac[NET_MAC_SIZE];
	uint16_t mtu;	     /* bytes; 0: the tap's, and the guest is told none */
	uint16_t queues;     /* pairs */
	uint16_t queue_size; /* entries of each, a power of two */
	bool offload;	     /* checksums and segmentation are left to whom it costs least */
	enum net_vhost vhost;
	uint8_t slot; /* PCI slot, 1 to VIRTIO_SLOT_MAX; 0: the VMM chooses */
	struct rate_limiter_config rx_limits, tx_limits; /* to the guest, from the guest */
};

/* No tap; one pair of queues of 256, offloads, no limits. */
void virtio_net_config_init(struct virtio_net_config *config);

/*
 * json: an object, or a string as after --net. Everything that is wrong becomes a problem that
 * begins with path ("net[0]"); *ret is then of no use.
 */
void virtio_net_config_read(json_t *json, const char *path, struct virtio_net_config *ret,
			    struct problems *problems);
/* Whether there is a rate limit, in any direction. */
bool virtio_net_config_has_limits(const struct virtio_net_config *config);
/* virtio_net_config_read() of it gives an equal one, passed descriptors excepted: the tap's name is
 * in their place. New reference; NULL: out of memory. */
json_t *virtio_net_config_to_json(const struct virtio_net_config *config);

/* "02:00:00:00:00:01". -EINVAL: anything else, or no address of one station. */
int net_mac_parse(const char *text, uint8_t mac[NET_MAC_SIZE]);
#define NET_MAC_TEXT_SIZE 18
void net_mac_format(const uint8_t mac[NET_MAC_SIZE], char text[NET_MAC_TEXT_SIZE]);

/*
 * The address of a card that was given none: the same for the same VM and card, on every host and
 * after every update; locally administered (IEEE 802, 8.4).
 */
void net_mac_choose(const char *vm, const char *net, uint8_t mac[NET_MAC_SIZE]);

#endif
