/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/vsock: what the guest sees, what the kernel is told and when, and an update. */
#include <fcntl.h>
#include <linux/vhost.h>
#include <sys/stat.h>

#include "tests/unit/vsock_test.h"

#define SPEC_CMD_MEMORY 2
#define SPEC_CMD_MASTER 4
#define SPEC_ISR_QUEUE	1
#define RX		(&vhost_fake.rings[SPEC_Q_RX])
#define TX		(&vhost_fake.rings[SPEC_Q_TX])

static struct vsock_test t;

static uint8_t status(void)
{
	loop_settle(t.loop);
	return (uint8_t)driver_common(&t.d, SPEC_C_STATUS, 1);
}

static const struct state_ops *ops(void)
{
	return virtio_pci_state_ops(t.v);
}

static void test_what_the_guest_sees(void **state _unused_)
{
	uint64_t offered;

	vsock_test_make(&t);
	assert_int_equal(pci_config_read(t.d.pci, 2, 2), 0x1040 + SPEC_VSOCK_ID);
	assert_int_equal(vhost_fake.cid, VSOCK_TEST_CID);
	assert_int_equal(t.d.config_size, 8);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config, 4), VSOCK_TEST_CID);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config + 4, 4), 0);
	fake_mmio_write(&t.machine, t.d.config, 99, 4);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config, 4), VSOCK_TEST_CID);
	assert_int_equal(driver_common(&t.d, SPEC_C_NUM_QUEUES, 2), VSOCK_TEST_QUEUES);
	/* What the kernel can and virtio knows; no ring that vhost cannot walk. */
	offered = driver_offered(&t.d);
	assert_true(offered ==
		    (SPEC_F_SEQPACKET | SPEC_F_INDIRECT | SPEC_F_EVENT_IDX | SPEC_F_VERSION_1));
	assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | SPEC_F_RING_PACKED));
	vsock_test_end(&t);
	/* One that can do less. */
	vhost_fake_init();
	vhost_fake.features = SPEC_F_VERSION_1;
	memset(&t, 0, sizeof(t));
	fake_machine_init(&t.machine);
	assert_int_equal(loop_new(&t.loop, NULL), 0);
	vsock_test_device(&t);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), VSOCK_TEST_BASE);
	assert_true(driver_offered(&t.d) == SPEC_F_VERSION_1);
	vsock_test_end(&t);
}

static void test_packets(void **state _unused_)
{
	uint32_t len;

	vsock_test_start(&t, SPEC_F_SEQPACKET | SPEC_F_EVENT_IDX);
	assert_true(vhost_fake.acked == (SPEC_F_VERSION_1 | SPEC_F_SEQPACKET | SPEC_F_EVENT_IDX));
	assert_true(vhost_fake.running);
	vsock_test_add(&t, SPEC_Q_RX, 0);
	vsock_test_add(&t, SPEC_Q_TX, 0x77);
	driver_kick(&t.d, SPEC_Q_TX);
	/* The device leaves both to the kernel. */
	assert_false(vsock_test_used(&t, SPEC_Q_TX, &len));
	assert_true(vhost_fake_kicked(SPEC_Q_TX));
	assert_int_equal(vhost_fake_serve(SPEC_Q_TX, 0), 1);
	assert_int_equal(vhost_fake_sent[0], 0x77);
	assert_true(vsock_test_used(&t, SPEC_Q_TX, &len));
	assert_int_equal(vhost_fake_serve(SPEC_Q_RX, 0x55), 1);
	assert_true(vsock_test_used(&t, SPEC_Q_RX, &len));
	assert_int_equal(len, VSOCK_TEST_BUFFER);
	assert_int_equal(fake_ram(&t.machine, t.data)[0], 0x55);
	/* Events are not the kernel's. */
	vsock_test_add(&t, SPEC_Q_EVENT, 0xff);
	driver_kick(&t.d, SPEC_Q_EVENT);
	assert_false(vsock_test_used(&t, SPEC_Q_EVENT, &len));
	assert_int_equal(status() & SPEC_S_NEEDS_RESET, 0);
	vsock_test_end(&t);
}

