/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/net on vhost-net, which is played (vhost_fake.h): what the kernel is given and
 * when, what stays ours, who serves the card, and an update with it and without. */
#include <linux/vhost.h>

#include "base/clock.h"
#include "tests/unit/net_test.h"
#include "tests/unit/vhost_fake.h"

#define RX 0U
#define TX 1U
/* linux/vhost.h: no tap. */
#define SPEC_NO_BACKEND -1
#define SPEC_CMD_MEMORY 2
#define SPEC_CMD_MASTER 4
#define NOWHERE		"/nonexistent/vhost-net"
#define USUAL		(NET_TEST_USUAL | SPEC_F_EVENT_IDX)

static struct net_test t;

static const struct state_ops *ops(void)
{
	return virtio_pci_state_ops(t.v);
}

static uint64_t soon(void)
{
	return clock_monotonic_ns() + 30 * NSEC_PER_SEC;
}

static void init(unsigned int queues)
{
	vhost_fake_init();
	vhost_fake.features = VHOST_FAKE_NET_FEATURES;
	net_test_init(&t);
	t.config.vhost = NET_VHOST_ON;
	t.config.queues = (uint16_t)queues;
}

static void start(unsigned int queues, uint64_t features)
{
	init(queues);
	net_test_device(&t);
	net_test_drive(&t, features);
}

static void assert_runs(bool runs)
{
	loop_settle(t.loop);
	for (unsigned int i = RX; i <= TX; i++) {
		assert_int_equal(vhost_fake.rings[i].backend >= 0, runs);
		assert_int_equal(vhost_fake.rings[i].kick >= 0, runs);
	}
}

/* A frame each way through whoever serves the card now. */
static void assert_both_ways(uint32_t seed)
{
	uint16_t id;
	uint32_t len;

	while (net_test_take(&t, 0) >= 0) {
	}
	net_test_post(&t, 0, 0, 1536);
	net_test_arrive(&t, 0, seed, 60, 0, 0);
	net_test_send_filled(&t, 0, seed, 70, 0, 0);
	if (t.net->vhost) {
		/* Nobody but the kernel has touched either. */
		assert_false(net_test_used(&t, RX, &id, &len));
		assert_false(net_test_used(&t, TX, &id, &len));
		assert_int_equal(net_test_take(&t, 0), -1);
		assert_int_equal(vhost_fake_serve(RX, 0), 1);
		assert_int_equal(vhost_fake_serve(TX, 0), 1);
	}
	assert_true(net_test_used(&t, RX, &id, &len));
	assert_int_equal(len, SPEC_HEADER + 60);
	assert_int_equal(net_test_ram(&t, 0)[SPEC_H_NUM_BUFFERS], 1);
	assert_int_equal(net_test_ram(&t, 0)[SPEC_HEADER + 59], net_test_byte(seed, 59));
	assert_true(net_test_used(&t, TX, &id, &len));
	assert_int_equal(net_test_take(&t, 0), 70);
	assert_int_equal(t.frame[SPEC_HEADER + 69], net_test_byte(seed, 69));
}

static uint64_t offered(void)
{
	uint64_t features;

	net_test_device(&t);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), NET_TEST_BASE);
	features = driver_offered(&t.d);
	net_test_end(&t);
	return features;
}

/* No ring that vhost cannot walk; where the kernel has no vhost after an update, the same. */
static void test_features(void **state _unused_)
{
	const uint64_t without = SPEC_F_RING_PACKED | SPEC_F_RING_RESET;
	uint64_t user, kernel;

	init(1);
	t.config.vhost = NET_VHOST_OFF;
	user = offered();
	assert_true((user & without) == without);
	init(1);
	kernel = offered();
	assert_int_equal(vhost_fake.count, 1);
	assert_true(kernel == (user & ~without));
	init(1);
	t.vhost_device = NOWHERE;
	assert_true(offered() == kernel);
	/* A kernel that lacks what is always offered is of no use. */
	init(1);
	vhost_fake.features &= ~SPEC_F_MRG_RXBUF;
	net_test_device(&t);
	assert_false(t.net->vhost);
	net_test_end(&t);
}

