/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/virtio_pci: discovery, negotiation, status, queues, interrupts, resets. */
#include "tests/unit/virtio_echo.h"

static void test_discovery(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	assert_int_equal(pci_config_read(t.d.pci, 0, 4),
			 (SPEC_DEVICE_BASE + 42U) << 16 | SPEC_VENDOR);
	assert_true(pci_config_read(t.d.pci, 8, 1) >= 1); /* revision: 4.1.2.1 */
	assert_int_equal(driver_common(&t.d, SPEC_C_NUM_QUEUES, 2), ECHO_QUEUES);
	assert_int_equal(t.d.config_size, 12);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config + 4, 4), 0x07060504);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config + 11, 1), 11);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config + 11, 2), 0); /* not inside */
	fake_mmio_write(&t.machine, t.d.config + 2, 0xabcd, 2);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config, 4), 0xabcd0100);
	/* Only what the transport does is offered, whatever a device says. */
	assert_true(driver_offered(&t.d) ==
		    (SPEC_F_INDIRECT | SPEC_F_EVENT_IDX | SPEC_F_VERSION_1 | SPEC_F_RING_PACKED |
		     SPEC_F_RING_RESET | ECHO_FEATURE_A | ECHO_FEATURE_B));
	driver_set_common(&t.d, SPEC_C_DEVICE_FEATURE_SELECT, 2, 4);
	assert_int_equal(driver_common(&t.d, SPEC_C_DEVICE_FEATURE, 4), 0);
	/* A queue that is not there has size 0 (4.1.4.3.1). */
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 7, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), 0);
	driver_set_common(&t.d, SPEC_C_QUEUE_ENABLE, 1, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 1, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), ECHO_SIZE);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_VECTOR, 2), SPEC_NO_VECTOR);
	assert_int_equal(driver_common(&t.d, SPEC_C_CONFIG_VECTOR, 2), SPEC_NO_VECTOR);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_ENABLE, 2), 0);
	/* Other widths than the field's own do nothing. */
	driver_set_common(&t.d, SPEC_C_QUEUE_SIZE, 4, 1);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), ECHO_SIZE);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 4), 0);
	unmake(&t);
}

static void test_negotiation(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	assert_false(driver_negotiate(&t.d, ECHO_FEATURE_A));		    /* without VERSION_1 */
	assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | 1ULL << 5)); /* not offered */
	assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | ECHO_FEATURE_B));
	assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | SPEC_F_ACCESS_PLATFORM));
	/* No way round FEATURES_OK. */
	driver_ok(&t.d);
	assert_false(status(&t) & SPEC_S_DRIVER_OK);
	loop_settle(t.loop);
	assert_int_equal(t.echo->activated, 0);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1 | ECHO_FEATURE_A | ECHO_FEATURE_B));
	/* Too late to change. */
	driver_set_common(&t.d, SPEC_C_DRIVER_FEATURE_SELECT, 0, 4);
	driver_set_common(&t.d, SPEC_C_DRIVER_FEATURE, 0, 4);
	assert_int_equal(driver_common(&t.d, SPEC_C_DRIVER_FEATURE, 4), ECHO_FEATURE_A);
	/* Status bits do not go away; NEEDS_RESET is not the driver's, and 16 and 32 are nobody's.
	 */
	driver_set_common(&t.d, SPEC_C_STATUS, SPEC_S_ACKNOWLEDGE | SPEC_S_NEEDS_RESET | 16 | 32,
			  1);
	assert_int_equal(status(&t), SPEC_S_ACKNOWLEDGE | SPEC_S_DRIVER | SPEC_S_FEATURES_OK);
	driver_ok(&t.d);
	loop_settle(t.loop);
	assert_true(t.echo->features == (SPEC_F_VERSION_1 | ECHO_FEATURE_A | ECHO_FEATURE_B));
	unmake(&t);
}

static void test_echo_all_rings(void **state _unused_)
{
	static const uint64_t rings[] = {0, SPEC_F_EVENT_IDX, SPEC_F_RING_PACKED,
					 SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX};
	static struct vp_test t;

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		make(&t);
		start(&t, rings[i]);
		for (uint32_t n = 0; n < 40; n++) {
			driver_interrupt_after(&t.d.queues[0], 0);
			if (!(rings[i] & SPEC_F_EVENT_IDX))
				driver_interrupts(&t.d.queues[0], true);
			send(&t, 0, n);
			expect_echo(&t, n);
			assert_int_equal(driver_interrupt_count(&t.d, 1), n + 1);
		}
		assert_int_equal(driver_interrupt_count(&t.d, 2), 0);
		unmake(&t);
	}
}