/* A driver may make packets available and ring before DRIVER_OK is seen (3.1.1 lets it fill
 * queues): the kernel forgets a doorbell of before, so it is rung again. */
static void test_doorbell_before_the_start(void **state _unused_)
{
	vsock_test_make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_use_msix(&t.d, VSOCK_TEST_QUEUES);
	for (unsigned int i = 0; i < VSOCK_TEST_QUEUES; i++)
		driver_enable_queue(&t.d, i, VSOCK_TEST_RING);
	vsock_test_add(&t, SPEC_Q_TX, 1);
	driver_kick(&t.d, SPEC_Q_TX);
	driver_ok(&t.d);
	assert_false(vhost_fake.running);
	loop_settle(t.loop);
	assert_true(vhost_fake.running);
	assert_true(vhost_fake_kicked(SPEC_Q_TX));
	assert_true(vhost_fake_kicked(SPEC_Q_RX));
	vsock_test_end(&t);
}

/* Both queues or none: a driver may enable the second later, or never. */
static void test_one_queue_only(void **state _unused_)
{
	vsock_test_make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_enable_queue(&t.d, SPEC_Q_TX, VSOCK_TEST_RING);
	driver_ok(&t.d);
	loop_settle(t.loop);
	driver_kick(&t.d, SPEC_Q_TX);
	loop_settle(t.loop);
	assert_false(vhost_fake.running);
	assert_int_equal(TX->kick, -1);
	driver_enable_queue(&t.d, SPEC_Q_RX, VSOCK_TEST_RING);
	loop_settle(t.loop);
	assert_true(vhost_fake.running);
	vsock_test_end(&t);
}

static void test_interrupts(void **state _unused_)
{
	uint32_t len;

	/* Straight to the guest with MSI-X, and where it moves. */
	vsock_test_start(&t, 0);
	assert_int_equal(RX->call, pci_msix_eventfd(t.d.pci, SPEC_Q_RX + 1, NULL));
	assert_int_equal(TX->call, pci_msix_eventfd(t.d.pci, SPEC_Q_TX + 1, NULL));
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, SPEC_Q_RX, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_VECTOR, SPEC_Q_TX + 1, 2);
	loop_settle(t.loop);
	assert_int_equal(RX->call, pci_msix_eventfd(t.d.pci, SPEC_Q_TX + 1, NULL));
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, SPEC_Q_EVENT, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_VECTOR, 1, 2);
	loop_settle(t.loop);
	assert_true(vhost_fake.running);
	/* The kernel refuses the other place: no interrupt would come any more. */
	vhost_fake.refuse = VHOST_SET_VRING_CALL;
	vhost_fake.refuse_errno = ENOMEM;
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, SPEC_Q_RX, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_VECTOR, 1, 2);
	assert_true(status() & SPEC_S_NEEDS_RESET);
	assert_false(vhost_fake.running);
	vsock_test_end(&t);
	/* Through the loop without. */
	vsock_test_make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	for (unsigned int i = 0; i < VSOCK_TEST_QUEUES; i++)
		driver_enable_queue(&t.d, i, VSOCK_TEST_RING);
	driver_ok(&t.d);
	loop_settle(t.loop);
	vsock_test_add(&t, SPEC_Q_RX, 0);
	assert_int_equal(vhost_fake_serve(SPEC_Q_RX, 3), 1);
	assert_true(vsock_test_used(&t, SPEC_Q_RX, &len));
	assert_true(t.machine.line.level);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.isr, 1), SPEC_ISR_QUEUE);
	vsock_test_end(&t);
}

