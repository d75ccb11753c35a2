/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/net: what it offers, frames from the guest, commands. Expectations are from virtio
 * 1.2, 5.1. */
#include "tests/unit/net_test.h"

static struct net_test t;

/* Every kind of ring. */
static const uint64_t rings[] = {0, SPEC_F_EVENT_IDX, SPEC_F_RING_PACKED,
				 SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX, SPEC_F_INDIRECT};

static uint32_t config_at(unsigned int offset, unsigned int size)
{
	return (uint32_t)fake_mmio_read(&t.machine, t.d.config + offset, size);
}

static void test_what_it_is(void **state _unused_)
{
	static const uint8_t mac[] = {0x52, 0x54, 0, 1, 2, 3};
	uint8_t read[6], chosen[6];

	net_test_init(&t);
	memcpy(t.config.mac, mac, sizeof(mac));
	t.config.has_mac = true;
	t.config.mtu = 1400;
	t.config.queues = 3;
	net_test_device(&t);
	net_test_drive(&t, NET_TEST_USUAL);
	assert_int_equal(pci_config_read(t.d.pci, 0, 2), 0x1af4);
	assert_int_equal(pci_config_read(t.d.pci, 2, 2), 0x1040 + SPEC_NET_ID);
	assert_int_equal(pci_config_read(t.d.pci, 10, 2), 0x0200);
	assert_int_equal(driver_common(&t.d, SPEC_C_NUM_QUEUES, 2), 7);
	for (unsigned int i = 0; i < 6; i++)
		read[i] = (uint8_t)config_at(SPEC_CFG_MAC + i, 1);
	assert_memory_equal(read, mac, sizeof(mac));
	assert_int_equal(config_at(SPEC_CFG_STATUS, 2), SPEC_LINK_UP);
	assert_int_equal(config_at(SPEC_CFG_MAX_PAIRS, 2), 3);
	assert_int_equal(config_at(SPEC_CFG_MTU, 2), 1400);
	/* Read-only (5.1.4). */
	fake_mmio_write(&t.machine, t.d.config + SPEC_CFG_MAC, 0xff, 1);
	assert_int_equal(config_at(SPEC_CFG_MAC, 1), 0x52);
	net_test_end(&t);
	/* Without an address: the one that goes with the names. */
	net_test_start(&t, NET_TEST_USUAL);
	net_mac_choose("vm", "net0", chosen);
	virtio_net_mac(t.net, read);
	assert_memory_equal(read, chosen, sizeof(chosen));
	assert_string_equal(virtio_net_tap_name(t.net), "tap0");
	net_test_end(&t);
}

static void test_features(void **state _unused_)
{
	static const uint64_t always = NET_TEST_USUAL | SPEC_F_INDIRECT | SPEC_F_EVENT_IDX |
				       SPEC_F_VERSION_1 | SPEC_F_RING_PACKED | SPEC_F_RING_RESET;

	net_test_start(&t, 0);
	assert_int_equal(driver_offered(&t.d), always | NET_TEST_OFFLOADS);
	net_test_end(&t);
	net_test_init(&t);
	t.config.offload = false;
	t.config.mtu = 1500;
	t.config.queues = 2;
	net_test_device(&t);
	net_test_drive(&t, 0);
	assert_int_equal(driver_offered(&t.d), always | SPEC_F_MTU | SPEC_F_MQ);
	net_test_end(&t);
}

/* 5.1.3.1: what requires what. */
static void test_feature_rules(void **state _unused_)
{
	static const struct {
		uint64_t features, missing;
	} rules[] = {
		{SPEC_F_GUEST_TSO4, SPEC_F_GUEST_CSUM},
		{SPEC_F_GUEST_TSO6, SPEC_F_GUEST_CSUM},
		{SPEC_F_GUEST_ECN | SPEC_F_GUEST_CSUM, SPEC_F_GUEST_TSO4},
		{SPEC_F_GUEST_ECN | SPEC_F_GUEST_CSUM, SPEC_F_GUEST_TSO6},
		{SPEC_F_HOST_TSO4, SPEC_F_CSUM},
		{SPEC_F_HOST_TSO6, SPEC_F_CSUM},
		{SPEC_F_HOST_ECN | SPEC_F_CSUM, SPEC_F_HOST_TSO4},
		{SPEC_F_HOST_ECN | SPEC_F_CSUM, SPEC_F_HOST_TSO6},
		{SPEC_F_CTRL_RX, SPEC_F_CTRL_VQ},
		{SPEC_F_GUEST_ANNOUNCE, SPEC_F_CTRL_VQ},
		{SPEC_F_MQ, SPEC_F_CTRL_VQ},
		{SPEC_F_CTRL_MAC_ADDR, SPEC_F_CTRL_VQ},
	};

	net_test_init(&t);
	t.config.queues = 2;
	net_test_device(&t);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), NET_TEST_BASE);
	for (unsigned int i = 0; i < ARRAY_SIZE(rules); i++) {
		assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | rules[i].features));
		assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1 | rules[i].features |
							   rules[i].missing));
	}
	/* Never offered. */
	assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | SPEC_F_GUEST_UFO));
	assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | SPEC_F_HOST_UFO));
	assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | SPEC_F_CTRL_VQ | SPEC_F_CTRL_VLAN));
	net_test_end(&t);
}

