/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of a network card: a tap, which the kernel makes of /dev/net/tun
 * (Documentation/networking/tuntap.rst). A frame that is read from it is for the guest; one that is
 * written comes from the guest. In front of each is the header of virtio 1.2, 5.1.6.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_NET_TAP_H
#define HOLDFAST_DEVICES_VIRTIO_NET_TAP_H

#include "devices/virtio/net/config.h"

#define NET_TAP_DEVICE	    "/dev/net/tun"
#define NET_TAP_HEADER_SIZE 12

struct net_tap {
	char name[NET_NAME_MAX + 1];
	int fds[NET_PAIRS_MAX]; /* owned, non-blocking; one for each pair of queues */
	unsigned int count;
	uint32_t mtu; /* as it was when the tap was opened; larger frames may come */
	bool multi_queue;
	bool plain; /* no tap but sockets of datagrams, which know no offloads: in tests */
};

/* Has nothing open. */
void net_tap_init(struct net_tap *tap);

/*
 * Opens the tap of config. Passed descriptors are duplicated. One that is not there is made if
 * config names a bridge, and is gone with its last descriptor then; a bridge is joined, an MTU set,
 * and the interface switched on, as far as that is not so already. Errors name the tap, the reason
 * and the way out, and trying again later is fine: -ENODEV (no tap, or no bridge), -EBUSY (somebody
 * else has it), -EPERM, -EINVAL (another kind of interface). No offloads.
 */
int net_tap_open(const struct virtio_net_config *config, struct net_tap *ret, struct error *err);
void net_tap_close(struct net_tap *tap);

/* The name of the tap that is behind a descriptor: -EINVAL: it is none. */
int net_tap_name(int fd, char name[NET_NAME_MAX + 1], struct error *err);

/* What the guest can be given: TUN_F_... of linux/if_tun.h. */
int net_tap_set_offload(const struct net_tap *tap, unsigned int flags, struct error *err);
/* Of several queues: whether the kernel gives frames to this one. */
int net_tap_use_queue(const struct net_tap *tap, unsigned int queue, bool use, struct error *err);

/* The bridge (or any other master) that it is in now; "" for none. */
int net_tap_bridge(const struct net_tap *tap, char bridge[NET_NAME_MAX + 1], struct error *err);

/*
 * Before an update: why the next process would not find this tap. Errors name the tap, the reason
 * and the way out. Any thread.
 */
int net_tap_check_reopen(const struct net_tap *tap, const struct virtio_net_config *config,
			 struct error *err);

#endif
