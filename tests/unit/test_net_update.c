/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/net across an update: nothing twice, what was put into a queue is sent, the guest
 * is announced, and a state is what it should be or is refused. */
#include "tests/unit/net_test.h"

#include <sched.h>

#include "base/clock.h"
#include "base/loop_thread.h"

static struct net_test t;

static const uint64_t rings[] = {SPEC_F_INDIRECT, SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX};

/* RARP (RFC 903) in Ethernet: offsets in the frame. */
#define SPEC_ETHERTYPE_RARP 0x8035
#define SPEC_RARP_OPERATION 20
#define SPEC_RARP_SENDER    22
#define SPEC_RARP_TARGET    32

static const struct state_ops *ops(void)
{
	return virtio_pci_state_ops(t.v);
}

static uint64_t soon(void)
{
	return clock_monotonic_ns() + 30 * NSEC_PER_SEC;
}

/* An announcement in the guest's name, from its address of now. */
static void assert_announced(void)
{
	const uint8_t *frame = t.frame + SPEC_HEADER;
	uint8_t mac[6];

	virtio_net_mac(t.net, mac);
	assert_int_equal(net_test_take(&t, 0), 60);
	for (unsigned int i = 0; i < SPEC_HEADER; i++)
		assert_int_equal(t.frame[i], 0);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(frame[i], 0xff);
	assert_memory_equal(frame + 6, mac, 6);
	assert_int_equal(frame[12] << 8 | frame[13], SPEC_ETHERTYPE_RARP);
	assert_int_equal(frame[SPEC_RARP_OPERATION] << 8 | frame[SPEC_RARP_OPERATION + 1], 3);
	assert_memory_equal(frame + SPEC_RARP_SENDER, mac, 6);
	assert_memory_equal(frame + SPEC_RARP_TARGET, mac, 6);
}

static void assert_frame(uint64_t offset, uint32_t seed, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		assert_int_equal(*net_test_ram(&t, offset + SPEC_HEADER + i),
				 net_test_byte(seed, i));
}

/* Frames that the tap has at the freeze are the guest's, as far as it has buffers. */
static void test_frames_at_a_freeze(void **state _unused_)
{
	uint8_t frame[SPEC_HEADER + 60] = {0};
	uint16_t id;
	uint32_t len;

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		net_test_start(&t, NET_TEST_USUAL | rings[i]);
		for (unsigned int k = 0; k < 3; k++)
			net_test_post(&t, 0, k * 1536, 1536);
		loop_settle(t.loop);
		/* Nobody has looked at the tap since. */
		for (uint8_t k = 0; k < 4; k++) {
			frame[SPEC_HEADER] = k;
			assert_int_equal(send(t.host[0], frame, sizeof(frame), 0), sizeof(frame));
		}
		assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
		for (unsigned int k = 0; k < 3; k++) {
			assert_true(driver_get_used(&t.d.queues[0], &id, &len));
			assert_int_equal(len, sizeof(frame));
			assert_int_equal(*net_test_ram(&t, k * 1536 + SPEC_HEADER), k);
		}
		assert_false(driver_get_used(&t.d.queues[0], &id, &len));
		/* The fourth is lost with the tap, and that is known. */
		assert_true(t.net->frames_left);
		net_test_move(&t);
		assert_true(t.net->frames_left);
		virtio_pci_resumed(t.v);
		net_test_post(&t, 0, 0, 1536);
		net_test_arrive(&t, 0, 9, 60, 0, 0);
		assert_true(net_test_used(&t, 0, &id, &len));
		assert_frame(0, 9, 60);
		assert_false(net_test_used(&t, 0, &id, &len));
		net_test_end(&t);
	}
}

