/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/net/tap and link, with the kernel's own taps and bridges. */
#include "devices/virtio/net/link.h"
#include "devices/virtio/net/tap.h"
#include "tests/unit/net_host.h"

static bool there; /* a host to play with */

static struct virtio_net_config config_of(const char *tap)
{
	struct virtio_net_config c;

	virtio_net_config_init(&c);
	snprintf(c.tap, sizeof(c.tap), "%s", tap);
	return c;
}

static void assert_opens(const struct virtio_net_config *c, struct net_tap *tap)
{
	struct error err = ERROR_INIT;

	if (net_tap_open(c, tap, &err) < 0)
		fail_msg("%s", error_message(&err));
}

/* Refused with this code and words that have all of these in them. */
static void assert_fails(const struct virtio_net_config *c, int code, const char *what,
			 const char *way_out)
{
	struct error err = ERROR_INIT;
	struct net_tap tap;

	assert_int_equal(net_tap_open(c, &tap, &err), code);
	if (!strstr(err.message, what) || !strstr(err.message, way_out))
		fail_msg("says \"%s\"", err.message);
	if (c->tap[0])
		assert_non_null(strstr(err.message, c->tap));
}

static struct net_link link_of(const char *name)
{
	struct error err = ERROR_INIT;
	struct net_link link;

	if (net_link_query(name, &link, &err) < 0)
		fail_msg("%s", error_message(&err));
	return link;
}

static void test_missing(void **state _unused_)
{
	struct virtio_net_config c = config_of("hf0");
	struct net_link link;

	net_host_or_skip(there);
	assert_int_equal(net_link_query("hf0", &link, NULL), -ENODEV);
	assert_fails(&c, -ENODEV, "no such network interface", "ip tuntap add dev hf0 mode tap;");
	c.queues = 2;
	assert_fails(&c, -ENODEV, "no such network interface", "mode tap multi_queue");
	/* Looking for it made none. */
	assert_int_equal(net_link_query("hf0", &link, NULL), -ENODEV);
	/* And it is found when it is there. */
	net_host_persist_tap("hf0", IFF_MULTI_QUEUE, 1);
	{
		struct net_tap tap;

		assert_opens(&c, &tap);
		net_tap_close(&tap);
	}
	net_host_persist_tap("hf0", IFF_MULTI_QUEUE, 0);
}

