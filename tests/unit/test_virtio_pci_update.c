/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/virtio_pci: drain, thaw, state, on the main loop and on a thread of its own. */
#include <poll.h>
#include <sched.h>

#include "tests/unit/virtio_echo.h"

static void test_kernel_signallers(void **state _unused_)
{
	static struct vp_test t;
	uint64_t one = 1;
	int fd, bell;
	struct pollfd pfd;

	make(&t);
	start(&t, 0);
	fd = virtio_queue_interrupt_fd(t.v, 1, NULL);
	assert_int_equal(fd, pci_msix_eventfd(t.d.pci, 2, NULL));
	bell = virtio_queue_doorbell_fd(t.v, 1, false);
	send(&t, 1, 1);
	loop_settle(t.loop);
	assert_false(t.echo->has_kept);
	pfd = (struct pollfd){.fd = bell, .events = POLLIN};
	assert_int_equal(poll(&pfd, 1, 0), 1);
	virtio_queue_doorbell_fd(t.v, 1, true);
	loop_settle(t.loop);
	assert_true(t.echo->has_kept);
	unmake(&t);

	/* With INTx through the loop. */
	make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_enable_queue(&t.d, 0, 16);
	driver_ok(&t.d);
	loop_settle(t.loop);
	fd = virtio_queue_interrupt_fd(t.v, 0, NULL);
	assert_int_equal(write(fd, &one, 8), 8);
	loop_settle(t.loop);
	assert_true(t.machine.line.level);
	fake_mmio_read(&t.machine, t.d.isr, 1);
	unmake(&t);
}

/* A driver may move its interrupts while the kernel signals them (4.1.5.1.2). */
static void test_interrupts_move(void **state _unused_)
{
	static struct vp_test t;
	void *areas[3];

	make(&t);
	start(&t, 0);
	assert_int_equal(t.echo->interrupts_changed[1], 0);
	assert_int_equal(virtio_queue_interrupt_fd(t.v, 1, NULL),
			 pci_msix_eventfd(t.d.pci, 2, NULL));
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 1, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_VECTOR, 2, 2); /* as it is */
	loop_settle(t.loop);
	assert_int_equal(t.echo->interrupts_changed[1], 0);
	driver_set_common(&t.d, SPEC_C_QUEUE_VECTOR, 1, 2);
	loop_settle(t.loop);
	assert_int_equal(t.echo->interrupts_changed[1], 1);
	assert_int_equal(t.echo->interrupts_changed[0], 0);
	assert_int_equal(virtio_queue_interrupt_fd(t.v, 1, NULL),
			 pci_msix_eventfd(t.d.pci, 1, NULL));
	assert_int_equal(driver_interrupt_count(&t.d, 1), 1);
	/* MSI-X off: what comes from now on pulls the pin. */
	pci_config_write(t.d.pci, t.d.msix_cap + 2, 0, 2);
	loop_settle(t.loop);
	assert_int_equal(t.echo->interrupts_changed[0], 1);
	assert_int_equal(t.echo->interrupts_changed[1], 2);
	assert_int_not_equal(virtio_queue_interrupt_fd(t.v, 1, NULL),
			     pci_msix_eventfd(t.d.pci, 1, NULL));
	assert_true(t.machine.line.level);
	/* Where its rings are. */
	virtqueue_areas(virtio_queue(t.v, 1), areas);
	assert_ptr_equal(areas[0], fake_ram(&t.machine, t.d.queues[1].desc));
	assert_ptr_equal(areas[1], fake_ram(&t.machine, t.d.queues[1].driver));
	assert_ptr_equal(areas[2], fake_ram(&t.machine, t.d.queues[1].device));
	unmake(&t);
}

/* What the kernel signalled before the freeze is in the state, though the loop has not turned. */
static void test_signal_before_a_drain(void **state _unused_)
{
	static struct vp_test t;
	uint64_t one = 1;
	int fd;

	make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_enable_queue(&t.d, 0, 16);
	driver_ok(&t.d);
	loop_settle(t.loop);
	fd = virtio_queue_interrupt_fd(t.v, 0, NULL);
	assert_int_equal(write(fd, &one, 8), 8);
	assert_false(t.machine.line.level);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	assert_true(t.machine.line.level);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.isr, 1), SPEC_ISR_QUEUE);
	unmake(&t);
}