/* ---- From the guest. ---- */

static void fill_frame(uint32_t seed, uint32_t size)
{
	uint8_t *at = net_test_ram(&t, NET_TEST_FRAMES);

	memset(at, 0, SPEC_HEADER);
	for (uint32_t i = 0; i < size; i++)
		at[SPEC_HEADER + i] = net_test_byte(seed, i);
}

static void assert_taken(unsigned int pair, uint32_t seed, uint32_t size)
{
	assert_int_equal(net_test_take(&t, pair), size);
	for (uint32_t i = 0; i < size; i++)
		assert_int_equal(t.frame[SPEC_HEADER + i], net_test_byte(seed, i));
}

/* A driver may cut header and frame as it likes (2.6.4). */
static void test_sends(void **state _unused_)
{
	static const uint32_t cuts[][4] = {{0},		  {12, 0}, {5, 7, 0}, {5, 9, 100, 0},
					   {12, 1, 1, 0}, {20, 0}};
	static const uint32_t sizes[] = {14, 60, 1514, 4000};
	uint32_t seed = 1, len;
	uint16_t id;

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		net_test_start(&t, NET_TEST_USUAL | rings[i]);
		for (unsigned int k = 0; k < ARRAY_SIZE(cuts); k++) {
			for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++) {
				fill_frame(++seed, sizes[s]);
				net_test_send(&t, 0, NET_TEST_FRAMES, sizes[s], cuts[k],
					      rings[i] & SPEC_F_INDIRECT);
				assert_true(net_test_used(&t, 1, &id, &len));
				assert_int_equal(len, 0);
				assert_taken(0, seed, sizes[s]);
				for (unsigned int b = 0; b < SPEC_HEADER; b++)
					assert_int_equal(t.frame[b], 0);
			}
		}
		assert_int_equal(net_test_take(&t, 0), -1);
		assert_int_equal(net_test_counters(&t).tx_frames, 24);
		assert_int_equal(net_test_counters(&t).tx_dropped, 0);
		assert_true(driver_interrupt_count(&t.d, 2) > 0);
		net_test_end(&t);
	}
}

/* The header says what was negotiated, and nothing else gets through. */
static void test_tx_headers(void **state _unused_)
{
	static const struct {
		uint64_t features;
		uint8_t flags, type;
		int out; /* flags that the host sees; -1: dropped */
	} all[] = {
		{0, 0, 0, 0},
		{0, SPEC_NEEDS_CSUM, 0, 0},
		{0, 0, SPEC_GSO_TCPV4, -1},
		{SPEC_F_CSUM, SPEC_NEEDS_CSUM | SPEC_DATA_VALID | 0x80, 0, SPEC_NEEDS_CSUM},
		{SPEC_F_CSUM, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV4, -1},
		{SPEC_F_CSUM | SPEC_F_HOST_TSO4, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV4, SPEC_NEEDS_CSUM},
		{SPEC_F_CSUM | SPEC_F_HOST_TSO4, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV6, -1},
		{SPEC_F_CSUM | SPEC_F_HOST_TSO6, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV6, SPEC_NEEDS_CSUM},
		{SPEC_F_CSUM | SPEC_F_HOST_TSO4, SPEC_NEEDS_CSUM, SPEC_GSO_TCPV4 | SPEC_GSO_ECN,
		 -1},
		{SPEC_F_CSUM | SPEC_F_HOST_TSO4 | SPEC_F_HOST_ECN, SPEC_NEEDS_CSUM,
		 SPEC_GSO_TCPV4 | SPEC_GSO_ECN, SPEC_NEEDS_CSUM},
		{SPEC_F_CSUM | SPEC_F_HOST_TSO4, SPEC_NEEDS_CSUM, SPEC_GSO_UDP, -1},
		{SPEC_F_CSUM | SPEC_F_HOST_TSO4, SPEC_NEEDS_CSUM, 0x7f, -1},
	};
	uint16_t id;
	uint32_t len;

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		net_test_start(&t, NET_TEST_USUAL | all[i].features);
		net_test_send_filled(&t, 0, i, 100, all[i].flags, all[i].type);
		assert_true(net_test_used(&t, 1, &id, &len));
		assert_int_equal(net_test_take(&t, 0), all[i].out < 0 ? -1 : 100);
		assert_int_equal(net_test_counters(&t).tx_dropped, all[i].out < 0);
		if (all[i].out >= 0) {
			assert_int_equal(t.frame[SPEC_H_FLAGS], all[i].out);
			assert_int_equal(t.frame[SPEC_H_GSO_TYPE], all[i].type);
		}
		net_test_end(&t);
	}
}

