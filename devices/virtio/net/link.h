/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network interfaces of the host, of the network namespace that the VMM is in: what the kernel says
 * of one (rtnetlink(7)), and the few things that are changed on a tap. Any thread.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_NET_LINK_H
#define HOLDFAST_DEVICES_VIRTIO_NET_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define NET_LINK_NAME 16 /* bytes of a name with its terminator: IFNAMSIZ */

struct net_link {
	unsigned int index; /* of this kernel's life only */
	bool up;
	uint32_t mtu;
	char kind[16];		    /* "tun" (for taps, too), "bridge", ...; "" for hardware */
	char master[NET_LINK_NAME]; /* the bridge or the like that it is in; "" for none */
	/* Of kind "tun". */
	bool tap;	  /* Ethernet frames, not IP packets */
	bool persistent;  /* is there without a process that has it open, too */
	bool multi_queue; /* made for several queues */
};

/* -ENODEV: there is none of that name. */
int net_link_query(const char *name, struct net_link *ret, struct error *err);
/* Puts it into a bridge; 0 as well if it is there already. -EBUSY: it is in another. */
int net_link_join(const char *name, const char *bridge, struct error *err);
int net_link_set_mtu(const char *name, uint32_t mtu, struct error *err);
/* A socket, the caller's, that can be read when interfaces have come, gone or changed. */
int net_link_listen(struct error *err);
int net_link_set_up(const char *name, struct error *err);

#endif