static void test_frames(void **state _unused_)
{
	start(1, USUAL | NET_TEST_OFFLOADS);
	assert_runs(true);
	/* The header is the tap's: 27 is VHOST_NET_F_VIRTIO_NET_HDR. */
	assert_true(vhost_fake.acked == (SPEC_F_VERSION_1 | SPEC_F_EVENT_IDX | SPEC_F_MRG_RXBUF));
	for (unsigned int i = RX; i <= TX; i++) {
		assert_int_equal(vhost_fake.rings[i].backend, t.net->tap.fds[0]);
		assert_true(vhost_fake_kicked(i));
	}
	assert_int_equal(t.net->pairs[0].events, 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_both_ways(i);
	assert_true(net_test_counters(&t).vhost);
	assert_int_equal(net_test_counters(&t).rx_frames, 0);
	/* Commands are ours. */
	assert_int_equal(net_test_command(&t, 3, 0, NULL, 0), SPEC_OK);
	assert_false(net_test_stopped(&t));
	net_test_end(&t);
}

/* A pair is the kernel's while the driver uses it: both queues, or none. */
static void test_pairs(void **state _unused_)
{
	static const uint8_t one[] = {1, 0}, three[] = {3, 0};

	start(3, USUAL | SPEC_F_MQ);
	assert_int_equal(vhost_fake.count, 3);
	for (unsigned int i = 0; i < 3; i++) {
		vhost_fake_show(i);
		assert_runs(i == 0);
	}
	assert_int_equal(net_test_command(&t, 4, 0, three, sizeof(three)), SPEC_OK);
	for (unsigned int i = 0; i < 3; i++) {
		vhost_fake_show(i);
		assert_runs(true);
		assert_int_equal(vhost_fake.rings[TX].backend, t.net->tap.fds[i]);
	}
	assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
	net_test_move(&t);
	virtio_pci_resumed(t.v);
	for (unsigned int i = 3; i < 6; i++) {
		vhost_fake_show(i);
		assert_runs(true);
	}
	assert_int_equal(net_test_command(&t, 4, 0, one, sizeof(one)), SPEC_OK);
	for (unsigned int i = 3; i < 6; i++) {
		vhost_fake_show(i);
		assert_runs(i == 3);
	}
	net_test_end(&t);
}

static void test_one_queue_only(void **state _unused_)
{
	init(1);
	net_test_device(&t);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), NET_TEST_BASE);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1 | SPEC_F_STATUS));
	driver_enable_queue(&t.d, TX, NET_TEST_RING);
	driver_ok(&t.d);
	assert_runs(false);
	driver_kick(&t.d, TX);
	assert_runs(false);
	driver_enable_queue(&t.d, RX, NET_TEST_RING);
	assert_runs(true);
	assert_true(vhost_fake_kicked(TX));
	net_test_end(&t);
}

/* Bus mastering, a reset, another vector. */
static void test_stops(void **state _unused_)
{
	int call;

	start(1, USUAL);
	pci_config_write(t.d.pci, 4, SPEC_CMD_MEMORY, 2);
	assert_runs(false);
	pci_config_write(t.d.pci, 4, SPEC_CMD_MEMORY | SPEC_CMD_MASTER, 2);
	assert_runs(true);
	assert_both_ways(1);
	call = vhost_fake.rings[TX].call;
	assert_true(call >= 0);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	assert_runs(false);
	net_test_drive(&t, USUAL);
	assert_runs(true);
	assert_both_ways(2);
	net_test_end(&t);
}

/* What the kernel cannot go on with, and what it refuses, is the driver's to mend by a reset. */
static void test_errors(void **state _unused_)
{
	static const unsigned long refused[] = {VHOST_SET_VRING_NUM, VHOST_SET_VRING_ADDR,
						VHOST_SET_VRING_CALL, VHOST_NET_SET_BACKEND,
						VHOST_SET_FEATURES};

	for (unsigned int i = RX; i <= TX; i++) {
		start(1, USUAL);
		vhost_fake_fail(i);
		assert_runs(false);
		assert_true(net_test_stopped(&t));
		driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
		loop_settle(t.loop);
		net_test_drive(&t, USUAL);
		assert_runs(true);
		net_test_end(&t);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++) {
		/* The second ring, too. */
		for (unsigned int after = 0; after < (refused[i] == VHOST_SET_FEATURES ? 1 : 2);
		     after++) {
			init(1);
			net_test_device(&t);
			vhost_fake.refuse = refused[i];
			vhost_fake.refuse_errno = EFAULT;
			vhost_fake.refuse_after = after;
			net_test_drive(&t, USUAL);
			assert_runs(false);
			assert_true(net_test_stopped(&t));
			net_test_end(&t);
		}
	}
}