static void test_doorbells(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	start(&t, 0);
	/* One in the kernel for each queue, at the address the driver was told. */
	assert_int_equal(t.machine.bell_count, ECHO_QUEUES);
	for (unsigned int i = 0; i < ECHO_QUEUES; i++)
		assert_int_equal(t.machine.bells[i].gpa, t.d.queues[i].notify);
	/* They follow the BAR. */
	pci_config_write(t.d.pci, 0x10, BASE + 0x100000, 4);
	t.d.queues[0].notify += 0x100000;
	assert_int_equal(t.machine.bells[0].gpa, t.d.queues[0].notify);
	send(&t, 0, 5);
	expect_echo(&t, 5);
	pci_config_write(t.d.pci, 4, 0, 2);
	assert_int_equal(t.machine.bell_count, 0);
	unmake(&t);

	/* Without any: every ring is an exit. */
	memset(&t, 0, sizeof(t));
	fake_machine_init(&t.machine);
	t.machine.attach.doorbells = NULL;
	assert_int_equal(loop_new(&t.loop, NULL), 0);
	make_device(&t);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), BASE);
	t.data = driver_alloc(&t.machine, 4096);
	start(&t, 0);
	send(&t, 0, 6);
	expect_echo(&t, 6);
	fake_mmio_write(&t.machine, t.d.notify + 200, 0, 2); /* no such queue */
	unmake(&t);
}

static void test_intx(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_enable_queue(&t.d, 0, 16);
	driver_ok(&t.d);
	loop_settle(t.loop);
	send(&t, 0, 1);
	expect_echo(&t, 1);
	assert_true(t.machine.line.level);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.isr, 1), SPEC_ISR_QUEUE);
	assert_false(t.machine.line.level);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.isr, 1), 0);
	virtio_config_begin(t.v);
	t.echo->config[0] = 99;
	virtio_config_end(t.v);
	assert_true(t.machine.line.level);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.isr, 1), SPEC_ISR_CONFIG);
	unmake(&t);
}

static void test_config_change(void **state _unused_)
{
	static struct vp_test t;
	uint64_t generation;

	make(&t);
	generation = driver_common(&t.d, SPEC_C_GENERATION, 1);
	virtio_config_begin(t.v);
	virtio_config_end(t.v);
	assert_int_not_equal(driver_common(&t.d, SPEC_C_GENERATION, 1), generation);
	start(&t, 0);
	assert_int_equal(driver_interrupt_count(&t.d, 0), 0); /* none before DRIVER_OK */
	virtio_config_begin(t.v);
	virtio_config_end(t.v);
	assert_int_equal(driver_interrupt_count(&t.d, 0), 1);
	driver_set_common(&t.d, SPEC_C_CONFIG_VECTOR, ECHO_QUEUES + 1, 2); /* there is none */
	assert_int_equal(driver_common(&t.d, SPEC_C_CONFIG_VECTOR, 2), SPEC_NO_VECTOR);
	virtio_config_begin(t.v);
	virtio_config_end(t.v);
	assert_int_equal(driver_interrupt_count(&t.d, 0), 1);
	unmake(&t);
}

static void test_device_reset(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	start(&t, 0);
	send(&t, 0, 1);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	/* Not 0 before the device has let go (2.1.2), and no other register listens. */
	assert_true(status(&t) & SPEC_S_DRIVER_OK);
	driver_set_common(&t.d, SPEC_C_STATUS, SPEC_S_ACKNOWLEDGE, 1);
	driver_set_common(&t.d, SPEC_C_CONFIG_VECTOR, 1, 2);
	loop_settle(t.loop);
	assert_int_equal(status(&t), 0);
	assert_int_equal(t.echo->resets, 1);
	assert_int_equal(driver_common(&t.d, SPEC_C_CONFIG_VECTOR, 2), SPEC_NO_VECTOR);
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 0, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_ENABLE, 2), 0);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), ECHO_SIZE);
	/* And again from the start. */
	driver_start(&t.d, SPEC_F_RING_PACKED, ECHO_QUEUES, 16);
	loop_settle(t.loop);
	send(&t, 0, 2);
	expect_echo(&t, 2);
	/* DRIVER_OK and reset before the loop has turned: it never becomes active, or is reset. */
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	driver_start(&t.d, 0, ECHO_QUEUES, 16);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	assert_int_equal(status(&t), 0);
	assert_false(t.echo->live);
	unmake(&t);
}