/* Buffers that were held for frames to come are there for the next process, from the first on. */
static void test_buffers_are_given_back(void **state _unused_)
{
	uint16_t id;
	uint32_t len;

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		uint16_t ids[8];

		net_test_start(&t, NET_TEST_USUAL | NET_TEST_OFFLOADS | rings[i]);
		for (unsigned int k = 0; k < 8; k++)
			ids[k] = net_test_post(&t, 0, k * 1536, 1536);
		net_test_arrive(&t, 0, 1, 60, 0, 0);
		assert_int_equal(virtqueue_in_flight(virtio_queue(t.v, 0)), 7);
		for (unsigned int round = 0; round < 3; round++) {
			assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
			assert_int_equal(virtqueue_in_flight(virtio_queue(t.v, 0)), 0);
			assert_false(t.net->frames_left);
			net_test_move(&t);
			virtio_pci_resumed(t.v);
		}
		net_test_arrive(&t, 0, 2, 3000, 0, 0);
		net_test_arrive(&t, 0, 3, 60, 0, 0);
		for (unsigned int k = 0; k < 4; k++) {
			assert_true(net_test_used(&t, 0, &id, &len));
			assert_int_equal(id, ids[k]);
		}
		assert_false(net_test_used(&t, 0, &id, &len));
		assert_frame(0, 1, 60);
		assert_frame(1536, 2, 3000);
		assert_frame(3 * 1536, 3, 60);
		net_test_end(&t);
	}
}

/* What the guest has sent before the freeze and nobody has looked at goes out afterwards, once. */
static void test_sent_while_frozen(void **state _unused_)
{
	static const uint32_t whole[] = {0};
	uint16_t id;
	uint32_t len;

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		net_test_start(&t, NET_TEST_USUAL | rings[i]);
		net_test_send_filled(&t, 0, 1, 64, 0, 0);
		assert_int_equal(net_test_take(&t, 0), 64);
		assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
		net_test_send(&t, 0, NET_TEST_FRAMES, 70, whole, false);
		loop_settle(t.loop);
		assert_int_equal(net_test_take(&t, 0), -1);
		net_test_move(&t);
		assert_int_equal(net_test_take(&t, 0), -1);
		virtio_pci_resumed(t.v);
		assert_announced();
		assert_int_equal(net_test_take(&t, 0), 70);
		assert_int_equal(net_test_take(&t, 0), -1);
		assert_true(net_test_used(&t, 1, &id, &len));
		assert_true(net_test_used(&t, 1, &id, &len));
		assert_false(net_test_used(&t, 1, &id, &len));
		net_test_end(&t);
	}
}

/* GUEST_ANNOUNCE (5.1.6.5.4): a status bit and an interrupt, until the guest has acknowledged. */
static void test_announced(void **state _unused_)
{
	static const uint8_t mac[] = {2, 4, 6, 8, 10, 12};
	unsigned int before;

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		net_test_start(&t, NET_TEST_USUAL | rings[i]);
		/* The guest has another address by now. */
		assert_int_equal(net_test_command(&t, 1, 1, mac, sizeof(mac)), SPEC_OK);
		assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
		net_test_move(&t);
		before = driver_interrupt_count(&t.d, 0);
		assert_int_equal(net_test_status(&t), SPEC_LINK_UP);
		virtio_pci_resumed(t.v);
		assert_int_equal(net_test_status(&t), SPEC_LINK_UP | SPEC_ANNOUNCE);
		assert_true(driver_interrupt_count(&t.d, 0) > before);
		assert_announced();
		assert_memory_equal(t.frame + SPEC_HEADER + 6, mac, sizeof(mac));
		/* Again, as long as a bridge may not have heard it, also of the guest; not for
		 * ever. */
		assert_int_equal(net_test_command(&t, 3, 0, NULL, 0), SPEC_OK);
		assert_int_equal(net_test_status(&t), SPEC_LINK_UP);
		before = driver_interrupt_count(&t.d, 0);
		net_announce_again(t.net);
		assert_int_equal(net_test_status(&t), SPEC_LINK_UP | SPEC_ANNOUNCE);
		assert_true(driver_interrupt_count(&t.d, 0) > before);
		for (unsigned int k = 0; k < 10; k++)
			net_announce_again(t.net);
		while (net_test_take(&t, 0) == 60) {
		}
		/* Not acknowledged before the next update: still asked for. */
		assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
		net_test_move(&t);
		assert_int_equal(net_test_status(&t), SPEC_LINK_UP | SPEC_ANNOUNCE);
		virtio_pci_resumed(t.v);
		assert_announced();
		assert_int_equal(net_test_command(&t, 3, 0, NULL, 0), SPEC_OK);
		assert_int_equal(net_test_status(&t), SPEC_LINK_UP);
		net_test_end(&t);
	}
	/* A driver that knows nothing of it is announced by the VMM alone. */
	net_test_start(&t, SPEC_F_STATUS);
	assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
	net_test_move(&t);
	virtio_pci_resumed(t.v);
	assert_int_equal(net_test_status(&t), SPEC_LINK_UP);
	assert_announced();
	net_test_end(&t);
}

