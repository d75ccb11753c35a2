/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/net: frames for the guest (virtio 1.2, 5.1.6.3 and 5.1.6.4). */
#include "tests/unit/net_test.h"

static struct net_test t;

static const uint64_t rings[] = {0, SPEC_F_EVENT_IDX, SPEC_F_RING_PACKED,
				 SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX};

/* Buffers of the same size, one after the other. */
static void post(unsigned int count, uint32_t size)
{
	for (unsigned int i = 0; i < count; i++)
		net_test_post(&t, 0, (uint64_t)i * size, size);
	loop_settle(t.loop);
}

static unsigned int num_buffers(uint64_t offset)
{
	const uint8_t *at = net_test_ram(&t, offset);

	return at[SPEC_H_NUM_BUFFERS] | at[SPEC_H_NUM_BUFFERS + 1] << 8;
}

/* The next frame, in the buffers that post() has made, from number *at on: whole and right. */
static void assert_received(unsigned int *at, uint32_t buffer, uint32_t seed, uint32_t size)
{
	unsigned int count = (size + SPEC_HEADER + buffer - 1) / buffer;
	uint32_t left = size + SPEC_HEADER, len, done = 0;
	uint64_t start = (uint64_t)*at * buffer;
	uint16_t id;

	loop_settle(t.loop);
	assert_int_equal(num_buffers(start), count);
	for (unsigned int i = 0; i < count; i++) {
		assert_true(net_test_used(&t, 0, &id, &len));
		assert_int_equal(len, MIN_OF(left, buffer));
		left -= len;
	}
	for (; done < size; done++)
		assert_int_equal(*net_test_ram(&t, start + SPEC_HEADER + done),
				 net_test_byte(seed, done));
	*at += count;
}

static void assert_none(void)
{
	uint16_t id;
	uint32_t len;

	assert_false(net_test_used(&t, 0, &id, &len));
}

static void test_merged(void **state _unused_)
{
	static const uint32_t sizes[] = {14, 60, 1514, 1600, 5000, 20000};

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		unsigned int at = 0;

		net_test_start(&t, NET_TEST_USUAL | NET_TEST_OFFLOADS | rings[i]);
		post(NET_TEST_RING, 1536);
		for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++) {
			net_test_arrive(&t, 0, s, sizes[s], 0, 0);
			assert_received(&at, 1536, s, sizes[s]);
		}
		assert_none();
		assert_int_equal(net_test_counters(&t).rx_frames, ARRAY_SIZE(sizes));
		assert_int_equal(net_test_counters(&t).rx_bytes,
				 14 + 60 + 1514 + 1600 + 5000 + 20000);
		assert_int_equal(net_test_counters(&t).rx_dropped, 0);
		assert_true(driver_interrupt_count(&t.d, 1) > 0);
		net_test_end(&t);
	}
}

/* Small buffers, of which one frame needs more than there are pieces at once: header alone, too. */
static void test_tiny_buffers(void **state _unused_)
{
	unsigned int at = 0;

	net_test_start(&t, NET_TEST_USUAL);
	post(NET_TEST_RING, SPEC_HEADER);
	net_test_arrive(&t, 0, 5, 200, 0, 0);
	assert_received(&at, SPEC_HEADER, 5, 200);
	net_test_end(&t);
}

/* A buffer in pieces, cut where it hurts. */
static void test_pieces(void **state _unused_)
{
	uint16_t id;
	uint32_t len;

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		net_test_start(&t, SPEC_F_CTRL_VQ | rings[i]);
		{
			struct driver_seg segs[] = {{t.data, 5, true},
						    {t.data + 0x100, 9, true},
						    {t.data + 0x200, 2000, true}};

			driver_add(&t.d.queues[0], segs, 3, false);
			driver_kick(&t.d, 0);
		}
		net_test_arrive(&t, 0, 3, 100, 0, 0);
		assert_true(net_test_used(&t, 0, &id, &len));
		assert_int_equal(len, SPEC_HEADER + 100);
		/* Without MRG_RXBUF, too: 5.1.6.4.1. Byte 10 of the header. */
		assert_int_equal(*net_test_ram(&t, 0x105), 1);
		assert_int_equal(*net_test_ram(&t, 0x107), net_test_byte(3, 0));
		assert_int_equal(*net_test_ram(&t, 0x108), net_test_byte(3, 1));
		for (unsigned int b = 2; b < 100; b++)
			assert_int_equal(*net_test_ram(&t, 0x200 + b - 2), net_test_byte(3, b));
		net_test_end(&t);
	}
}