static void test_tx_sizes(void **state _unused_)
{
	static const uint32_t whole[] = {0};
	uint16_t id;
	uint32_t len;

	net_test_start(&t, NET_TEST_USUAL);
	/* Less than an Ethernet header; as much as IP can be, with a tag; more than that. */
	net_test_send_filled(&t, 0, 1, 13, 0, 0);
	assert_int_equal(net_test_take(&t, 0), -1);
	net_test_send_filled(&t, 0, 2, 65535 + 18, 0, 0);
	assert_taken(0, 2, 65535 + 18);
	net_test_send_filled(&t, 0, 3, 65535 + 19, 0, 0);
	assert_int_equal(net_test_take(&t, 0), -1);
	assert_int_equal(net_test_counters(&t).tx_dropped, 2);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(net_test_used(&t, 1, &id, &len));
	assert_false(net_test_stopped(&t));
	/* Not even a header. */
	{
		struct driver_seg seg = {t.data, SPEC_HEADER - 1, false};

		driver_add(&t.d.queues[1], &seg, 1, false);
		driver_kick(&t.d, 1);
		loop_settle(t.loop);
	}
	assert_true(net_test_stopped(&t));
	net_test_send(&t, 0, NET_TEST_FRAMES, 60, whole, false);
	loop_settle(t.loop);
	assert_int_equal(net_test_take(&t, 0), -1);
	net_test_end(&t);
}

/* What the tap does not take now it is offered again, in order and once. */
static void test_tap_is_full(void **state _unused_)
{
	unsigned int sent = 0, size = 0;
	socklen_t n = sizeof(size);
	uint16_t id;
	uint32_t len;

	net_test_start(&t, NET_TEST_USUAL);
	assert_int_equal(getsockopt(t.net->tap.fds[0], SOL_SOCKET, SO_SNDBUF, &size, &n), 0);
	while (!t.net->pairs[0].tx.blocked) {
		/* One place for all: the ones that wait are the same. */
		net_test_send_filled(&t, 0, 7, 2000, 0, 0);
		sent++;
		if (sent < NET_TEST_RING)
			continue;
		while (driver_get_used(&t.d.queues[1], &id, &len)) {
		}
		assert_true(sent < size);
	}
	net_test_send_filled(&t, 0, 7, 2000, 0, 0);
	sent++;
	for (unsigned int i = 0; i < sent; i++) {
		assert_taken(0, 7, 2000);
		loop_settle(t.loop);
	}
	assert_int_equal(net_test_take(&t, 0), -1);
	assert_int_equal(net_test_counters(&t).tx_frames, sent);
	assert_false(t.net->pairs[0].tx.blocked);
	net_test_end(&t);
}

/* More at once than a turn of the loop takes: all of it goes, in turns to come. */
static void test_many(void **state _unused_)
{
	static const uint32_t whole[] = {0};
	unsigned int got = 0;
	uint16_t id;
	uint32_t len;

	net_test_init(&t);
	t.config.queue_size = 1024;
	net_test_device(&t);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), NET_TEST_BASE);
	driver_start(&t.d, NET_TEST_USUAL, 3, 512);
	loop_settle(t.loop);
	fill_frame(3, 14);
	for (unsigned int i = 0; i < 512; i++)
		net_test_send(&t, 0, NET_TEST_FRAMES, 14, whole, false);
	/* The host takes as fast as it can. */
	while (got < 512) {
		assert_int_equal(loop_run_once(t.loop, 0), 0);
		while (net_test_take(&t, 0) == 14)
			got++;
	}
	for (unsigned int i = 0; i < 512; i++)
		assert_true(net_test_used(&t, 1, &id, &len));
	net_test_end(&t);
}

