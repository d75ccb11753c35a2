/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device behind the PCI transport (virtio 1.2, 4.1, modern only). The transport owns
 * status, feature negotiation, queues' configuration, MSI-X and ISR; the device owns its
 * configuration space and what the queues mean.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_VIRTIO_H
#define HOLDFAST_DEVICES_VIRTIO_VIRTIO_H

#include "base/loop.h"
#include "devices/pci/pci.h"
#include "devices/virtio/virtqueue.h"

#define VIRTIO_QUEUES_MAX 34

struct virtio_pci; /* the transport, one per device */

struct virtio_device_ops {
	const char *name;    /* "virtio-blk": object name in state and messages */
	uint16_t device_id;  /* virtio 1.2 chapter 5 */
	uint32_t class_code; /* PCI class, 24 bits */
	uint32_t state_version, state_min_version;
	/* Device features offered (the transport adds VERSION_1, EVENT_IDX, INDIRECT_DESC,
	 * RING_PACKED, RING_RESET, IN_ORDER not). */
	uint64_t (*features)(void *dev);
	/* Refuse a combination by the rules; called before FEATURES_OK is set. 0 or -EINVAL. May be
	 * NULL. */
	int (*check_features)(void *dev, uint64_t driver_features);
	/* offset + size lies inside config_size(). Any vCPU thread. */
	size_t (*config_size)(void *dev);
	void (*config_read)(void *dev, size_t offset, void *data, size_t size);
	void (*config_write)(void *dev, size_t offset, const void *data, size_t size);
	unsigned int (*queue_count)(void *dev);
	uint16_t (*queue_size_max)(void *dev, unsigned int queue);
	/* DRIVER_OK: queues that the driver enabled are live. Failing sets DEVICE_NEEDS_RESET. vCPU
	 * thread. */
	int (*activate)(void *dev, uint64_t driver_features, struct error *err);
	/* The driver rang; also called once after activate and after resume for each live queue. On
	 * the device's loop thread. */
	void (*queue_ready)(void *dev, unsigned int queue);
	/* Reset of one queue (VIRTIO_F_RING_RESET) or, with queue < 0, of the device: no buffer is
	 * touched after this returns. */
	void (*reset)(void *dev, int queue);
	/*
	 * Freeze: stop taking buffers and finish what was taken, until deadline_ns
	 * (CLOCK_MONOTONIC). Returns with nothing touching guest memory or rings. What could not be
	 * finished is remembered by the device for save(). thaw() goes on.
	 */
	int (*drain)(void *dev, uint64_t deadline_ns, struct error *err);
	void (*thaw)(void *dev);
	/* Resumed in a new process: submit again what was in flight, announce the link, reset the
	 * vsock transport, ... May be NULL. */
	void (*resumed)(void *dev);
	/* Device's own state, inside the device's node. load: check everything, then apply; see
	 * base/state.h. */
	int (*save)(const void *dev, struct state_writer *w, struct error *err);
	int (*load)(void *dev, uint32_t version, struct state_reader *r, enum state_mode mode,
		    struct error *err);
	/* Backends are opened by new(); this says before the guest runs whether they are the same
	 * objects (device and inode, serial and size). */
	void (*free)(void *dev);
};

/* loop: where queue_ready() runs: the device's own I/O thread or the main loop. ops and dev are
 * owned by the transport from here on. */
int virtio_pci_new(const struct virtio_device_ops *ops, void *dev, struct loop *loop,
		   const struct pci_attach *attach, struct virtio_pci **ret, struct error *err);
void virtio_pci_free(struct virtio_pci *v); /* frees the device too */
struct pci_device *virtio_pci_function(struct virtio_pci *v);

/* For devices. Any thread. */
struct virtqueue *virtio_queue(struct virtio_pci *v, unsigned int queue);
/* Interrupt for a queue if the driver wants one (virtqueue_should_notify). */
void virtio_notify_queue(struct virtio_pci *v, unsigned int queue);
void virtio_notify_config(struct virtio_pci *v); /* configuration changed: generation goes up */
void virtio_needs_reset(struct virtio_pci *v,
			const struct error *why); /* DEVICE_NEEDS_RESET, one rate-limited line */
/* eventfds for vhost: doorbell of a queue, interrupt of a queue (a call eventfd relayed by us if
 * MSI-X is off). */
int virtio_queue_doorbell_fd(struct virtio_pci *v, unsigned int queue);
int virtio_queue_interrupt_fd(struct virtio_pci *v, unsigned int queue);

int virtio_pci_drain(struct virtio_pci *v, uint64_t deadline_ns, struct error *err);
void virtio_pci_thaw(struct virtio_pci *v);
void virtio_pci_resumed(struct virtio_pci *v);
/* Object for the machine's list: transport, PCI function, queues and device in one node
 * "virtio-blk@<instance>". */
const struct state_ops *virtio_pci_state_ops_for(struct virtio_pci *v);

#endif