static void test_reset(void **state _unused_)
{
	vsock_test_start(&t, 0);
	vsock_test_add(&t, SPEC_Q_TX, 1);
	assert_int_equal(vhost_fake_serve(SPEC_Q_TX, 0), 1);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	assert_int_equal(status(), 0);
	assert_false(vhost_fake.running);
	assert_int_equal(TX->kick, -1);
	assert_int_equal(TX->call, -1);
	assert_int_equal(vhost_fake.cid, VSOCK_TEST_CID); /* its address stays */
	/* New rings begin at 0. */
	driver_start(&t.d, 0, VSOCK_TEST_QUEUES, VSOCK_TEST_RING);
	loop_settle(t.loop);
	assert_true(vhost_fake.running);
	assert_int_equal(TX->base, 0);
	vsock_test_end(&t);
	assert_int_equal(vhost_fake.stops, 2);
}

/* Without bus mastering the kernel must not touch guest memory, and goes on where it was. */
static void test_bus_master(void **state _unused_)
{
	uint32_t len;

	vsock_test_start(&t, 0);
	vsock_test_add(&t, SPEC_Q_TX, 1);
	assert_int_equal(vhost_fake_serve(SPEC_Q_TX, 0), 1);
	pci_config_write(t.d.pci, 4, SPEC_CMD_MEMORY, 2);
	loop_settle(t.loop);
	assert_false(vhost_fake.running);
	vsock_test_add(&t, SPEC_Q_TX, 2);
	driver_kick(&t.d, SPEC_Q_TX);
	loop_settle(t.loop);
	pci_config_write(t.d.pci, 4, SPEC_CMD_MEMORY | SPEC_CMD_MASTER, 2);
	loop_settle(t.loop);
	assert_true(vhost_fake.running);
	assert_true(vhost_fake_kicked(SPEC_Q_TX));
	assert_int_equal(vhost_fake_serve(SPEC_Q_TX, 0), 1);
	assert_int_equal(vhost_fake_sent[0], 2);
	assert_true(vsock_test_used(&t, SPEC_Q_TX, &len));
	assert_true(vsock_test_used(&t, SPEC_Q_TX, &len));
	assert_int_equal(status() & SPEC_S_NEEDS_RESET, 0);
	vsock_test_end(&t);
}

static void test_driver_breaks_the_rules(void **state _unused_)
{
	struct driver_seg bad = {0x10, 8, false}, small = {0, 2, true};

	/* In a queue of the kernel's. */
	vsock_test_start(&t, 0);
	driver_add(&t.d.queues[SPEC_Q_TX], &bad, 1, false);
	assert_int_equal(vhost_fake_serve(SPEC_Q_TX, 0), 0);
	assert_true(status() & SPEC_S_NEEDS_RESET);
	assert_false(vhost_fake.running);
	/* It is drained and taken over like that, and nothing runs before the reset. */
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	assert_round_trip(ops(), t.v, t.v);
	virtio_pci_resumed(t.v);
	assert_true(status() & SPEC_S_NEEDS_RESET);
	assert_false(vhost_fake.running);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	assert_int_equal(status(), 0);
	driver_start(&t.d, 0, VSOCK_TEST_QUEUES, VSOCK_TEST_RING);
	loop_settle(t.loop);
	assert_true(vhost_fake.running);
	vsock_test_end(&t);
	/* A buffer that no event fits into: found when there is one. */
	vsock_test_start(&t, 0);
	small.gpa = t.data;
	driver_add(&t.d.queues[SPEC_Q_EVENT], &small, 1, false);
	driver_kick(&t.d, SPEC_Q_EVENT);
	assert_int_equal(status() & SPEC_S_NEEDS_RESET, 0);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	assert_round_trip(ops(), t.v, t.v);
	virtio_pci_resumed(t.v);
	assert_true(status() & SPEC_S_NEEDS_RESET);
	assert_false(vhost_fake.running);
	vsock_test_end(&t);
}