static void test_tx_limit(void **state _unused_)
{
	uint16_t id;
	uint32_t len;

	net_test_init(&t);
	t.config.tx_limits.ops =
		(struct token_bucket_config){.size = 2, .refill_ms = TOKEN_BUCKET_REFILL_MAX};
	net_test_device(&t);
	net_test_drive(&t, NET_TEST_USUAL);
	for (unsigned int i = 0; i < 4; i++)
		net_test_send_filled(&t, 0, 9, 64, 0, 0);
	assert_taken(0, 9, 64);
	assert_taken(0, 9, 64);
	assert_int_equal(net_test_take(&t, 0), -1);
	assert_true(net_test_counters(&t).tx_throttled > 0);
	/* Time goes by. */
	t.net->tx_limit.limiter.ops.level = 2;
	net_tx_limit_expired(t.net);
	assert_taken(0, 9, 64);
	assert_taken(0, 9, 64);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(net_test_used(&t, 1, &id, &len));
	net_test_end(&t);
}

/* ---- Commands. ---- */

static void test_commands(void **state _unused_)
{
	static const uint8_t on = 1, two = 2, mac[] = {2, 4, 6, 8, 10, 12};
	/* One address of a station, two of groups. */
	static const uint8_t tables[] = {1, 0, 0, 0,	2, 0, 0, 0, 0, 1,    2, 0, 0,
					 0, 1, 0, 0x5e, 0, 0, 1, 1, 0, 0x5e, 0, 0, 2};
	static const uint8_t empty[8] = {0};
	static const uint8_t endless[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		net_test_start(&t, NET_TEST_USUAL | rings[i]);
		assert_int_equal(net_test_command(&t, 0, 0, &on, 1), SPEC_OK);
		assert_int_equal(net_test_command(&t, 0, 1, &on, 1), SPEC_OK);
		assert_int_equal(net_test_command(&t, 0, 0, &two, 1), SPEC_ERR);
		assert_int_equal(net_test_command(&t, 0, 0, &two, 0), SPEC_ERR);
		/* CTRL_RX_EXTRA was not offered. */
		assert_int_equal(net_test_command(&t, 0, 2, &on, 1), SPEC_ERR);
		assert_int_equal(net_test_command(&t, 1, 0, tables, sizeof(tables)), SPEC_OK);
		assert_int_equal(net_test_command(&t, 1, 0, empty, sizeof(empty)), SPEC_OK);
		assert_int_equal(net_test_command(&t, 1, 0, tables, sizeof(tables) - 1), SPEC_ERR);
		assert_int_equal(net_test_command(&t, 1, 0, endless, sizeof(endless)), SPEC_ERR);
		assert_int_equal(net_test_command(&t, 1, 1, mac, sizeof(mac)), SPEC_OK);
		for (unsigned int b = 0; b < 6; b++)
			assert_int_equal(config_at(SPEC_CFG_MAC + b, 1), mac[b]);
		assert_int_equal(net_test_command(&t, 1, 1, mac, 5), SPEC_ERR);
		assert_int_equal(net_test_command(&t, 3, 0, NULL, 0), SPEC_OK);
		/* VLANs, several queues and offloads were not negotiated, 77 is nothing. */
		assert_int_equal(net_test_command(&t, 2, 0, mac, 2), SPEC_ERR);
		assert_int_equal(net_test_command(&t, 4, 0, mac, 2), SPEC_ERR);
		assert_int_equal(net_test_command(&t, 5, 0, empty, 8), SPEC_ERR);
		assert_int_equal(net_test_command(&t, 77, 0, mac, 2), SPEC_ERR);
		assert_false(net_test_stopped(&t));
		net_test_end(&t);
	}
}