/* Pairs and offloads are as the driver has set them. */
static void test_settings_travel(void **state _unused_)
{
	static const uint8_t two[] = {2, 0};
	const uint64_t csum = htole64(SPEC_F_GUEST_CSUM);
	uint16_t id;
	uint32_t len;

	net_test_init(&t);
	t.config.queues = 3;
	net_test_device(&t);
	net_test_drive(&t, NET_TEST_USUAL | NET_TEST_OFFLOADS | SPEC_F_MQ);
	assert_int_equal(net_test_command(&t, 4, 0, two, sizeof(two)), SPEC_OK);
	assert_int_equal(net_test_command(&t, 5, 0, &csum, sizeof(csum)), SPEC_OK);
	net_test_post(&t, 1, 0, 2048);
	assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
	net_test_move(&t);
	virtio_pci_resumed(t.v);
	assert_int_equal(t.net->pairs_used, 2);
	assert_int_equal(t.net->offloads, SPEC_F_GUEST_CSUM);
	net_test_arrive(&t, 1, 4, 100, SPEC_NEEDS_CSUM, 0);
	assert_true(net_test_used(&t, 2, &id, &len));
	assert_frame(0, 4, 100);
	net_test_end(&t);
}

/* An update is no new burst. */
static void test_limits_travel(void **state _unused_)
{
	net_test_init(&t);
	t.config.tx_limits.ops =
		(struct token_bucket_config){.size = 2, .refill_ms = TOKEN_BUCKET_REFILL_MAX};
	net_test_device(&t);
	net_test_drive(&t, NET_TEST_USUAL);
	for (unsigned int i = 0; i < 3; i++)
		net_test_send_filled(&t, 0, 1, 64, 0, 0);
	assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
	net_test_move(&t);
	virtio_pci_resumed(t.v);
	loop_settle(t.loop);
	assert_announced();
	assert_int_equal(net_test_take(&t, 0), -1);
	net_test_end(&t);
}

/* Given up: the same process goes on, with the same tap. */
static void test_thawed(void **state _unused_)
{
	static const uint32_t whole[] = {0};
	struct saved s;
	uint16_t id;
	uint32_t len;

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		net_test_start(&t, NET_TEST_USUAL | rings[i]);
		net_test_post(&t, 0, 0, 1536);
		net_test_post(&t, 0, 1536, 1536);
		assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
		s = device_save(ops(), t.v);
		saved_free(&s);
		net_test_arrive(&t, 0, 1, 60, 0, 0);
		net_test_send(&t, 0, NET_TEST_FRAMES, 70, whole, false);
		assert_false(net_test_used(&t, 0, &id, &len));
		virtio_pci_thaw(t.v);
		assert_true(net_test_used(&t, 0, &id, &len));
		assert_frame(0, 1, 60);
		assert_int_equal(net_test_take(&t, 0), 70);
		net_test_arrive(&t, 0, 2, 60, 0, 0);
		assert_true(net_test_used(&t, 0, &id, &len));
		assert_frame(1536, 2, 60);
		net_test_end(&t);
	}
}