static void test_persistent(void **state _unused_)
{
	struct virtio_net_config c = config_of("hf0");
	struct net_link link;
	struct net_tap tap, other;
	int size = 0;

	net_host_or_skip(there);
	net_host_persist_tap("hf0", 0, 1);
	link = link_of("hf0");
	assert_true(link.tap && link.persistent && !link.multi_queue && !link.up);
	assert_string_equal(link.kind, "tun");
	assert_string_equal(link.master, "");
	assert_int_equal(link.index, if_nametoindex("hf0"));
	c.mtu = 9000;
	assert_opens(&c, &tap);
	assert_int_equal(tap.count, 1);
	assert_string_equal(tap.name, "hf0");
	assert_int_equal(fcntl(tap.fds[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fcntl(tap.fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	/* virtio 1.2, 5.1.6: num_buffers is always there. */
	assert_int_equal(ioctl(tap.fds[0], TUNGETVNETHDRSZ, &size), 0);
	assert_int_equal(size, 12);
	link = link_of("hf0");
	assert_true(link.up);
	assert_int_equal(link.mtu, 9000);
	assert_int_equal(net_tap_check_reopen(&tap, &c, NULL), 0);
	/* One process at a time. */
	assert_fails(&c, -EBUSY, "in use by another process", "or use another tap");
	net_tap_close(&tap);
	assert_opens(&c, &other);
	net_tap_close(&other);
	net_host_persist_tap("hf0", 0, 0);
	assert_int_equal(net_link_query("hf0", &link, NULL), -ENODEV);
}

static void test_offloads(void **state _unused_)
{
	struct virtio_net_config c = config_of("hf0");
	struct error err = ERROR_INIT;
	struct net_tap tap;

	net_host_or_skip(there);
	net_host_persist_tap("hf0", 0, 1);
	assert_opens(&c, &tap);
	assert_int_equal(net_tap_set_offload(
				 &tap, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN, &err),
			 0);
	assert_int_equal(net_tap_set_offload(&tap, 0, &err), 0);
	/* Segments without checksums cannot be. */
	assert_true(net_tap_set_offload(&tap, TUN_F_TSO4, &err) < 0);
	assert_non_null(strstr(err.message, "hf0"));
	net_tap_close(&tap);
	net_host_persist_tap("hf0", 0, 0);
}

static void test_queues(void **state _unused_)
{
	struct virtio_net_config c = config_of("hf0");
	struct net_tap tap;

	net_host_or_skip(there);
	net_host_persist_tap("hf0", 0, 1);
	c.queues = 2;
	assert_fails(&c, -EINVAL, "made for one queue", "multi_queue");
	net_host_persist_tap("hf0", 0, 0);
	net_host_persist_tap("hf0", IFF_MULTI_QUEUE, 1);
	for (c.queues = 1; c.queues <= NET_PAIRS_MAX; c.queues++) {
		assert_opens(&c, &tap);
		assert_int_equal(tap.count, c.queues);
		for (unsigned int i = 0; i < tap.count; i++) {
			/* Off, off again, and on again. */
			assert_int_equal(net_tap_use_queue(&tap, i, false, NULL), 0);
			assert_int_equal(net_tap_use_queue(&tap, i, false, NULL), 0);
			assert_int_equal(net_tap_use_queue(&tap, i, true, NULL), 0);
			assert_int_equal(net_tap_use_queue(&tap, i, true, NULL), 0);
		}
		net_tap_close(&tap);
	}
	net_host_persist_tap("hf0", IFF_MULTI_QUEUE, 0);
}

static void test_another_kind(void **state _unused_)
{
	struct virtio_net_config c = config_of("lo");

	net_host_or_skip(there);
	assert_fails(&c, -EINVAL, "is no tap", "");
	net_host_bridge("hfbr", true);
	c = config_of("hfbr");
	assert_fails(&c, -EINVAL, "is no tap but of the kind bridge", "");
	net_host_bridge("hfbr", false);
}

static void test_bridge(void **state _unused_)
{
	struct virtio_net_config c = config_of("hf0");
	struct error err = ERROR_INIT;
	char bridge[NET_NAME_MAX + 1];
	struct net_link link;
	struct net_tap tap;

	net_host_or_skip(there);
	snprintf(c.bridge, sizeof(c.bridge), "hfbr");
	assert_fails(&c, -ENODEV, "there is no bridge hfbr", "ip link add hfbr type bridge");
	assert_int_equal(net_link_query("hf0", &link, NULL), -ENODEV);
	net_host_bridge("hfbr", true);
	/* Made, since a bridge was named; and gone with it. */
	assert_opens(&c, &tap);
	link = link_of("hf0");
	assert_true(link.up && link.tap && !link.persistent);
	assert_string_equal(link.master, "hfbr");
	assert_int_equal(net_tap_bridge(&tap, bridge, NULL), 0);
	assert_string_equal(bridge, "hfbr");
	assert_int_equal(net_tap_check_reopen(&tap, &c, NULL), 0);
	net_tap_close(&tap);
	assert_int_equal(net_link_query("hf0", &link, NULL), -ENODEV);
	/* One that is there, in no bridge and then in the right one. */
	net_host_persist_tap("hf0", 0, 1);
	for (unsigned int i = 0; i < 2; i++) {
		assert_opens(&c, &tap);
		assert_string_equal(link_of("hf0").master, "hfbr");
		net_tap_close(&tap);
	}
	/* In another one: that is somebody's wish. */
	net_host_bridge("hfbr2", true);
	snprintf(c.bridge, sizeof(c.bridge), "hfbr2");
	assert_fails(&c, -EBUSY, "is in hfbr and not in hfbr2", "");
	snprintf(c.bridge, sizeof(c.bridge), "lo");
	assert_fails(&c, -EINVAL, "is no bridge", "");
	/* Taken out of it while the VM runs. */
	snprintf(c.bridge, sizeof(c.bridge), "hfbr");
	assert_opens(&c, &tap);
	net_host_bridge("hfbr", false);
	assert_int_equal(net_tap_check_reopen(&tap, &c, &err), -EBUSY);
	assert_non_null(strstr(err.message, "ip link set hf0 master hfbr"));
	net_tap_close(&tap);
	net_host_persist_tap("hf0", 0, 0);
	net_host_bridge("hfbr2", false);
}

/* A descriptor that somebody else has opened. */
static void test_passed(void **state _unused_)
{
	struct virtio_net_config c;
	struct error err = ERROR_INIT;
	struct net_tap tap;
	int first, second, null = open("/dev/null", O_RDWR | O_CLOEXEC);

	net_host_or_skip(there);
	virtio_net_config_init(&c);
	c.fd_count = 1;
	c.fds[0] = null;
	assert_fails(&c, -EINVAL, "is no tap", "");
	c.fds[0] = first = net_host_open_tap("hf0", 0);
	assert_fails(&c, -EINVAL, "IFF_VNET_HDR", "");
	close(first);
	c.fds[0] = first = net_host_open_tap("hf0", IFF_VNET_HDR | IFF_MULTI_QUEUE);
	second = net_host_open_tap("hf0", IFF_VNET_HDR | IFF_MULTI_QUEUE);
	assert_opens(&c, &tap);
	assert_string_equal(tap.name, "hf0");
	assert_true(tap.fds[0] != first);
	/* Nobody makes it again. */
	assert_int_equal(net_tap_check_reopen(&tap, &c, &err), -ENODEV);
	assert_non_null(strstr(err.message, "make it persistent"));
	net_tap_close(&tap);
	c.fd_count = 2;
	c.queues = 2;
	c.fds[1] = second;
	assert_opens(&c, &tap);
	assert_int_equal(tap.count, 2);
	net_tap_close(&tap);
	close(second);
	c.fds[1] = second = net_host_open_tap("hf1", IFF_VNET_HDR);
	assert_fails(&c, -EINVAL, "is of the tap hf1, not of hf0", "");
	close(first);
	close(second);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing),	 cmocka_unit_test(test_persistent),
		cmocka_unit_test(test_offloads), cmocka_unit_test(test_queues),
		cmocka_unit_test(test_bridge),	 cmocka_unit_test(test_another_kind),
		cmocka_unit_test(test_passed),
	};

	there = net_host_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