/* A frame that does not fit into one buffer of a driver that merges none is lost; the buffer is
 * not. */
static void test_too_large_for_one(void **state _unused_)
{
	unsigned int at = 0;

	net_test_start(&t, SPEC_F_CTRL_VQ);
	post(2, 1536);
	net_test_arrive(&t, 0, 1, 1600, 0, 0);
	assert_none();
	assert_int_equal(net_test_counters(&t).rx_dropped, 1);
	net_test_arrive(&t, 0, 2, 1524, 0, 0);
	assert_received(&at, 1536, 2, 1524);
	net_test_end(&t);
}

/* The frames wait in the tap until there are buffers: none is lost, and they stay in order. */
static void test_no_buffers(void **state _unused_)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		unsigned int at = 0;

		net_test_start(&t, NET_TEST_USUAL | rings[i]);
		for (uint32_t k = 0; k < 5; k++)
			net_test_arrive(&t, 0, k, 100 + k, 0, 0);
		assert_none();
		assert_null(t.net->pairs[0].source); /* nobody turns in circles */
		post(3, 1536);
		for (uint32_t k = 0; k < 3; k++)
			assert_received(&at, 1536, k, 100 + k);
		assert_none();
		net_test_post(&t, 0, 3 * 1536, 1536);
		net_test_post(&t, 0, 4 * 1536, 1536);
		for (uint32_t k = 3; k < 5; k++)
			assert_received(&at, 1536, k, 100 + k);
		assert_none();
		assert_int_equal(net_test_counters(&t).rx_dropped, 0);
		net_test_end(&t);
	}
}

/* One that was read before there was room for all of it: it is put together when there is. */
static void test_waits_for_more(void **state _unused_)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		unsigned int at = 0;

		net_test_start(&t, NET_TEST_USUAL | NET_TEST_OFFLOADS | rings[i]);
		post(2, 1000);
		net_test_arrive(&t, 0, 1, 5000, 0, 0);
		net_test_arrive(&t, 0, 2, 60, 0, 0);
		assert_none();
		for (unsigned int k = 2; k < 5; k++) {
			net_test_post(&t, 0, k * 1000, 1000);
			assert_none();
		}
		net_test_post(&t, 0, 5000, 1000);
		net_test_post(&t, 0, 6000, 1000);
		assert_received(&at, 1000, 1, 5000);
		assert_received(&at, 1000, 2, 60);
		assert_none();
		assert_int_equal(net_test_counters(&t).rx_dropped, 0);
		net_test_end(&t);
	}
}

/* All that the driver can give is not enough: it is dropped, and the others come through. */
static void test_ring_is_too_small(void **state _unused_)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		unsigned int at = 0;

		net_test_start(&t, NET_TEST_USUAL | NET_TEST_OFFLOADS | rings[i]);
		post(NET_TEST_RING, 256);
		net_test_arrive(&t, 0, 1, NET_TEST_RING * 256, 0, 0);
		net_test_arrive(&t, 0, 2, 300, 0, 0);
		assert_received(&at, 256, 2, 300);
		assert_none();
		assert_int_equal(net_test_counters(&t).rx_dropped, 1);
		net_test_end(&t);
	}
}