static void test_drain_and_thaw(void **state _unused_)
{
	static struct vp_test t;
	struct error err = ERROR_INIT;

	make(&t);
	assert_int_equal(virtio_pci_drain(t.v, 0, &err), 0); /* nothing to drain yet */
	virtio_pci_thaw(t.v);
	assert_int_equal(t.echo->drains, 0);
	/* Whatever vCPUs left to the loop is done first. */
	driver_start(&t.d, 0, ECHO_QUEUES, 16);
	assert_int_equal(virtio_pci_drain(t.v, 0, &err), 0);
	assert_int_equal(t.echo->activated, 1);
	assert_int_equal(t.echo->drains, 1);
	send(&t, 0, 1);
	loop_settle(t.loop);
	assert_int_equal(driver_interrupt_count(&t.d, 1), 0);
	virtio_pci_thaw(t.v);
	assert_int_equal(t.echo->thaws, 1);
	expect_echo(&t, 1);
	t.echo->refuse_drain = true;
	assert_int_equal(virtio_pci_drain(t.v, 0, &err), -EBUSY);
	assert_string_equal(err.message, "virtio-echo: still echoing");
	assert_int_equal(t.echo->thaws, 2);
	send(&t, 0, 2);
	expect_echo(&t, 2);
	unmake(&t);
}

/* ---- State. ---- */

static void hand_over(struct vp_test *from, struct vp_test *to)
{
	memset(to, 0, sizeof(*to));
	fake_machine_init(&to->machine);
	memcpy(to->machine.ram, from->machine.ram, sizeof(from->machine.ram));
	to->machine.ram_used = from->machine.ram_used;
	assert_int_equal(loop_new(&to->loop, NULL), 0);
	make_device(to);
	to->d = from->d;
	to->d.m = &to->machine;
	to->d.pci = virtio_pci_function(to->v);
	to->data = from->data;
	for (unsigned int i = 0; i < ECHO_QUEUES; i++)
		to->d.queues[i].m = &to->machine;
}

static void test_every_state_goes_over(void **state _unused_)
{
	static struct vp_test a, b;
	struct error err = ERROR_INIT;

	for (unsigned int stage = 0; stage < 6; stage++) {
		const struct state_ops *ops;
		struct saved s;

		make(&a);
		if (stage == 1)
			driver_negotiate(&a.d, SPEC_F_VERSION_1 | SPEC_F_RING_PACKED);
		if (stage == 2) {
			driver_negotiate(&a.d, SPEC_F_VERSION_1);
			driver_use_msix(&a.d, 2);
			driver_enable_queue(&a.d, 1, 16);
		}
		if (stage >= 3)
			start(&a, stage == 3 ? 0 : SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX);
		if (stage == 4) {
			send(&a, 1, 7);
			loop_settle(a.loop);
			assert_true(a.echo->has_kept);
		}
		if (stage == 5) {
			struct driver_seg bad = {0x10, 8, false};

			driver_add(&a.d.queues[0], &bad, 1, false);
			driver_kick(&a.d, 0);
			loop_settle(a.loop);
		}
		ops = virtio_pci_state_ops(a.v);
		assert_string_equal(ops->name, "virtio-echo");
		assert_int_equal(virtio_pci_drain(a.v, 0, &err), 0);
		hand_over(&a, &b);
		assert_round_trip(ops, a.v, b.v);
		s = device_save(ops, a.v);
		assert_true(s.size < virtio_pci_state_size_max(a.v));
		saved_free(&s);
		if (stage == 4) /* the one with most in it */
			driver_torture_state(ops, b.v);
		virtio_pci_resumed(b.v);
		assert_int_equal(b.echo->resumes, stage >= 3);
		assert_int_equal(b.machine.bell_count, ECHO_QUEUES);
		if (stage == 3 || stage == 4) {
			/* One spurious interrupt for each live vector. */
			assert_int_equal(driver_interrupt_count(&b.d, 1), 1);
			driver_interrupts(&b.d.queues[0], true);
			send(&b, 0, 8);
			expect_echo(&b, 8);
		}
		if (stage == 4)
			assert_int_equal(virtqueue_in_flight(virtio_queue(b.v, 1)), 1);
		assert_int_equal(!!(status(&b) & SPEC_S_NEEDS_RESET), stage == 5);
		unmake(&b);
		unmake(&a);
	}
}

