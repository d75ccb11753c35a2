/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/net/config: what --net and its JSON mean, and what is said about mistakes. */
#include <stdio.h>

#include "devices/virtio/net/config.h"
#include "tests/unit/device_test.h"

/* IEEE 802, 8.4: the first octet's two lowest bits. */
#define SPEC_MAC_GROUP 1
#define SPEC_MAC_LOCAL 2

static int parse(const char *text, struct virtio_net_config *ret, struct error *err)
{
	struct problems problems = {0};
	json_t *json = json_stringn_nocheck(text, strlen(text));

	virtio_net_config_read(json, "net[0]", ret, &problems);
	json_decref(json);
	return problems_result(&problems, err);
}

static void assert_parses(const char *text, struct virtio_net_config *ret)
{
	struct error err = ERROR_INIT;

	if (parse(text, ret, &err) < 0)
		fail_msg("%s: %s", text, error_message(&err));
}

static void test_defaults(void **state _unused_)
{
	struct virtio_net_config c;

	assert_parses("tap=tap0", &c);
	assert_string_equal(c.tap, "tap0");
	assert_string_equal(c.id, "");
	assert_string_equal(c.bridge, "");
	assert_int_equal(c.fd_count, 0);
	assert_false(c.has_mac);
	assert_int_equal(c.mtu, 0);
	assert_int_equal(c.queues, 1);
	assert_int_equal(c.queue_size, 256);
	assert_true(c.offload);
	assert_int_equal(c.slot, 0);
	assert_int_equal(c.vhost, NET_VHOST_AUTO);
	assert_int_equal(c.rx_limits.bandwidth.size, 0);
	assert_int_equal(c.tx_limits.ops.size, 0);
}

static const char everything[] =
	"id=wan,tap=vm-web1.0,bridge=br0,mac=52:54:00:AB:cd:0e,mtu=9000,queues=4,size=1024,"
	"offload=off,slot=27,rx_bw_size=1000,rx_bw_one_time_burst=2K,rx_bw_refill_time=100,"
	"tx_ops_size=50,tx_ops_one_time_burst=5,tx_ops_refill_time=1000";

static void test_everything(void **state _unused_)
{
	static const uint8_t mac[] = {0x52, 0x54, 0, 0xab, 0xcd, 0x0e};
	struct virtio_net_config c;

	assert_parses(everything, &c);
	assert_string_equal(c.id, "wan");
	assert_string_equal(c.tap, "vm-web1.0");
	assert_string_equal(c.bridge, "br0");
	assert_true(c.has_mac);
	assert_memory_equal(c.mac, mac, sizeof(mac));
	assert_int_equal(c.mtu, 9000);
	assert_int_equal(c.queues, 4);
	assert_int_equal(c.queue_size, 1024);
	assert_false(c.offload);
	assert_int_equal(c.slot, 27);
	assert_int_equal(c.rx_limits.bandwidth.size, 1000);
	assert_int_equal(c.rx_limits.bandwidth.one_time_burst, 2048);
	assert_int_equal(c.rx_limits.bandwidth.refill_ms, 100);
	assert_int_equal(c.rx_limits.ops.size, 0);
	assert_int_equal(c.tx_limits.ops.size, 50);
	assert_int_equal(c.tx_limits.ops.one_time_burst, 5);
	assert_int_equal(c.tx_limits.ops.refill_ms, 1000);
	assert_int_equal(c.tx_limits.bandwidth.size, 0);
}

/* Text, object, and object again: the same. */
static void test_json(void **state _unused_)
{
	static const char *const texts[] = {everything, "tap=x", "tap=x,vhost=on",
					    "tap=x,vhost=off"};

	for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
		struct virtio_net_config a, b;
		struct problems problems = {0};
		json_t *json;

		assert_parses(texts[i], &a);
		json = virtio_net_config_to_json(&a);
		virtio_net_config_read(json, "net[0]", &b, &problems);
		assert_int_equal(problems.count, 0);
		assert_memory_equal(&a, &b, sizeof(a));
		json_decref(json);
	}
}

/* Descriptors that are open; they are of this process and never in JSON. */
static void test_fds(void **state _unused_)
{
	struct virtio_net_config c;
	struct problems problems = {0};
	char text[64];
	json_t *json;

	assert_parses("fd=0", &c);
	assert_int_equal(c.fd_count, 1);
	assert_int_equal(c.fds[0], 0);
	assert_int_equal(c.queues, 1);
	assert_parses("fd=1:2,queues=2", &c);
	assert_int_equal(c.fd_count, 2);
	assert_int_equal(c.fds[1], 2);
	assert_parses("fd=1:2:0", &c);
	assert_int_equal(c.queues, 3);
	snprintf(c.tap, sizeof(c.tap), "tap7");
	json = virtio_net_config_to_json(&c);
	assert_null(json_object_get(json, "fd"));
	virtio_net_config_read(json, "net[0]", &c, &problems);
	assert_int_equal(problems.count, 0);
	assert_string_equal(c.tap, "tap7");
	assert_int_equal(c.queues, 3);
	assert_int_equal(c.fd_count, 0);
	json_decref(json);
	snprintf(text, sizeof(text), "fd=%d", 999999);
	assert_int_equal(parse(text, &c, NULL), -EINVAL);
}