static void test_kernel_refuses(void **state _unused_)
{
	static const unsigned long requests[] = {VHOST_SET_FEATURES, VHOST_SET_VRING_ADDR,
						 VHOST_VSOCK_SET_RUNNING};

	for (unsigned int i = 0; i < ARRAY_SIZE(requests); i++) {
		vsock_test_make(&t);
		vhost_fake.refuse = requests[i];
		vhost_fake.refuse_errno = EFAULT;
		/* The second ring's: the first is taken back. */
		vhost_fake.refuse_after = requests[i] == VHOST_SET_VRING_ADDR;
		driver_start(&t.d, 0, VSOCK_TEST_QUEUES, VSOCK_TEST_RING);
		assert_true(status() & SPEC_S_NEEDS_RESET);
		assert_false(vhost_fake.running);
		assert_int_equal(RX->kick < 0 ? -1 : 0, -1);
		vhost_fake.refuse = 0;
		driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
		assert_int_equal(status(), 0);
		driver_start(&t.d, 0, VSOCK_TEST_QUEUES, VSOCK_TEST_RING);
		assert_int_equal(status() & SPEC_S_NEEDS_RESET, 0);
		assert_true(vhost_fake.running);
		vsock_test_end(&t);
	}
	/* A freeze that cannot be told where the kernel is: given up, and all goes on. */
	vsock_test_start(&t, 0);
	vhost_fake.refuse = VHOST_GET_VRING_BASE;
	vhost_fake.refuse_errno = EIO;
	{
		struct error err = ERROR_INIT;

		assert_int_equal(virtio_pci_drain(t.v, 0, &err), -EIO);
		assert_non_null(strstr(err.message, "VHOST_GET_VRING_BASE"));
	}
	assert_true(vhost_fake.running);
	assert_int_equal(vhost_fake.starts, 2);
	vsock_test_end(&t);
}

static void test_cannot_be_made(void **state _unused_)
{
	const struct virtio_vsock_config config = {.on = true, .cid = 5};
	struct vhost_ram ram = {.count = 0};
	struct virtio_vsock *vsock = NULL;
	struct error err = ERROR_INIT;

	vhost_fake_init();
	assert_int_equal(virtio_vsock_new(&config, "/nonexistent/v", &ram, &vsock, &err), -ENOENT);
	assert_non_null(strstr(err.message, "modprobe vhost_vsock"));
	assert_non_null(strstr(err.message, "--vsock"));
	assert_int_equal(virtio_vsock_check_host("/nonexistent/v", &err), -ENOENT);
	assert_int_equal(virtio_vsock_check_host("/dev/null", &err), 0);
	vhost_fake.refuse = VHOST_VSOCK_SET_GUEST_CID;
	vhost_fake.refuse_errno = EADDRINUSE;
	assert_int_equal(virtio_vsock_new(&config, "/dev/null", &ram, &vsock, &err), -EADDRINUSE);
	assert_string_equal(err.message, "vsock: CID 5 is taken, by another VM or by this host "
					 "itself: give the VM another one (--vsock cid=N)");
	vhost_fake.refuse = VHOST_SET_MEM_TABLE;
	vhost_fake.refuse_errno = ENOMEM;
	assert_int_equal(virtio_vsock_new(&config, "/dev/null", &ram, &vsock, &err), -ENOMEM);
	assert_non_null(strstr(err.message, "VHOST_SET_MEM_TABLE"));
	assert_null(vsock);
}

/* ---- Update. ---- */

static void expect_event(void)
{
	static const uint8_t reset[SPEC_EVENT_SIZE] = {SPEC_EVENT_RESET, 0, 0, 0};
	uint32_t len;

	assert_true(vsock_test_used(&t, SPEC_Q_EVENT, &len));
	assert_int_equal(len, SPEC_EVENT_SIZE);
	assert_memory_equal(fake_ram(&t.machine, t.data + SPEC_Q_EVENT * 1024), reset,
			    SPEC_EVENT_SIZE);
	assert_false(vsock_test_used(&t, SPEC_Q_EVENT, &len));
}