/* Frozen the kernel has let go; what it left is gone on with, here or in the next process. */
static void test_update(void **state _unused_)
{
	uint16_t id;
	uint32_t len;

	start(1, USUAL);
	for (uint32_t round = 0; round < 3; round++) {
		assert_both_ways(round);
		assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
		assert_runs(false);
		assert_false(t.net->frames_left);
		if (round == 0)
			virtio_pci_thaw(t.v);
		else
			net_test_move(&t);
		if (round > 0) {
			assert_runs(false);
			virtio_pci_resumed(t.v);
			/* The announcement goes past the kernel. */
			assert_int_equal(net_test_take(&t, 0), 60);
			assert_int_equal(net_test_status(&t), SPEC_LINK_UP | SPEC_ANNOUNCE);
		}
		assert_runs(true);
		assert_true(vhost_fake_kicked(TX));
	}
	/* What the kernel has not come to yet is delivered, if there are buffers for it. */
	net_test_post(&t, 0, 0, 1536);
	net_test_arrive(&t, 0, 7, 60, 0, 0);
	net_test_arrive(&t, 0, 8, 60, 0, 0);
	assert_false(net_test_used(&t, RX, &id, &len));
	assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
	assert_true(net_test_used(&t, RX, &id, &len));
	assert_int_equal(len, SPEC_HEADER + 60);
	assert_int_equal(net_test_ram(&t, 0)[SPEC_HEADER + 59], net_test_byte(7, 59));
	assert_false(net_test_used(&t, RX, &id, &len));
	assert_true(t.net->frames_left);
	net_test_move(&t);
	virtio_pci_resumed(t.v);
	assert_both_ways(9);
	/* A frame that the guest had no buffer for is told of. */
	net_test_arrive(&t, 0, 1, 60, 0, 0);
	assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
	assert_true(t.net->frames_left);
	net_test_end(&t);
}

/* A kernel without vhost-net after one that had it, and back: the rings are the same. */
static void test_fallback(void **state _unused_)
{
	start(1, USUAL);
	for (uint32_t round = 0; round < 4; round++) {
		assert_int_equal(t.net->vhost, round % 2 == 0);
		assert_both_ways(round);
		assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
		t.vhost_device = round % 2 ? "/dev/null" : NOWHERE;
		net_test_move(&t);
		virtio_pci_resumed(t.v);
	}
	assert_false(net_test_stopped(&t));
	net_test_end(&t);
}

static void test_state_is_checked(void **state _unused_)
{
	start(1, USUAL);
	assert_both_ways(1);
	assert_int_equal(virtio_pci_drain(t.v, soon(), NULL), 0);
	net_test_move(&t);
	driver_torture_state(ops(), t.v);
	virtio_pci_resumed(t.v);
	assert_both_ways(2);
	net_test_end(&t);
}

/* The tap goes away while the kernel has it. */
static void test_lost(void **state _unused_)
{
	start(1, USUAL);
	net_vhost_look(t.net);
	assert_int_equal(net_test_status(&t), SPEC_LINK_UP);
	close_fdp(&t.host[0]);
	net_vhost_look(t.net);
	assert_int_equal(net_test_status(&t), 0);
	assert_runs(false);
	driver_kick(&t.d, TX);
	assert_runs(false);
	net_test_end(&t);
}

/* By the host and the limits, and once. */
static void test_decided(void **state _unused_)
{
	static const struct {
		enum net_vhost before, after;
		const char *device;
		bool limited;
	} cases[] = {
		{NET_VHOST_AUTO, NET_VHOST_ON, "/dev/null", false},
		{NET_VHOST_AUTO, NET_VHOST_OFF, "/dev/null", true},
		{NET_VHOST_AUTO, NET_VHOST_OFF, NOWHERE, false},
		{NET_VHOST_OFF, NET_VHOST_OFF, "/dev/null", false},
		{NET_VHOST_ON, NET_VHOST_ON, NOWHERE, false},
	};
	struct error err = ERROR_INIT;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct virtio_net_config c;

		vhost_fake_init();
		vhost_fake.features = VHOST_FAKE_NET_FEATURES;
		virtio_net_config_init(&c);
		c.vhost = cases[i].before;
		c.tx_limits.ops.size = cases[i].limited ? 5 : 0;
		virtio_net_decide_vhost(&c, cases[i].device);
		assert_int_equal(c.vhost, cases[i].after);
	}
	assert_int_equal(virtio_net_check_vhost("/dev/null", &err), 0);
	assert_int_equal(virtio_net_check_vhost(NOWHERE, &err), -ENOENT);
	assert_non_null(strstr(err.message, "modprobe vhost_net"));
	assert_non_null(strstr(err.message, "vhost=off"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_one_queue_only),
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_state_is_checked),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_decided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