/* The driver does not wait for the device: it is reset all the same, and can be started again. */
static void test_reset_during_activation(void **state _unused_)
{
	static struct vp_test t;

	for (unsigned int refuse = 0; refuse < 2; refuse++) {
		make(&t);
		t.echo->impatient = &t.d;
		t.echo->refuse_activate = refuse;
		driver_start(&t.d, 0, ECHO_QUEUES, 16);
		loop_settle(t.loop);
		assert_int_equal(status(&t), 0);
		assert_false(t.echo->live);
		assert_int_equal(t.echo->resets, t.echo->activated);
		t.echo->impatient = NULL;
		t.echo->refuse_activate = false;
		driver_start(&t.d, 0, ECHO_QUEUES, 16);
		loop_settle(t.loop);
		assert_int_equal(t.echo->activated, t.echo->resets + 1);
		send(&t, 0, 1);
		expect_echo(&t, 1);
		unmake(&t);
	}
}

static void reset_queue(struct vp_test *t, unsigned int queue)
{
	driver_set_common(&t->d, SPEC_C_QUEUE_SELECT, queue, 2);
	driver_set_common(&t->d, SPEC_C_QUEUE_RESET, 1, 2);
	assert_int_equal(driver_common(&t->d, SPEC_C_QUEUE_RESET, 2), 1);
	loop_settle(t->loop);
	assert_int_equal(driver_common(&t->d, SPEC_C_QUEUE_RESET, 2), 0);
	assert_int_equal(driver_common(&t->d, SPEC_C_QUEUE_ENABLE, 2), 0);
}

static void test_queue_reset(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	start(&t, SPEC_F_RING_RESET);
	send(&t, 1, 3);
	loop_settle(t.loop);
	assert_true(t.echo->has_kept);
	reset_queue(&t, 1);
	assert_false(t.echo->has_kept);
	assert_int_equal(t.echo->queue_resets, 1);
	send(&t, 0, 4); /* the other goes on */
	expect_echo(&t, 4);
	reset_queue(&t, 0);
	driver_enable_queue(&t.d, 0, 8);
	loop_settle(t.loop);
	assert_int_equal(t.echo->started, ECHO_QUEUES + 1);
	send(&t, 0, 5);
	expect_echo(&t, 5);
	unmake(&t);

	make(&t);
	start(&t, 0); /* not negotiated */
	driver_set_common(&t.d, SPEC_C_QUEUE_RESET, 1, 2);
	loop_settle(t.loop);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_ENABLE, 2), 1);
	assert_int_equal(t.echo->queue_resets, 0);
	unmake(&t);
}

static void test_needs_reset(void **state _unused_)
{
	static struct vp_test t;
	struct driver_seg bad = {0x10, 8, false};

	make(&t);
	start(&t, 0);
	driver_add(&t.d.queues[0], &bad, 1, false);
	driver_kick(&t.d, 0);
	loop_settle(t.loop);
	assert_true(status(&t) & SPEC_S_NEEDS_RESET);
	assert_int_equal(driver_interrupt_count(&t.d, 0), 1);
	assert_int_equal(t.echo->dma, 1); /* told, for who has rings elsewhere */
	assert_false(virtio_dma_allowed(t.v));
	send(&t, 1, 1); /* nothing more is taken */
	loop_settle(t.loop);
	assert_false(t.echo->has_kept);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	driver_start(&t.d, 0, ECHO_QUEUES, 16);
	loop_settle(t.loop);
	assert_int_equal(t.echo->dma, 1);
	assert_true(virtio_dma_allowed(t.v));
	send(&t, 0, 2);
	expect_echo(&t, 2);
	unmake(&t);

	/* A queue that cannot be, and an activation that fails. */
	make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 0, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_DESC, 0x7, 4);
	driver_set_common(&t.d, SPEC_C_QUEUE_ENABLE, 1, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_ENABLE, 2), 0);
	assert_true(status(&t) & SPEC_S_NEEDS_RESET);
	unmake(&t);
	make(&t);
	t.echo->refuse_activate = true;
	driver_start(&t.d, 0, ECHO_QUEUES, 16);
	loop_settle(t.loop);
	assert_true(status(&t) & SPEC_S_NEEDS_RESET);
	assert_int_equal(t.echo->started, 0);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	assert_int_equal(status(&t), 0);
	assert_int_equal(t.echo->resets, 0);
	unmake(&t);
}