/* A frame that waits for buffers at a freeze has nowhere to wait: it is dropped, and counted. */
static void test_half_a_frame(void **state _unused_)
{
	uint16_t id;
	uint32_t len;

	net_test_start(&t, NET_TEST_USUAL | NET_TEST_OFFLOADS);
	net_test_post(&t, 0, 0, 1536);
	net_test_arrive(&t, 0, 1, 3000, 0, 0);
	assert_false(net_test_used(&t, 0, &id, &len));
	assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
	assert_true(t.net->frames_left);
	assert_int_equal(net_test_counters(&t).rx_dropped, 1);
	net_test_move(&t);
	virtio_pci_resumed(t.v);
	net_test_arrive(&t, 0, 2, 60, 0, 0);
	assert_true(net_test_used(&t, 0, &id, &len));
	assert_frame(0, 2, 60);
	net_test_end(&t);
}

/* A driver that has not started, one in the middle of it, one that is stopped. */
static void test_every_state(void **state _unused_)
{
	struct driver_seg seg;

	net_test_init(&t);
	net_test_device(&t);
	assert_round_trip(ops(), t.v, t.v);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), NET_TEST_BASE);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1 | NET_TEST_USUAL));
	net_test_move(&t);
	virtio_pci_resumed(t.v);
	assert_int_equal(net_test_take(&t, 0), -1);
	driver_use_msix(&t.d, 3);
	for (unsigned int i = 0; i < 3; i++)
		driver_enable_queue(&t.d, i, NET_TEST_RING);
	net_test_move(&t);
	virtio_pci_resumed(t.v);
	driver_ok(&t.d);
	loop_settle(t.loop);
	net_test_send_filled(&t, 0, 1, 64, 0, 0);
	assert_int_equal(net_test_take(&t, 0), 64);
	seg = (struct driver_seg){t.data, 3, false};
	driver_add(&t.d.queues[1], &seg, 1, false);
	driver_kick(&t.d, 1);
	loop_settle(t.loop);
	assert_true(net_test_stopped(&t));
	assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
	net_test_move(&t);
	virtio_pci_resumed(t.v);
	assert_true(net_test_stopped(&t));
	net_test_end(&t);
}

static void test_state_is_checked(void **state _unused_)
{
	static const uint8_t two[] = {2, 0};

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		net_test_init(&t);
		t.config.queues = (uint16_t)(1 + i);
		t.config.rx_limits.bandwidth = (struct token_bucket_config){
			.size = 1000, .one_time_burst = 50, .refill_ms = 1000000};
		net_test_device(&t);
		net_test_drive(&t,
			       NET_TEST_USUAL | NET_TEST_OFFLOADS | (i ? SPEC_F_MQ : 0) | rings[i]);
		assert_int_equal(net_test_command(&t, 4, 0, two, sizeof(two)),
				 i ? SPEC_OK : SPEC_ERR);
		net_test_post(&t, 0, 0, 1536);
		net_test_arrive(&t, 0, 1, 60, 0, 0);
		assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
		net_test_move(&t);
		virtio_pci_resumed(t.v);
		loop_settle(t.loop);
		assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
		/* With an announcement that was not acknowledged. */
		net_test_move(&t);
		driver_torture_state(ops(), t.v);
		virtio_pci_resumed(t.v);
		net_test_arrive(&t, 0, 2, 60, 0, 0);
		net_test_end(&t);
	}
}