static void test_mistakes(void **state _unused_)
{
	static const struct {
		const char *text, *names;
	} wrong[] = {
		{"", "net[0].tap: missing"},
		{"mac=02:00:00:00:00:01", "net[0].tap: missing"},
		{"tap=", "net[0].tap: \"\" is no name"},
		{"tap=a/b", "net[0].tap"},
		{"tap=tap%d", "net[0].tap"},
		{"tap=..", "net[0].tap"},
		{"tap=all", "net[0].tap"},
		{"tap=tap0,bridge=default", "net[0].bridge"},
		{"tap=0123456789abcdef", "net[0].tap: too long"},
		{"tap=x,tap=y", "net[0].tap: given twice"},
		{"tap=x,bridge=", "net[0].bridge"},
		{"tap=x,fd=0", "tap or fd, not both"},
		{"fd=0:1,queues=1", "net[0].fd: 2 for 1 pairs"},
		{"fd=x", "net[0].fd"},
		{"tap=x,mac=02:00:00:00:00", "net[0].mac"},
		{"tap=x,mac=02:00:00:00:00:0g", "net[0].mac"},
		{"tap=x,mac=02-00-00-00-00-01", "net[0].mac"},
		{"tap=x,mac=01:00:00:00:00:01", "net[0].mac"}, /* of a group */
		{"tap=x,mac=00:00:00:00:00:00", "net[0].mac"},
		{"tap=x,mtu=67", "net[0].mtu"},
		{"tap=x,mtu=65522", "net[0].mtu"},
		{"tap=x,queues=0", "net[0].queues"},
		{"tap=x,queues=9", "net[0].queues"},
		{"tap=x,size=8", "net[0].size"},
		{"tap=x,size=2048", "net[0].size"},
		{"tap=x,size=48", "net[0].size: must be a power of two"},
		{"tap=x,offload=maybe", "net[0].offload: must be on or off"},
		{"tap=x,vhost=maybe", "net[0].vhost: must be on or off"},
		{"tap=x,vhost=on,rx_ops_size=5,rx_ops_refill_time=10",
		 "net[0].vhost: only the VMM can keep rate limits: use vhost=off"},
		{"tap=x,slot=28", "net[0].slot"}, /* fixed ones begin there */
		{"tap=x,slot=0", "net[0].slot"},
		{"tap=x,vhost_user=on", "net[0].vhost_user: unknown key"},
		{"tap=x,bw_size=10", "net[0].bw_size: unknown key"},
		{"tap=x,rx_bw_size=10", "net[0].rx_rate_limiter_config.bandwidth"},
		{"tap=x,tx_ops_refill_time=10", "net[0].tx_rate_limiter_config.ops"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct virtio_net_config c;
		struct error err = ERROR_INIT;

		assert_int_equal(parse(wrong[i].text, &c, &err), -EINVAL);
		if (!strstr(err.message, wrong[i].names))
			fail_msg("%s: says \"%s\"", wrong[i].text, err.message);
	}
}

static void test_wrong_json(void **state _unused_)
{
	static const char *const wrong[] = {"7",
					    "[]",
					    "{}",
					    "{\"tap\": 7}",
					    "{\"tap\": \"x\", \"offload\": \"on\"}",
					    "{\"tap\": \"x\\u0000y\"}",
					    "{\"tap\": \"x\", \"mac\": 7}",
					    "{\"fd\": [\"0\"]}",
					    "{\"fd\": []}",
					    "{\"fd\": [0, 0, 0, 0, 0, 0, 0, 0, 0]}",
					    "{\"tap\": \"x\", \"socket\": \"y\"}"};

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		json_t *json = json_loads(wrong[i], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		struct problems problems = {0};
		struct virtio_net_config c;
		struct error err = ERROR_INIT;

		assert_non_null(json);
		virtio_net_config_read(json, "net[3]", &c, &problems);
		assert_int_equal(problems_result(&problems, &err), -EINVAL);
		assert_non_null(strstr(err.message, "net[3]"));
		json_decref(json);
	}
}

/* The same for the same names, another for others, and an address that nobody else has sold. */
static void test_chosen_mac(void **state _unused_)
{
	static const char *const names[][2] = {{"web1", "net0"}, {"web1", "net1"}, {"web2", "net0"},
					       {"web", "1net0"}, {"web1n", "et0"}, {"a", ""}};
	uint8_t macs[ARRAY_SIZE(names)][NET_MAC_SIZE], again[NET_MAC_SIZE];

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		net_mac_choose(names[i][0], names[i][1], macs[i]);
		net_mac_choose(names[i][0], names[i][1], again);
		assert_memory_equal(macs[i], again, sizeof(again));
		assert_int_equal(macs[i][0] & (SPEC_MAC_GROUP | SPEC_MAC_LOCAL), SPEC_MAC_LOCAL);
		for (unsigned int k = 0; k < i; k++)
			assert_memory_not_equal(macs[i], macs[k], sizeof(again));
	}
}

/* A guest knows its card by it: a new version of the VMM must come to the same. */
static void test_chosen_mac_stays(void **state _unused_)
{
	uint8_t mac[NET_MAC_SIZE];
	char text[NET_MAC_TEXT_SIZE];

	net_mac_choose("web1", "net0", mac);
	net_mac_format(mac, text);
	assert_string_equal(text, "aa:88:b3:90:90:bb");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_everything),
		cmocka_unit_test(test_json),	   cmocka_unit_test(test_fds),
		cmocka_unit_test(test_mistakes),   cmocka_unit_test(test_wrong_json),
		cmocka_unit_test(test_chosen_mac), cmocka_unit_test(test_chosen_mac_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