static void test_update(void **state _unused_)
{
	static const uint64_t features[] = {0, SPEC_F_EVENT_IDX | SPEC_F_SEQPACKET};

	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		unsigned int interrupts;
		struct saved s;
		uint32_t len;

		vsock_test_start(&t, features[i]);
		vsock_test_add(&t, SPEC_Q_EVENT, 0xff);
		vsock_test_add(&t, SPEC_Q_EVENT, 0xff);
		for (unsigned int n = 0; n < 3; n++)
			vsock_test_add(&t, SPEC_Q_RX, 0);
		vsock_test_add(&t, SPEC_Q_TX, 1);
		assert_int_equal(vhost_fake_serve(SPEC_Q_TX, 0), 1);
		assert_int_equal(vhost_fake_serve(SPEC_Q_RX, 1), 3);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		assert_false(vhost_fake.running);
		vsock_test_add(&t, SPEC_Q_TX, 2);
		driver_kick(&t.d, SPEC_Q_TX);
		s = device_save(ops(), t.v);
		vsock_test_move(&t, &s);
		assert_round_trip(ops(), t.v, t.v);
		saved_free(&s);
		assert_false(vhost_fake.running);
		interrupts = driver_interrupt_count(&t.d, SPEC_Q_EVENT + 1);
		virtio_pci_resumed(t.v);
		assert_true(vhost_fake.running);
		assert_true(vhost_fake.acked == (SPEC_F_VERSION_1 | features[i]));
		assert_int_equal(vhost_fake.cid, VSOCK_TEST_CID);
		assert_int_equal(RX->base, 3);
		assert_int_equal(TX->base, 1);
		/* One event, before the kernel has had a turn; and an interrupt for it, beside the
		 * one that every vector gets after a resume. */
		expect_event();
		assert_int_equal(driver_interrupt_count(&t.d, SPEC_Q_EVENT + 1), interrupts + 2);
		for (unsigned int n = 0; n < 3; n++)
			assert_true(vsock_test_used(&t, SPEC_Q_RX, &len));
		assert_false(vsock_test_used(&t, SPEC_Q_RX, &len));
		assert_true(vhost_fake_kicked(SPEC_Q_TX));
		assert_int_equal(vhost_fake_serve(SPEC_Q_TX, 0), 1);
		assert_int_equal(vhost_fake_sent[0], 2);
		assert_true(vsock_test_used(&t, SPEC_Q_TX, &len));
		assert_true(vsock_test_used(&t, SPEC_Q_TX, &len));
		vsock_test_end(&t);
	}
}

/* A driver that has given no buffer for events: told as soon as there is one, once, whatever
 * freezes come between. */
static void test_event_waits_for_a_buffer(void **state _unused_)
{
	static const uint64_t features[] = {0, SPEC_F_EVENT_IDX};
	uint32_t len;

	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		vsock_test_start(&t, features[i]);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		assert_round_trip(ops(), t.v, t.v);
		virtio_pci_resumed(t.v);
		assert_true(vhost_fake.running);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		virtio_pci_thaw(t.v);
		assert_true(vhost_fake.running);
		vsock_test_add(&t, SPEC_Q_EVENT, 0xff);
		assert_true(driver_wants_kick(&t.d.queues[SPEC_Q_EVENT]));
		driver_kick(&t.d, SPEC_Q_EVENT);
		expect_event();
		vsock_test_add(&t, SPEC_Q_EVENT, 0xff);
		driver_kick(&t.d, SPEC_Q_EVENT);
		assert_false(vsock_test_used(&t, SPEC_Q_EVENT, &len));
		vsock_test_end(&t);
	}
	/* Not to a driver that begins anew. */
	vsock_test_start(&t, 0);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	assert_round_trip(ops(), t.v, t.v);
	virtio_pci_resumed(t.v);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	driver_start(&t.d, 0, VSOCK_TEST_QUEUES, VSOCK_TEST_RING);
	vsock_test_add(&t, SPEC_Q_EVENT, 0xff);
	driver_kick(&t.d, SPEC_Q_EVENT);
	assert_false(vsock_test_used(&t, SPEC_Q_EVENT, &len));
	vsock_test_end(&t);
}