static void test_queue_registers_are_fixed_while_enabled(void **state _unused_)
{
	static struct vp_test t;
	uint64_t desc;

	make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 0, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_SIZE, ECHO_SIZE + 1, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), ECHO_SIZE);
	driver_set_common(&t.d, SPEC_C_QUEUE_SIZE, 0, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), ECHO_SIZE);
	driver_enable_queue(&t.d, 0, 16);
	desc = driver_common(&t.d, SPEC_C_QUEUE_DESC, 8);
	assert_true(desc == t.d.queues[0].desc);
	driver_set_common(&t.d, SPEC_C_QUEUE_DESC, 0, 8);
	driver_set_common(&t.d, SPEC_C_QUEUE_SIZE, 8, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_ENABLE, 0, 2);
	assert_true(driver_common(&t.d, SPEC_C_QUEUE_DESC, 8) == desc);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), 16);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_ENABLE, 2), 1);
	unmake(&t);
}

static void test_bus_master(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	start(&t, 0);
	pci_config_write(t.d.pci, 4, SPEC_CMD_MEMORY, 2);
	send(&t, 1, 1);
	loop_settle(t.loop);
	assert_false(t.echo->has_kept);
	assert_int_equal(t.echo->dma, 1);
	pci_config_write(t.d.pci, 4, SPEC_CMD_MEMORY | SPEC_CMD_MASTER, 2);
	loop_settle(t.loop);
	assert_int_equal(t.echo->dma, 101);
	assert_true(t.echo->has_kept);
	unmake(&t);
}

static unsigned int find_cfg_cap(struct vp_test *t)
{
	unsigned int at = pci_config_read(t->d.pci, 0x34, 1);

	while (at && !(pci_config_read(t->d.pci, at, 1) == 9 &&
		       pci_config_read(t->d.pci, at + 3, 1) == SPEC_TYPE_PCI_CFG))
		at = pci_config_read(t->d.pci, at + 1, 1);
	assert_true(at);
	return at;
}

/* 4.1.4.9: everything without a mapped BAR, as a boot loader does it. */
static void test_window_in_configuration_space(void **state _unused_)
{
	static struct vp_test t;
	unsigned int cap;
	uint32_t status_at;

	make(&t);
	cap = find_cfg_cap(&t);
	status_at = (uint32_t)(t.d.common - pci_bar_address(t.d.pci, 0)) + SPEC_C_STATUS;
	pci_config_write(t.d.pci, 4, 0, 2);
	pci_config_write(t.d.pci, cap + 4, 0, 1);
	pci_config_write(t.d.pci, cap + 8, status_at, 4);
	pci_config_write(t.d.pci, cap + 12, 1, 4);
	pci_config_write(t.d.pci, cap + 16, SPEC_S_ACKNOWLEDGE, 1);
	assert_int_equal(pci_config_read(t.d.pci, cap + 16, 1), SPEC_S_ACKNOWLEDGE);
	assert_int_equal(pci_config_read(t.d.pci, cap + 16, 4), SPEC_S_ACKNOWLEDGE);
	/* Nothing is there: no length, not aligned, another BAR, outside. */
	pci_config_write(t.d.pci, cap + 12, 3, 4);
	pci_config_write(t.d.pci, cap + 16, 0, 1);
	pci_config_write(t.d.pci, cap + 12, 2, 4);
	pci_config_write(t.d.pci, cap + 8, status_at - 1, 4);
	pci_config_write(t.d.pci, cap + 16, 0, 4);
	pci_config_write(t.d.pci, cap + 4, 1, 1);
	pci_config_write(t.d.pci, cap + 16, 0, 4);
	pci_config_write(t.d.pci, cap + 4, 0, 1);
	pci_config_write(t.d.pci, cap + 8, UINT32_MAX - 3, 4);
	pci_config_write(t.d.pci, cap + 12, 4, 4);
	pci_config_write(t.d.pci, cap + 16, 0, 4);
	pci_config_write(t.d.pci, cap + 8, status_at, 4);
	pci_config_write(t.d.pci, cap + 12, 1, 4);
	assert_int_equal(pci_config_read(t.d.pci, cap + 16, 1), SPEC_S_ACKNOWLEDGE);
	unmake(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_discovery),
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_echo_all_rings),
		cmocka_unit_test(test_doorbells),
		cmocka_unit_test(test_intx),
		cmocka_unit_test(test_config_change),
		cmocka_unit_test(test_device_reset),
		cmocka_unit_test(test_reset_during_activation),
		cmocka_unit_test(test_queue_reset),
		cmocka_unit_test(test_needs_reset),
		cmocka_unit_test(test_queue_registers_are_fixed_while_enabled),
		cmocka_unit_test(test_bus_master),
		cmocka_unit_test(test_window_in_configuration_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
