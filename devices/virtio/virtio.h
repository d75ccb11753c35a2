/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device behind the PCI transport (virtio 1.2, 4.1, modern only). The transport owns
 * status, feature negotiation, queues' configuration, doorbells, MSI-X and ISR; the device owns its
 * configuration space and what the queues mean.
 *
 * Threads: all callbacks run on the device's loop, one at a time, except those marked "vCPU": these
 * run on vCPU threads, also while another callback runs, must return at once, and share
 * nothing with the rest but what virtio_config_begin() guards. So a device has no locks of its own.
 *
 *   new -> [config_read | config_write | check_features]* -> activate -> queue_start(q)...
 *       -> queue_ready(q)* [drain -> [save] -> thaw]* -> reset(-1) -> ... -> free
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_VIRTIO_H
#define HOLDFAST_DEVICES_VIRTIO_VIRTIO_H

#include "base/loop.h"
#include "devices/pci/pci.h"
#include "devices/virtio/virtqueue.h"

#define VIRTIO_QUEUES_MAX 64

/* Reserved feature bits (virtio 1.2, chapter 6). */
#define VIRTIO_FEATURE_INDIRECT_DESC (1ULL << 28)
#define VIRTIO_FEATURE_EVENT_IDX     (1ULL << 29)
#define VIRTIO_FEATURE_VERSION_1     (1ULL << 32)
#define VIRTIO_FEATURE_RING_PACKED   (1ULL << 34)
#define VIRTIO_FEATURE_RING_RESET    (1ULL << 40)
/* What the transport can do for a device. One whose rings are walked by the kernel (vhost) leaves
 * out what vhost lacks. VERSION_1 is always offered and always required. */
#define VIRTIO_TRANSPORT_FEATURES                                                             \
	(VIRTIO_FEATURE_INDIRECT_DESC | VIRTIO_FEATURE_EVENT_IDX | VIRTIO_FEATURE_VERSION_1 | \
	 VIRTIO_FEATURE_RING_PACKED | VIRTIO_FEATURE_RING_RESET)

struct virtio_pci; /* the transport, one per device */

struct virtio_device_ops {
	const char *name;    /* "virtio-blk": object name in state and messages */
	uint16_t device_id;  /* virtio 1.2 chapter 5 */
	uint32_t class_code; /* PCI class, 24 bits */
	uint32_t state_version, state_min_version;

	/* ---- What it is: any thread; constant after new(), config space excepted. ---- */

	/* Told once, before anything else: the transport, for the functions below. */
	void (*attached)(void *dev, struct virtio_pci *v);
	/* Device features offered, and of VIRTIO_TRANSPORT_FEATURES those that it can do. */
	uint64_t (*features)(void *dev);
	/* vCPU. Refuses a combination by the device's rules, before FEATURES_OK is set: 0 or
	 * -EINVAL. Offered and VERSION_1 are checked already. May be NULL. */
	int (*check_features)(void *dev, uint64_t driver_features, struct error *err);
	unsigned int (*queue_count)(void *dev);
	uint16_t (*queue_size_max)(void *dev, unsigned int queue);
	size_t (*config_size)(void *dev); /* 0: no device configuration; at most 256 */
	/* vCPU, under virtio_config_begin()'s lock. Little-endian bytes; offset + size lies inside
	 * config_size(). write may be NULL: read-only. */
	void (*config_read)(void *dev, size_t offset, void *data, size_t size);
	void (*config_write)(void *dev, size_t offset, const void *data, size_t size);

	/* ---- Its life, on the loop. ---- */

	/* The driver is ready (DRIVER_OK). Failing sets DEVICE_NEEDS_RESET. */
	int (*activate)(void *dev, uint64_t driver_features, struct error *err);
	/* A queue that the driver enabled goes live: after activate(), and again after its reset
	 * (RING_RESET). Failing sets DEVICE_NEEDS_RESET. May be NULL. */
	int (*queue_start)(void *dev, unsigned int queue, struct error *err);
	/* The driver rang; also called once after queue_start(), after thaw() and resumed(). Only
	 * for live queues. */
	void (*queue_ready)(void *dev, unsigned int queue);
	/* virtio_queue_interrupt_fd() of a live queue is another now: the driver gave the queue
	 * another vector, or switched MSI-X on or off. What was signalled meanwhile is not lost: an
	 * interrupt follows. May be NULL. */
	void (*interrupt_changed)(void *dev, unsigned int queue);
	/* Reset of one live queue (RING_RESET) or, with queue < 0, of the whole device: no buffer
	 * is touched and none pushed after this returns. */
	void (*reset)(void *dev, int queue);
	/* virtio_dma_allowed() has changed while the device is active: bus mastering was switched
	 * off or on, or the device asks for a reset. Pop and publish obey by themselves; for
	 * devices whose rings the kernel walks. May be NULL. */
	void (*dma_changed)(void *dev, bool on);