/* What the driver did not negotiate it does not get. */
static void test_headers(void **state _unused_)
{
	static const struct {
		uint64_t features;
		uint8_t flags, type;
		int in; /* flags that the guest sees; -1: dropped */
	} all[] = {
		{0, 0, 0, 0},
		{0, SPEC_DATA_VALID, 0, 0},
		{0, SPEC_NEEDS_CSUM, 0, -1},
		{0, 0, SPEC_GSO_TCPV4, -1},
		{SPEC_F_GUEST_CSUM, SPEC_NEEDS_CSUM, 0, SPEC_NEEDS_CSUM},
		{SPEC_F_GUEST_CSUM, SPEC_DATA_VALID, 0, SPEC_DATA_VALID},
		{SPEC_F_GUEST_CSUM, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV4, -1},
		{SPEC_F_GUEST_CSUM | SPEC_F_GUEST_TSO4, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV4,
		 SPEC_NEEDS_CSUM},
		{SPEC_F_GUEST_CSUM | SPEC_F_GUEST_TSO4, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV6, -1},
		{SPEC_F_GUEST_CSUM | SPEC_F_GUEST_TSO6, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV6,
		 SPEC_NEEDS_CSUM},
		{SPEC_F_GUEST_CSUM | SPEC_F_GUEST_TSO4, SPEC_NEEDS_CSUM,
		 SPEC_GSO_TCPV4 | SPEC_GSO_ECN, -1},
		{SPEC_F_GUEST_CSUM | SPEC_F_GUEST_TSO4 | SPEC_F_GUEST_ECN, SPEC_NEEDS_CSUM,
		 SPEC_GSO_TCPV4 | SPEC_GSO_ECN, SPEC_NEEDS_CSUM},
		{SPEC_F_GUEST_CSUM | SPEC_F_GUEST_TSO4, SPEC_NEEDS_CSUM, SPEC_GSO_UDP, -1},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		unsigned int at = 0;

		net_test_start(&t, NET_TEST_USUAL | all[i].features);
		post(4, 1536);
		net_test_arrive(&t, 0, i, 90, all[i].flags, all[i].type);
		if (all[i].in >= 0) {
			assert_received(&at, 1536, i, 90);
			assert_int_equal(*net_test_ram(&t, SPEC_H_FLAGS), all[i].in);
			assert_int_equal(*net_test_ram(&t, SPEC_H_GSO_TYPE), all[i].type);
		}
		assert_none();
		assert_int_equal(net_test_counters(&t).rx_dropped, all[i].in < 0);
		net_test_end(&t);
	}
}

/* The same after the driver has changed its mind (5.1.6.5.6). */
static void test_offloads_switched_off(void **state _unused_)
{
	static const uint64_t none = 0;
	unsigned int at = 0;

	net_test_start(&t, NET_TEST_USUAL | NET_TEST_OFFLOADS);
	post(4, 1536);
	net_test_arrive(&t, 0, 1, 90, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV4);
	assert_received(&at, 1536, 1, 90);
	assert_int_equal(net_test_command(&t, 5, 0, &none, 8), SPEC_OK);
	net_test_arrive(&t, 0, 2, 90, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV4);
	assert_none();
	net_test_end(&t);
}

/* Buffers that the rules forbid (5.1.6.3.1). */
static void test_bad_buffers(void **state _unused_)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct driver_seg seg;

		net_test_start(&t, NET_TEST_USUAL);
		seg = (struct driver_seg){t.data, i ? 64 : SPEC_HEADER - 1, !i};
		post(1, 256);
		driver_add(&t.d.queues[0], &seg, 1, false);
		driver_kick(&t.d, 0);
		net_test_arrive(&t, 0, 1, 60, 0, 0);
		assert_true(net_test_stopped(&t));
		assert_int_equal(virtqueue_in_flight(virtio_queue(t.v, 0)), 0);
		assert_null(t.net->pairs[0].source);
		net_test_end(&t);
	}
}

