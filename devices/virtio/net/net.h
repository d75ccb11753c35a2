/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network device (virtio 1.2, 5.1) over a tap of the host. docs/devices.md tells its options,
 * guarantees and limits.
 *
 * A network loses frames now and then, and so does this one: those that the tap has when it is
 * closed. Nothing is sent or received twice, and what the guest has put into a transmit queue is
 * sent by whoever has the queue next. After an update the card announces itself: the guest is asked
 * to (GUEST_ANNOUNCE), and a RARP request goes out in its name, so that bridges and switches learn
 * where it is without waiting for it.
 *
 * All queues of a card are served by one thread: give each card a loop of its own
 * (base/loop_thread.h).
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_NET_NET_H
#define HOLDFAST_DEVICES_VIRTIO_NET_NET_H

#include "devices/vhost/vhost.h"
#include "devices/virtio/net/config.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_NET_HOST_DEVICE "/dev/vhost-net"

struct virtio_net;

/*
 * Opens the tap (devices/virtio/net/tap.h: errors name it, the reason and the way out, and trying
 * again later is fine). config is copied; without a MAC address in it the card has the one of
 * net_mac_choose() for vm.
 */
int virtio_net_new(const struct virtio_net_config *config, const char *vm, struct virtio_net **ret,
		   struct error *err);

/* 0, or why the host's kernel cannot serve a card by host_device, with the way out. */
int virtio_net_check_vhost(const char *host_device, struct error *err);
/*
 * For a card that is asked for, not for one that comes out of a state: what config leaves open is
 * decided by the host and stays so for the card's life, updates included, as the guest sees other
 * features with vhost. A card without is told of, with the reason.
 */
void virtio_net_decide_vhost(struct virtio_net_config *config, const char *host_device);
/*
 * For a card whose config says NET_VHOST_ON, before it is given to a transport: the host's kernel
 * serves its pairs from now on. If it cannot, the card works without and the guest sees no
 * difference, which is told. ram is not used after the call.
 */
void virtio_net_use_vhost(struct virtio_net *net, const char *host_device,
			  const struct vhost_ram *ram);

/* The object is a struct virtio_net; owned by the transport once it is given to virtio_pci_new().
 * Until virtio_pci_free() the pointer may be used for the functions below. */
extern const struct virtio_device_ops virtio_net_ops;

/* One that was never given to a transport. */
void virtio_net_free(struct virtio_net *net);

/* Before an update, from any thread, without touching the tap: every reason why the next process
 * would not find this one. Errors name the tap, the reason and the way out. */
int virtio_net_check_update(const struct virtio_net *net, struct error *err);

/* Any thread. The tap's name. */
const char *virtio_net_tap_name(const struct virtio_net *net);

/* Since the process began. "rx" is to the guest, "tx" from it. Frames that the host's kernel moves
 * are not counted here, but in the statistics of the tap. */
struct virtio_net_counters {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t rx_dropped; /* larger than the guest's buffers, or of a kind that it does not take
			      */
	uint64_t tx_dropped; /* that the host did not take, or with a header that cannot be */
	uint64_t rx_throttled, tx_throttled; /* times that a rate limit held frames back */
	uint64_t announced;		     /* RARP requests sent */
	bool vhost;			     /* the host's kernel moves the frames */
};

/* Any thread. */
void virtio_net_get_counters(const struct virtio_net *net, struct virtio_net_counters *ret);

/* Any thread. The guest's address as it is now; the guest may have changed it. */
void virtio_net_mac(const struct virtio_net *net, uint8_t mac[NET_MAC_SIZE]);

#endif
