/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/net with the kernel's own tap and bridge: what fakes cannot tell. */
#include <linux/rtnetlink.h>

#include "tests/unit/net_host.h"
#include "tests/unit/net_test.h"

static struct net_test t;
static bool there;
static int wire; /* a packet socket at the tap */

#define SIZE 100

static void make_card(void)
{
	struct error err = ERROR_INIT;

	if (virtio_net_new(&t.config, "vm", &t.net, &err) < 0 ||
	    virtio_pci_new(&virtio_net_ops, t.net, t.loop, &t.machine.attach, &t.v, &err) < 0)
		fail_msg("%s", error_message(&err));
}

/* The host's own frames (for IPv6) come in between. */
static bool take_from_wire(uint8_t *frame, uint16_t ethertype, ssize_t *ret_size)
{
	for (unsigned int i = 0; i < 1000; i++) {
		*ret_size = recv(wire, frame, 65536, 0);
		if (*ret_size > 14 && (frame[12] << 8 | frame[13]) == ethertype)
			return true;
		loop_settle(t.loop);
	}
	return false;
}

static void start(unsigned int queues, uint64_t features)
{
	net_test_init(&t);
	t.config.queues = (uint16_t)queues;
	snprintf(t.config.tap, sizeof(t.config.tap), "hf0");
	snprintf(t.config.bridge, sizeof(t.config.bridge), "hfbr");
	net_host_bridge("hfbr", true);
	make_card();
	net_test_drive(&t, features);
	wire = net_host_listen("hfbr");
}

static void end(void)
{
	close(wire);
	net_test_end(&t);
	net_host_bridge("hfbr", false);
}

/* A frame of a kind that nobody on the host listens to. */
static void fill(uint8_t *frame, uint32_t seed)
{
	memset(frame, 0xff, 6);
	memset(frame + 6, 0x02, 6);
	frame[12] = 0x88;
	frame[13] = 0xb5; /* IEEE 802: for experiments */
	for (uint32_t i = 14; i < SIZE; i++)
		frame[i] = net_test_byte(seed, i);
}

static void send_frame(uint32_t seed)
{
	static const uint32_t whole[] = {0};
	uint8_t *at = net_test_ram(&t, NET_TEST_FRAMES);

	memset(at, 0, SPEC_HEADER);
	fill(at + SPEC_HEADER, seed);
	net_test_send(&t, 0, NET_TEST_FRAMES, SIZE, whole, false);
	loop_settle(t.loop);
}

static void test_both_ways(void **state _unused_)
{
	uint8_t frame[65536], expected[SIZE];
	ssize_t size;
	uint16_t id;
	uint32_t len;

	net_host_or_skip(there);
	for (unsigned int queues = 1; queues <= 3; queues++) {
		start(queues, NET_TEST_USUAL | NET_TEST_OFFLOADS | (queues > 1 ? SPEC_F_MQ : 0));
		send_frame(queues);
		fill(expected, queues);
		assert_true(take_from_wire(frame, 0x88b5, &size));
		assert_int_equal(size, SIZE);
		assert_memory_equal(frame, expected, SIZE);
		/* From the bridge: its own frames, if there are any, come first. */
		for (unsigned int k = 0; k < 20; k++)
			net_test_post(&t, 0, k * 1536, 1536);
		fill(expected, 77);
		assert_int_equal(send(wire, expected, SIZE, 0), SIZE);
		do {
			assert_true(net_test_used(&t, 0, &id, &len));
		} while (len != SPEC_HEADER + SIZE ||
			 memcmp(net_test_ram(&t, id * 1536ULL + SPEC_HEADER), expected, SIZE) != 0);
		assert_int_equal(net_test_ram(&t, id * 1536ULL)[SPEC_H_NUM_BUFFERS], 1);
		assert_false(net_test_stopped(&t));
		end();
	}
}

/* The tap is deleted under the card. */
static void test_deleted(void **state _unused_)
{
	struct error err = ERROR_INIT;

	net_host_or_skip(there);
	net_host_persist_tap("hf0", 0, 1);
	start(1, NET_TEST_USUAL);
	/* More than the host's own frames take. */
	for (unsigned int k = 0; k < 20; k++)
		net_test_post(&t, 0, k * 1536, 1536);
	loop_settle(t.loop);
	assert_int_equal(net_test_status(&t), SPEC_LINK_UP);
	assert_int_equal(ioctl(t.net->tap.fds[0], TUNSETPERSIST, 0), 0);
	{
		/* RTM_DELLINK of linux/rtnetlink.h, by index. */
		struct {
			struct nlmsghdr header;
			struct ifinfomsg info;
		} request = {{sizeof(request), RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0},
			     {.ifi_index = (int)if_nametoindex("hf0")}};
		int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

		assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
		close(fd);
	}
	loop_settle(t.loop);
	assert_int_equal(net_test_status(&t), 0);
	assert_int_equal(virtio_net_check_update(t.net, &err), -ENODEV);
	assert_non_null(strstr(err.message, "tap hf0: is gone"));
	assert_null(t.net->pairs[0].source);
	end();
}

/* A new tap of the same name in the same bridge, as after a kexec; the bridge hears of the guest.
 */
static void test_update(void **state _unused_)
{
	struct error err = ERROR_INIT;
	uint8_t frame[65536], mac[6];
	struct saved s;
	ssize_t size;

	net_host_or_skip(there);
	start(1, NET_TEST_USUAL | NET_TEST_OFFLOADS);
	assert_int_equal(virtio_net_check_update(t.net, NULL), 0);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	s = device_save(virtio_pci_state_ops(t.v), t.v);
	virtio_pci_free(t.v);
	make_card();
	assert_int_equal(device_load(virtio_pci_state_ops(t.v), t.v, &s, STATE_APPLY, &err), 0);
	t.d.pci = virtio_pci_function(t.v);
	assert_round_trip(virtio_pci_state_ops(t.v), t.v, t.v);
	virtio_pci_resumed(t.v);
	virtio_net_mac(t.net, mac);
	assert_true(take_from_wire(frame, 0x8035, &size));
	assert_int_equal(size, 60);
	assert_memory_equal(frame + 6, mac, 6);
	assert_int_equal(net_test_counters(&t).announced, 1);
	/* Outside of the bridge it is not the same. */
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	virtio_pci_free(t.v);
	t.config.bridge[0] = '\0';
	net_host_persist_tap("hf0", 0, 1);
	make_card();
	assert_true(device_load(virtio_pci_state_ops(t.v), t.v, &s, STATE_CHECK, &err) < 0);
	assert_non_null(strstr(err.message, "was in hfbr and is in none now"));
	assert_non_null(strstr(err.message, "ip link set hf0 master hfbr"));
	saved_free(&s);
	assert_int_equal(ioctl(t.net->tap.fds[0], TUNSETPERSIST, 0), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_update),
	};

	there = net_host_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
