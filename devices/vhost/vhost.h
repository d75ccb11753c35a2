/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices whose rings the host's kernel walks (linux/vhost.h): what all kinds of them have in
 * common. The transport (devices/virtio/virtio.h) keeps registers, features and interrupts; the
 * kernel reads doorbells and writes interrupts by eventfds. Split rings only: vhost knows no packed
 * ones. All functions belong to the loop of the device, one object is for one device.
 *
 * The order, for a kind that is made of it:
 *
 *	vhost_open(), vhost_set_ram()           when the device is made
 *	vhost_set_features()                    each time that a driver activates it
 *	vhost_ring_start() of each ring, then the kind's own request to run
 *	the kind's own request to stop, then vhost_ring_stop() of each ring
 */
#ifndef HOLDFAST_DEVICES_VHOST_VHOST_H
#define HOLDFAST_DEVICES_VHOST_VHOST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "devices/virtio/virtio.h"

#define VHOST_REGIONS_MAX 64 /* what the kernel takes unless it is told otherwise */
#define VHOST_RINGS_MAX	  2  /* of one descriptor: vsock and a pair of queues of a net device */

/* Of VIRTIO_TRANSPORT_FEATURES those that a device on vhost can offer, if the kernel does. */
#define VHOST_TRANSPORT_FEATURES \
	(VIRTIO_TRANSPORT_FEATURES & ~(VIRTIO_FEATURE_RING_PACKED | VIRTIO_FEATURE_RING_RESET))

/* Guest RAM as it is mapped in this process. Whole pages; a buffer across two regions that touch is
 * fine. */
struct vhost_ram {
	unsigned int count;
	struct {
		uint64_t gpa, size; /* bytes */
		void *hva;
	} regions[VHOST_REGIONS_MAX];
};

struct vhost_params {
	const char *name;    /* "vsock": begins messages */
	const char *path;    /* "/dev/vhost-vsock" */
	const char *module;  /* "vhost_vsock": the way out where there is no such file */
	const char *instead; /* the other one: "start the VM without --vsock" */
	/* The kernel cannot go on with a ring: the driver broke the rules, or memory is out. On the
	 * loop; the device may stop there and then. */
	void (*on_error)(void *opaque, unsigned int ring);
	void *opaque;
};

struct vhost;

/* Strings are borrowed for the life of the object. Opens path and becomes its owner. -ENOENT,
 * -EACCES, ...: said with the way out. */
int vhost_open(const struct vhost_params *params, struct vhost **ret, struct error *err);
/* The kernel lets go of guest memory, too, whatever runs. NULL is fine. */
void vhost_free(struct vhost *vhost);
/* 0, or why vhost_open() would fail; opens nothing. */
int vhost_check(const struct vhost_params *params, struct error *err);

/* What the kernel offers: virtio's bits and vhost's own (VHOST_F_*, VHOST_NET_F_*). */
uint64_t vhost_features(const struct vhost *vhost);
/* What the driver has accepted, of which the kernel is told what is its business; no ring runs. */
int vhost_set_features(struct vhost *vhost, uint64_t features, struct error *err);
/* Bits of VHOST_BACKEND_F_*; 0 where the kernel knows no such thing. */
uint64_t vhost_backend_features(const struct vhost *vhost);
/* -EOPNOTSUPP: not all of them are offered. */
int vhost_set_backend_features(struct vhost *vhost, uint64_t features, struct error *err);
int vhost_set_ram(struct vhost *vhost, const struct vhost_ram *ram, struct error *err);

/* A request of the kind's own; what: its name in messages, "VHOST_VSOCK_SET_RUNNING". */
int vhost_ioctl(struct vhost *vhost, unsigned long request, const void *arg, const char *what,
		struct error *err);

/*
 * Gives the kernel a queue that is live: size, areas, position, doorbell, interrupt. ring: the
 * kernel's number of it. It begins when the kind says so; vhost_ring_kick() has to follow then, as
 * the kernel takes no notice of a ring of the doorbell that came before. On failure the doorbell is
 * the loop's again.
 */
int vhost_ring_start(struct vhost *vhost, unsigned int ring, struct virtio_pci *transport,
		     unsigned int queue, struct error *err);
/* Makes the kernel look into the ring. */
void vhost_ring_kick(struct vhost *vhost, unsigned int ring);
/* The queue's interrupt_changed(). */
int vhost_ring_move_interrupt(struct vhost *vhost, unsigned int ring, struct error *err);
/*
 * After the kind's request to stop: the queue's position is what the kernel leaves it at, and the
 * kernel has neither doorbell nor interrupt any more. Nothing for a ring that was not started. What
 * the driver rings meanwhile stays in the doorbell.
 */
int vhost_ring_stop(struct vhost *vhost, unsigned int ring, struct error *err);

#endif