static void test_limit(void **state _unused_)
{
	unsigned int at = 0;

	net_test_init(&t);
	t.config.rx_limits.bandwidth =
		(struct token_bucket_config){.size = 150, .refill_ms = TOKEN_BUCKET_REFILL_MAX};
	net_test_device(&t);
	net_test_drive(&t, NET_TEST_USUAL);
	post(4, 256);
	/* On credit, if need be; then it is over. */
	for (uint32_t i = 0; i < 3; i++)
		net_test_arrive(&t, 0, i, 100, 0, 0);
	assert_received(&at, 256, 0, 100);
	assert_received(&at, 256, 1, 100);
	assert_none();
	assert_null(t.net->pairs[0].source);
	assert_true(net_test_counters(&t).rx_throttled > 0);
	t.net->rx_limit.limiter.bandwidth.level = 1;
	net_rx_limit_expired(t.net);
	assert_received(&at, 256, 2, 100);
	net_test_end(&t);
}

/* The tap goes away: the guest is told that the link is down, and nothing else happens to it. */
static void test_tap_goes_away(void **state _unused_)
{
	unsigned int before;
	uint16_t id;
	uint32_t len;

	net_test_start(&t, NET_TEST_USUAL);
	post(4, 256);
	before = driver_interrupt_count(&t.d, 0);
	close_fdp(&t.host[0]);
	loop_settle(t.loop);
	assert_int_equal(net_test_status(&t), 0);
	assert_int_equal(driver_interrupt_count(&t.d, 0), before + 1);
	assert_null(t.net->pairs[0].source);
	net_test_send_filled(&t, 0, 1, 60, 0, 0);
	assert_true(net_test_used(&t, 1, &id, &len));
	assert_int_equal(net_test_counters(&t).tx_dropped, 1);
	assert_false(net_test_stopped(&t));
	net_test_end(&t);
}

/* 7, 6.2.3 of PCI 3.0: without it nothing is written, and with it again all goes on. */
static void test_bus_master(void **state _unused_)
{
	unsigned int at = 0;

	net_test_start(&t, NET_TEST_USUAL);
	post(4, 256);
	net_test_arrive(&t, 0, 1, 60, 0, 0);
	assert_received(&at, 256, 1, 60);
	assert_true(virtqueue_in_flight(virtio_queue(t.v, 0)) > 0);
	pci_config_write(t.d.pci, 4, 3, 2);
	loop_settle(t.loop);
	assert_int_equal(virtqueue_in_flight(virtio_queue(t.v, 0)), 0);
	net_test_arrive(&t, 0, 2, 60, 0, 0);
	assert_none();
	pci_config_write(t.d.pci, 4, 7, 2);
	assert_received(&at, 256, 2, 60);
	assert_int_equal(net_test_counters(&t).rx_frames, 2);
	net_test_end(&t);
}

/* A reset of the queue, then of the device: what was held is forgotten, frames come again. */
static void test_resets(void **state _unused_)
{
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t features =
			NET_TEST_USUAL | SPEC_F_RING_RESET | (i ? SPEC_F_RING_PACKED : 0);
		unsigned int at = 0;

		net_test_start(&t, features);
		post(4, 256);
		net_test_arrive(&t, 0, 1, 60, 0, 0);
		driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 0, 2);
		driver_set_common(&t.d, SPEC_C_QUEUE_RESET, 1, 2);
		loop_settle(t.loop);
		assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_RESET, 2), 0);
		net_test_arrive(&t, 0, 2, 60, 0, 0);
		driver_enable_queue(&t.d, 0, NET_TEST_RING);
		post(4, 256);
		assert_received(&at, 256, 2, 60);
		driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
		loop_settle(t.loop);
		assert_null(t.net->pairs[0].source);
		net_test_drive(&t, features);
		at = 0;
		post(4, 256);
		net_test_arrive(&t, 0, 3, 60, 0, 0);
		assert_received(&at, 256, 3, 60);
		net_test_end(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merged),
		cmocka_unit_test(test_tiny_buffers),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_too_large_for_one),
		cmocka_unit_test(test_no_buffers),
		cmocka_unit_test(test_waits_for_more),
		cmocka_unit_test(test_ring_is_too_small),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_offloads_switched_off),
		cmocka_unit_test(test_bad_buffers),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_tap_goes_away),
		cmocka_unit_test(test_bus_master),
		cmocka_unit_test(test_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
