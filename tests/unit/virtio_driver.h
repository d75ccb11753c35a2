/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver for the tests of virtio devices: finds the structures, negotiates, and works split and
 * packed rings in a fake guest memory (pci_fake.h). Written from virtio 1.2, not from the code
 * under test.
 */
#ifndef HOLDFAST_TESTS_UNIT_VIRTIO_DRIVER_H
#define HOLDFAST_TESTS_UNIT_VIRTIO_DRIVER_H

#include "tests/unit/pci_fake.h"

#define SPEC_F_INDIRECT	   (1ULL << 28)
#define SPEC_F_EVENT_IDX   (1ULL << 29)
#define SPEC_F_VERSION_1   (1ULL << 32)
#define SPEC_F_RING_PACKED (1ULL << 34)
#define SPEC_F_RING_RESET  (1ULL << 40)

#define SPEC_S_ACKNOWLEDGE 1
#define SPEC_S_DRIVER	   2
#define SPEC_S_DRIVER_OK   4
#define SPEC_S_FEATURES_OK 8
#define SPEC_S_NEEDS_RESET 64

/* struct virtio_pci_common_cfg: 4.1.4.3. */
#define SPEC_C_DEVICE_FEATURE_SELECT 0
#define SPEC_C_DEVICE_FEATURE	     4
#define SPEC_C_DRIVER_FEATURE_SELECT 8
#define SPEC_C_DRIVER_FEATURE	     12
#define SPEC_C_CONFIG_VECTOR	     16
#define SPEC_C_NUM_QUEUES	     18
#define SPEC_C_STATUS		     20
#define SPEC_C_GENERATION	     21
#define SPEC_C_QUEUE_SELECT	     22
#define SPEC_C_QUEUE_SIZE	     24
#define SPEC_C_QUEUE_VECTOR	     26
#define SPEC_C_QUEUE_ENABLE	     28
#define SPEC_C_QUEUE_NOTIFY_OFF	     30
#define SPEC_C_QUEUE_DESC	     32
#define SPEC_C_QUEUE_DRIVER	     40
#define SPEC_C_QUEUE_DEVICE	     48
#define SPEC_C_QUEUE_RESET	     58

#define SPEC_D_NEXT	1
#define SPEC_D_WRITE	2
#define SPEC_D_INDIRECT 4

#define DRIVER_QUEUES 8

/* One ring. Addresses are the guest's. */
struct driver_queue {
	struct fake_machine *m;
	bool packed, event_idx;
	uint16_t size;
	uint64_t desc, driver, device;
	uint64_t notify; /* address of the doorbell */
	/* split */
	uint16_t avail_idx, last_used;
	uint16_t free_head, free_count;
	uint16_t next[1024];
	/* packed */
	uint16_t avail_slot, used_slot;
	bool avail_wrap, used_wrap;
	uint16_t slots[1024]; /* of a buffer, by id */
	bool id_used[1024];
	uint16_t kick_base; /* avail position at the last kick */
};

/* A piece of a buffer. */
struct driver_seg {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

/* Rings at addresses taken from the machine's RAM; zeroed, interrupts wanted. */
void driver_queue_init(struct driver_queue *q, struct fake_machine *m, uint16_t size, bool packed,
		       bool event_idx);
/* Makes a buffer available; returns its id. indirect: through a table. */
uint16_t driver_add(struct driver_queue *q, const struct driver_seg *segs, unsigned int count,
		    bool indirect);
/* The device asked to be told of the buffers added since the last call. */
bool driver_wants_kick(struct driver_queue *q);
/* The next buffer that the device returned. */
bool driver_get_used(struct driver_queue *q, uint16_t *ret_id, uint32_t *ret_len);
/* Interrupts from now on, or not. */
void driver_interrupts(struct driver_queue *q, bool on);
/* EVENT_IDX: only when `more` further buffers have been returned. */
void driver_interrupt_after(struct driver_queue *q, uint16_t more);

/* Guest memory for buffers: whole pages, never freed. */
uint64_t driver_alloc(struct fake_machine *m, uint64_t size);

struct virtio_driver {
	struct fake_machine *m;
	struct pci_device *pci;
	uint64_t common, isr, config, notify; /* addresses */
	uint32_t config_size, notify_multiplier;
	unsigned int msix_cap;
	uint64_t msix_table;
	uint64_t features;
	bool msix;
	struct driver_queue queues[DRIVER_QUEUES];
};

/* Places the BARs from base on, switches decoding and bus mastering on, walks the capabilities. */
void driver_open(struct virtio_driver *d, struct fake_machine *m, struct pci_device *pci,
		 uint64_t base);
uint64_t driver_common(struct virtio_driver *d, unsigned int offset, unsigned int size);
void driver_set_common(struct virtio_driver *d, unsigned int offset, uint64_t value,
		       unsigned int size);
uint64_t driver_offered(struct virtio_driver *d);
/* Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK; false: refused. */
bool driver_negotiate(struct virtio_driver *d, uint64_t features);
/* Vector i + 1 for queue i, 0 for the configuration, with data 0x40 + vector, unmasked. */
void driver_use_msix(struct virtio_driver *d, unsigned int queues);
void driver_enable_queue(struct virtio_driver *d, unsigned int queue, uint16_t size);
void driver_ok(struct virtio_driver *d);
void driver_kick(struct virtio_driver *d, unsigned int queue);
/* Interrupts of a vector since the start (MSI-X). */
unsigned int driver_interrupt_count(struct virtio_driver *d, unsigned int vector);
/* All of it: negotiate, MSI-X, queues 0..queues-1 of `size`, DRIVER_OK. */
void driver_start(struct virtio_driver *d, uint64_t features, unsigned int queues, uint16_t size);

/* ---- State of a device with nodes inside: more than device_test.h does for flat ones. ---- */

/* Every property of every node, left out, too short, too long and with its bits flipped: refused,
 * or accepted and then saved exactly as loaded. Nothing refused changes the object. */
void driver_torture_state(const struct state_ops *ops, void *obj);

#endif
