/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the socket device share: the device in a fake machine on a kernel that is
 * played (vhost_fake.h), and its driver (virtio 1.2, 5.10, restated here). */
#ifndef HOLDFAST_TESTS_UNIT_VSOCK_TEST_H
#define HOLDFAST_TESTS_UNIT_VSOCK_TEST_H

#include "devices/virtio/vsock/vsock.h"
#include "tests/unit/vhost_fake.h"
#include "tests/unit/virtio_driver.h"

#define SPEC_VSOCK_ID	 19
#define SPEC_F_SEQPACKET (1ULL << 1)
#define SPEC_Q_RX	 0
#define SPEC_Q_TX	 1
#define SPEC_Q_EVENT	 2
#define SPEC_EVENT_SIZE	 4
#define SPEC_EVENT_RESET 0

#define VSOCK_TEST_BASE	  0xc0000000ULL
#define VSOCK_TEST_QUEUES 3
#define VSOCK_TEST_RING	  16
#define VSOCK_TEST_CID	  52
#define VSOCK_TEST_BUFFER 64

struct vsock_test {
	struct fake_machine machine;
	struct loop *loop;
	struct virtio_pci *v;
	struct virtio_driver d;
	uint64_t data; /* guest address of buffers, one of each queue's after the other */
};

static inline void vsock_test_device(struct vsock_test *t)
{
	const struct virtio_vsock_config config = {.on = true, .cid = VSOCK_TEST_CID};
	const struct vhost_ram ram = {.count = 1,
				      .regions = {{FAKE_RAM_BASE, FAKE_RAM_SIZE, t->machine.ram}}};
	struct virtio_vsock *vsock;

	must(virtio_vsock_new(&config, "/dev/null", &ram, &vsock, NULL) == 0);
	must(virtio_pci_new(&virtio_vsock_ops, vsock, t->loop, &t->machine.attach, &t->v, NULL) ==
	     0);
}

/* A machine with the device, which no driver has found yet. */
static inline void vsock_test_make(struct vsock_test *t)
{
	vhost_fake_init();
	memset(t, 0, sizeof(*t));
	fake_machine_init(&t->machine);
	must(loop_new(&t->loop, NULL) == 0);
	vsock_test_device(t);
	t->data = driver_alloc(&t->machine, 4096);
	driver_open(&t->d, &t->machine, virtio_pci_function(t->v), VSOCK_TEST_BASE);
}

static inline void vsock_test_start(struct vsock_test *t, uint64_t features)
{
	vsock_test_make(t);
	driver_start(&t->d, features, VSOCK_TEST_QUEUES, VSOCK_TEST_RING);
	loop_settle(t->loop);
}

static inline void vsock_test_end(struct vsock_test *t)
{
	virtio_pci_free(t->v);
	fake_machine_check_empty(&t->machine);
	loop_free(t->loop);
}

/* The first process is gone, a second one has the state. */
static inline void vsock_test_move(struct vsock_test *t, const struct saved *s)
{
	virtio_pci_free(t->v);
	vsock_test_device(t);
	must(device_load(virtio_pci_state_ops(t->v), t->v, s, STATE_APPLY, NULL) == 0);
	t->d.pci = virtio_pci_function(t->v);
}

/* Makes a buffer available: one to fill, or (transmit) one that begins with this byte. */
static inline void vsock_test_add(struct vsock_test *t, unsigned int queue, uint8_t byte)
{
	struct driver_seg seg = {t->data + queue * 1024ULL, VSOCK_TEST_BUFFER, queue != SPEC_Q_TX};

	if (queue == SPEC_Q_EVENT)
		seg.len = SPEC_EVENT_SIZE;
	memset(fake_ram(&t->machine, seg.gpa), byte, seg.len);
	driver_add(&t->d.queues[queue], &seg, 1, false);
}

static inline bool vsock_test_used(struct vsock_test *t, unsigned int queue, uint32_t *ret_len)
{
	uint16_t id;

	loop_settle(t->loop);
	return driver_get_used(&t->d.queues[queue], &id, ret_len);
}

#endif