/* A reset gives the card its own address back. */
static void test_mac_after_reset(void **state _unused_)
{
	static const uint8_t mac[] = {2, 4, 6, 8, 10, 12};
	uint8_t before[6], after[6];

	net_test_start(&t, NET_TEST_USUAL);
	virtio_net_mac(t.net, before);
	assert_int_equal(net_test_command(&t, 1, 1, mac, sizeof(mac)), SPEC_OK);
	virtio_net_mac(t.net, after);
	assert_memory_equal(after, mac, sizeof(mac));
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	virtio_net_mac(t.net, after);
	assert_memory_equal(after, before, sizeof(before));
	net_test_end(&t);
}

/* 5.1.6.5.6.1: bits of what was negotiated. */
static void test_offload_commands(void **state _unused_)
{
	const uint64_t all = SPEC_F_GUEST_CSUM | SPEC_F_GUEST_TSO4;
	const uint64_t good[] = {htole64(all), htole64(SPEC_F_GUEST_CSUM), 0};
	const uint64_t bad[] = {htole64(SPEC_F_GUEST_TSO6), htole64(1), htole64(1ULL << 63)};

	net_test_start(&t, NET_TEST_USUAL | SPEC_F_CTRL_GUEST_OFFLOADS | all);
	assert_int_equal(t.net->offloads, all);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(net_test_command(&t, 5, 0, &good[i], 8), SPEC_OK);
		assert_int_equal(t.net->offloads, le64toh(good[i]));
		assert_int_equal(net_test_command(&t, 5, 0, &bad[i], 8), SPEC_ERR);
		assert_int_equal(t.net->offloads, le64toh(good[i]));
	}
	assert_int_equal(net_test_command(&t, 5, 0, &good[0], 7), SPEC_ERR);
	net_test_end(&t);
}

static void test_command_without_room(void **state _unused_)
{
	struct driver_seg seg;

	net_test_start(&t, NET_TEST_USUAL);
	seg = (struct driver_seg){t.data, 3, false};
	driver_add(&t.d.queues[2], &seg, 1, false);
	driver_kick(&t.d, 2);
	loop_settle(t.loop);
	assert_true(net_test_stopped(&t));
	net_test_end(&t);
}

/* 5.1.6.5.5, and where the queue of commands is (5.1.2). */
static void test_pairs(void **state _unused_)
{
	static const uint8_t pairs[][2] = {{1, 0}, {2, 0}, {3, 0}, {0, 0}, {4, 0}, {1, 1}};
	uint16_t id;
	uint32_t len;

	net_test_init(&t);
	t.config.queues = 3;
	net_test_device(&t);
	net_test_drive(&t, NET_TEST_USUAL | SPEC_F_MQ);
	net_test_post(&t, 1, 0, 2048);
	/* Not before it was asked for. */
	net_test_arrive(&t, 1, 1, 60, 0, 0);
	assert_false(net_test_used(&t, 2, &id, &len));
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(net_test_command(&t, 4, 0, pairs[i], 2), SPEC_OK);
		assert_int_equal(t.net->pairs_used, i + 1);
	}
	for (unsigned int i = 3; i < ARRAY_SIZE(pairs); i++)
		assert_int_equal(net_test_command(&t, 4, 0, pairs[i], 2), SPEC_ERR);
	assert_int_equal(t.net->pairs_used, 3);
	assert_true(net_test_used(&t, 2, &id, &len));
	assert_int_equal(len, SPEC_HEADER + 60);
	net_test_send_filled(&t, 2, 5, 80, 0, 0);
	assert_taken(2, 5, 80);
	/* Back to one: what the others hold is the driver's to take back. */
	net_test_post(&t, 1, 0, 2048);
	loop_settle(t.loop);
	assert_int_equal(net_test_command(&t, 4, 0, pairs[0], 2), SPEC_OK);
	assert_int_equal(virtqueue_in_flight(virtio_queue(t.v, 2)), 0);
	net_test_end(&t);
	/* Without MQ the third queue is that of commands. */
	net_test_init(&t);
	t.config.queues = 3;
	net_test_device(&t);
	net_test_drive(&t, NET_TEST_USUAL);
	assert_int_equal(net_test_command(&t, 3, 0, NULL, 0), SPEC_OK);
	net_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_it_is),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_feature_rules),
		cmocka_unit_test(test_sends),
		cmocka_unit_test(test_tx_headers),
		cmocka_unit_test(test_tx_sizes),
		cmocka_unit_test(test_tap_is_full),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_tx_limit),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_mac_after_reset),
		cmocka_unit_test(test_offload_commands),
		cmocka_unit_test(test_command_without_room),
		cmocka_unit_test(test_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