/* In the same process the connections are still there: nothing is reset. */
static void test_thawed(void **state _unused_)
{
	uint32_t len;

	vsock_test_start(&t, 0);
	vsock_test_add(&t, SPEC_Q_EVENT, 0xff);
	vsock_test_add(&t, SPEC_Q_TX, 1);
	assert_int_equal(vhost_fake_serve(SPEC_Q_TX, 0), 1);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	assert_false(vhost_fake.running);
	virtio_pci_thaw(t.v);
	assert_true(vhost_fake.running);
	assert_int_equal(TX->base, 1);
	assert_true(vhost_fake_kicked(SPEC_Q_TX));
	assert_false(vsock_test_used(&t, SPEC_Q_EVENT, &len));
	vsock_test_end(&t);
}

static void test_every_state(void **state _unused_)
{
	for (unsigned int stage = 0; stage < 5; stage++) {
		struct saved s;

		vsock_test_make(&t);
		if (stage == 1)
			driver_negotiate(&t.d, SPEC_F_VERSION_1 | SPEC_F_SEQPACKET);
		if (stage == 2) {
			driver_negotiate(&t.d, SPEC_F_VERSION_1);
			driver_enable_queue(&t.d, SPEC_Q_RX, VSOCK_TEST_RING);
		}
		if (stage >= 3)
			driver_start(&t.d, SPEC_F_EVENT_IDX, VSOCK_TEST_QUEUES, VSOCK_TEST_RING);
		loop_settle(t.loop);
		if (stage == 4) {
			vsock_test_add(&t, SPEC_Q_TX, 1);
			assert_int_equal(vhost_fake_serve(SPEC_Q_TX, 0), 1);
		}
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		s = device_save(ops(), t.v);
		assert_true(s.size < virtio_pci_state_size_max(t.v));
		vsock_test_move(&t, &s);
		saved_free(&s);
		assert_round_trip(ops(), t.v, t.v);
		driver_torture_state(ops(), t.v);
		virtio_pci_resumed(t.v);
		assert_int_equal(vhost_fake.running, stage >= 3);
		vsock_test_end(&t);
	}
}

static void test_what_cannot_be(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct saved s;

	vsock_test_start(&t, SPEC_F_SEQPACKET);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	s = device_save(ops(), t.v);
	virtio_pci_free(t.v);
	/* A kernel that can do less than the guest uses. */
	vhost_fake.features &= ~SPEC_F_SEQPACKET;
	vsock_test_device(&t);
	assert_true(device_load(ops(), t.v, &s, STATE_CHECK, &err) < 0);
	assert_non_null(strstr(err.message, "does not offer"));
	virtio_pci_free(t.v);
	/* Another CID than the guest knows. */
	vhost_fake_init();
	{
		const struct virtio_vsock_config config = {.on = true, .cid = VSOCK_TEST_CID + 1};
		const struct vhost_ram ram = {
			.count = 1, .regions = {{FAKE_RAM_BASE, FAKE_RAM_SIZE, t.machine.ram}}};
		struct virtio_vsock *vsock;

		assert_int_equal(virtio_vsock_new(&config, "/dev/null", &ram, &vsock, NULL), 0);
		assert_int_equal(virtio_pci_new(&virtio_vsock_ops, vsock, t.loop, &t.machine.attach,
						&t.v, NULL),
				 0);
	}
	assert_true(device_load(ops(), t.v, &s, STATE_CHECK, &err) < 0);
	assert_non_null(strstr(err.message, "guest-cid: the guest has 52, the configuration 53"));
	saved_free(&s);
	vsock_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_guest_sees),
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_doorbell_before_the_start),
		cmocka_unit_test(test_one_queue_only),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_bus_master),
		cmocka_unit_test(test_driver_breaks_the_rules),
		cmocka_unit_test(test_kernel_refuses),
		cmocka_unit_test(test_cannot_be_made),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_event_waits_for_a_buffer),
		cmocka_unit_test(test_thawed),
		cmocka_unit_test(test_every_state),
		cmocka_unit_test(test_what_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