static void test_state_is_refused(void **state _unused_)
{
	static struct vp_test t;
	struct error err = ERROR_INIT;
	struct saved s;
	struct state_writer *w;
	struct state_object object;

	make(&t);
	start(&t, ECHO_FEATURE_A);
	/* Not drained. */
	object = (struct state_object){.ops = virtio_pci_state_ops(t.v), .obj = t.v};
	assert_int_equal(state_writer_new(SAVED_MAX, &w, NULL), 0);
	assert_int_equal(state_save_objects(&object, 1, w, &err), -EBUSY);
	state_writer_free(w);
	assert_int_equal(virtio_pci_drain(t.v, 0, &err), 0);
	s = device_save(object.ops, t.v);
	virtio_pci_free(t.v);
	fake_machine_init(&t.machine);
	/* A program or host that offers less. */
	make_device(&t);
	virtio_pci_free(t.v);
	t.echo = calloc(1, sizeof(*t.echo));
	t.echo->freed = &t.freed;
	t.echo->chain = virtqueue_chain_new(4);
	t.echo->kept = virtqueue_chain_new(4);
	t.echo->offered = VIRTIO_TRANSPORT_FEATURES;
	assert_int_equal(virtio_pci_new(&echo_ops, t.echo, t.loop, &t.machine.attach, &t.v, NULL),
			 0);
	assert_int_equal(device_load(virtio_pci_state_ops(t.v), t.v, &s, STATE_CHECK, &err),
			 -EINVAL);
	assert_non_null(strstr(err.message, "the guest uses 0x1,"));
	saved_free(&s);
	unmake(&t);
}

/* The device on a thread of its own: the same, and nothing races (TSan). */
static void test_own_thread(void **state _unused_)
{
	static struct vp_test t;
	struct loop_thread *thread;
	struct error err = ERROR_INIT;
	struct saved s;
	uint16_t id;
	uint32_t len;

	for (unsigned int round = 0; round < 20; round++) {
		memset(&t, 0, sizeof(t));
		fake_machine_init(&t.machine);
		assert_int_equal(loop_thread_new("echo", &thread, NULL), 0);
		t.loop = loop_thread_loop(thread);
		make_device(&t);
		driver_open(&t.d, &t.machine, virtio_pci_function(t.v), BASE);
		t.data = driver_alloc(&t.machine, 4096);
		driver_start(&t.d, SPEC_F_RING_PACKED, ECHO_QUEUES, 16);
		for (uint32_t n = 0; n < 20; n++) {
			driver_interrupts(&t.d.queues[0], true);
			send(&t, 0, n);
			while (!driver_get_used(&t.d.queues[0], &id, &len))
				sched_yield();
			virtio_config_begin(t.v);
			t.echo->config[0]++;
			virtio_config_end(t.v);
		}
		assert_int_equal(virtio_pci_drain(t.v, clock_monotonic_ns() + NSEC_PER_SEC, &err),
				 0);
		s = device_save(virtio_pci_state_ops(t.v), t.v);
		saved_free(&s);
		virtio_pci_thaw(t.v);
		if (round % 2) {
			driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
			while (status(&t))
				sched_yield();
		}
		virtio_pci_free(t.v);
		fake_machine_check_empty(&t.machine);
		loop_thread_free(thread);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel_signallers),
		cmocka_unit_test(test_interrupts_move),
		cmocka_unit_test(test_signal_before_a_drain),
		cmocka_unit_test(test_drain_and_thaw),
		cmocka_unit_test(test_every_state_goes_over),
		cmocka_unit_test(test_state_is_refused),
		cmocka_unit_test(test_own_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