/* What fits each field, and not the others. */
static void test_what_cannot_be(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct saved s;

	/* Several pairs of a driver that has one, and offloads that it does not take. */
	for (unsigned int i = 0; i < 2; i++) {
		net_test_init(&t);
		t.config.queues = 2;
		net_test_device(&t);
		net_test_drive(&t, NET_TEST_USUAL);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		if (i == 0)
			t.net->pairs_used = 2;
		else
			t.net->offloads = SPEC_F_GUEST_CSUM;
		s = device_save(ops(), t.v);
		t.net->pairs_used = 1;
		t.net->offloads = 0;
		assert_true(device_load(ops(), t.v, &s, STATE_CHECK, &err) < 0);
		assert_non_null(strstr(err.message, i == 0 ? "without MQ" : "not negotiated"));
		saved_free(&s);
		net_test_end(&t);
	}
	/* Another tap. */
	net_test_start(&t, NET_TEST_USUAL);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	s = device_save(ops(), t.v);
	virtio_pci_free(t.v);
	snprintf(t.config.tap, sizeof(t.config.tap), "tap1");
	net_test_device(&t);
	assert_true(device_load(ops(), t.v, &s, STATE_CHECK, &err) < 0);
	assert_non_null(strstr(err.message, "the guest had tap0, and this is tap1"));
	saved_free(&s);
	net_test_end(&t);
	/* A guest that uses offloads, in a process that was started without. */
	net_test_start(&t, NET_TEST_USUAL | NET_TEST_OFFLOADS);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	s = device_save(ops(), t.v);
	virtio_pci_free(t.v);
	t.config.offload = false;
	net_test_device(&t);
	assert_true(device_load(ops(), t.v, &s, STATE_CHECK, &err) < 0);
	assert_non_null(strstr(err.message, "does not offer"));
	saved_free(&s);
	net_test_end(&t);
}

static void wait_used(unsigned int queue)
{
	uint32_t len;
	uint16_t id;

	while (!driver_get_used(&t.d.queues[queue], &id, &len))
		sched_yield();
}

/* Than an announcement, which comes again when its time has come. */
#define LONGER 61

static int take_longer(void)
{
	int n;

	do {
		n = net_test_take(&t, 0);
	} while (n >= 0 && n < LONGER);
	return n;
}

/* The card on a thread of its own, as in a VM; the driver on another, which also asks what the
 * main thread would, and freezes here and there. */
static void test_on_a_thread(void **state _unused_)
{
	static const uint32_t whole[] = {0};
	struct loop_thread *thread;
	uint8_t frame[SPEC_HEADER + 64] = {0}, mac[6];

	net_test_init(&t);
	loop_free(t.loop);
	assert_int_equal(loop_thread_new("net", &thread, NULL), 0);
	t.loop = loop_thread_loop(thread);
	net_test_device(&t);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), NET_TEST_BASE);
	driver_start(&t.d, NET_TEST_USUAL | SPEC_F_EVENT_IDX, 3, NET_TEST_RING);
	for (uint32_t i = 0; i < 200; i++) {
		uint64_t slot = i % 8 * 1536ULL;

		net_test_post(&t, 0, slot, 1536);
		frame[SPEC_HEADER] = (uint8_t)i;
		while (send(t.host[0], frame, sizeof(frame), 0) < 0)
			sched_yield();
		wait_used(0);
		assert_int_equal(*net_test_ram(&t, slot + SPEC_HEADER), (uint8_t)i);
		net_test_send(&t, 0, NET_TEST_FRAMES, LONGER + i, whole, false);
		wait_used(1);
		assert_int_equal(take_longer(), LONGER + i);
		virtio_net_mac(t.net, mac);
		assert_int_equal(net_test_counters(&t).tx_frames, i + 1);
		if (i % 16 != 0)
			continue;
		assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
		assert_round_trip(ops(), t.v, t.v);
		virtio_pci_resumed(t.v);
		assert_announced();
	}
	virtio_pci_free(t.v);
	fake_machine_check_empty(&t.machine);
	loop_thread_free(thread);
	close_fdp(&t.host[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_at_a_freeze),
		cmocka_unit_test(test_buffers_are_given_back),
		cmocka_unit_test(test_sent_while_frozen),
		cmocka_unit_test(test_announced),
		cmocka_unit_test(test_settings_travel),
		cmocka_unit_test(test_limits_travel),
		cmocka_unit_test(test_thawed),
		cmocka_unit_test(test_half_a_frame),
		cmocka_unit_test(test_every_state),
		cmocka_unit_test(test_state_is_checked),
		cmocka_unit_test(test_what_cannot_be),
		cmocka_unit_test(test_on_a_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