	/* ---- Update, on the loop. Called only while active, save and load excepted. ---- */

	/*
	 * Freeze: stop taking buffers and finish what was taken, until deadline_ns
	 * (CLOCK_MONOTONIC). Returns with nothing touching guest memory or rings, whatever it
	 * returns. What could not be finished is remembered by the device for save(): 0.
	 * Negative: give this freeze up (the transport calls thaw()).
	 */
	int (*drain)(void *dev, uint64_t deadline_ns, struct error *err);
	/* The freeze was undone: go on. queue_ready() follows for each live queue. */
	void (*thaw)(void *dev);
	/* Instead of activate() and queue_start(), in a process that loaded this state: the rings
	 * are where they were; submit again what was in flight, announce the link, reset the vsock
	 * transport, ... Failing sets DEVICE_NEEDS_RESET. */
	int (*resumed)(void *dev, uint64_t driver_features, struct error *err);
	/* Device's own state, in a node of its own ("device"). load: parse and check everything,
	 * state_reader_done(), then apply; see base/state.h. Queues are loaded before it
	 * (virtqueue_loaded_in_flight()). Both may be NULL: the node is empty then. */
	int (*save)(const void *dev, struct state_writer *w, struct error *err);
	int (*load)(void *dev, uint32_t version, struct state_reader *r, enum state_mode mode,
		    struct error *err);
	size_t (*state_size_max)(const void *dev); /* bytes of a blob; NULL: 512 */

	void (*free)(void *dev); /* on the loop; reset before if it was active */
};

/*
 * loop: where the device lives: the main loop, or that of a thread of its own (base/loop_thread.h),
 * which must be there until virtio_pci_free(). ops is borrowed; dev is owned by the transport from
 * here on, even on failure.
 */
int virtio_pci_new(const struct virtio_device_ops *ops, void *dev, struct loop *loop,
		   const struct pci_attach *attach, struct virtio_pci **ret, struct error *err);
/* Off the bus already. Waits for the device's loop. Frees the device too. NULL is fine. */
void virtio_pci_free(struct virtio_pci *v);
struct pci_device *virtio_pci_function(struct virtio_pci *v);

/* ---- For devices, on their loop. ---- */

struct loop *virtio_loop(struct virtio_pci *v);
/* Queue is live: enabled by the driver, device active, not drained. */
bool virtio_queue_live(struct virtio_pci *v, unsigned int queue);
struct virtqueue *virtio_queue(struct virtio_pci *v, unsigned int queue);
/* Publishes what was pushed and interrupts the driver if it wants to know. */
void virtio_notify_queue(struct virtio_pci *v, unsigned int queue);
/* queue_ready() in a turn of the loop to come: for a device that has had its share of this one. */
void virtio_queue_again(struct virtio_pci *v, unsigned int queue);
/* DEVICE_NEEDS_RESET and a configuration interrupt, one rate-limited line. Nothing is popped any
 * more. */
void virtio_needs_reset(struct virtio_pci *v, const struct error *why);
/* Any thread. Guest memory may be touched: bus mastering is on, and no reset is asked for. */
bool virtio_dma_allowed(struct virtio_pci *v);
/* For vhost: the eventfd that the queue's doorbell signals; borrowed. watched false: the loop
 * leaves it alone and queue_ready() is not called, until it is asked with true. */
int virtio_queue_doorbell_fd(struct virtio_pci *v, unsigned int queue, bool watched);
/* For vhost: an eventfd that interrupts the driver for the queue when written; borrowed, the same
 * until interrupt_changed() or reset(). Signals go straight to the guest (irqfd) where the driver
 * uses MSI-X, else through the device's loop. */
int virtio_queue_interrupt_fd(struct virtio_pci *v, unsigned int queue, struct error *err);

/*
 * Any thread. Around a change of what config_read() shows: end() makes the generation go up, so
 * that a driver which reads a wide field in pieces notices, and interrupts it if it is ready.
 */
void virtio_config_begin(struct virtio_pci *v);
void virtio_config_end(struct virtio_pci *v);

/* ---- For the machine, on the main thread; they run on the device's loop and wait for it. ---- */

int virtio_pci_drain(struct virtio_pci *v, uint64_t deadline_ns, struct error *err);
void virtio_pci_thaw(struct virtio_pci *v);
/* After a load, before the vCPUs run. */
void virtio_pci_resumed(struct virtio_pci *v);
/* For the machine's list, with v as the object: PCI function, transport, queues and device in one
 * node "virtio-blk@<instance>". */
const struct state_ops *virtio_pci_state_ops(struct virtio_pci *v);
size_t virtio_pci_state_size_max(struct virtio_pci *v);

#endif
