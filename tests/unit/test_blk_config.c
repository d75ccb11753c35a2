/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/blk/config: what --disk and its JSON mean, and what is said about mistakes. */
#include "devices/virtio/blk/config.h"
#include "tests/unit/device_test.h"

static void assert_parses(const char *text, struct virtio_blk_config *ret)
{
	struct error err = ERROR_INIT;

	if (virtio_blk_config_parse(text, ret, &err) < 0)
		fail_msg("%s: %s", text, error_message(&err));
}

static void test_defaults(void **state _unused_)
{
	struct virtio_blk_config c;

	assert_parses("path=/srv/a.img", &c);
	assert_string_equal(c.path, "/srv/a.img");
	assert_string_equal(c.id, "");
	assert_string_equal(c.serial, "");
	assert_false(c.readonly);
	assert_false(c.direct);
	assert_true(c.sparse);
	assert_true(c.lock);
	assert_false(c.disable_io_uring);
	assert_int_equal(c.num_queues, 1);
	assert_int_equal(c.queue_size, 128);
	assert_int_equal(c.limits.bandwidth.size, 0);
	assert_int_equal(c.limits.ops.size, 0);
}

static const char everything[] =
	"path=\"/srv/a,b.img\",readonly=on,direct=true,sparse=off,lock=false,"
	"disable_io_uring=on,num_queues=4,queue_size=256,serial=ABC 1,id=root,bw_size=1000,"
	"bw_one_time_burst=2K,bw_refill_time=100,ops_size=50,ops_one_time_burst=5,"
	"ops_refill_time=1000";

static void test_everything(void **state _unused_)
{
	struct virtio_blk_config c;

	assert_parses(everything, &c);
	assert_string_equal(c.path, "/srv/a,b.img");
	assert_string_equal(c.id, "root");
	assert_string_equal(c.serial, "ABC 1");
	assert_true(c.readonly);
	assert_true(c.direct);
	assert_false(c.sparse);
	assert_false(c.lock);
	assert_true(c.disable_io_uring);
	assert_int_equal(c.num_queues, 4);
	assert_int_equal(c.queue_size, 256);
	assert_int_equal(c.limits.bandwidth.size, 1000);
	assert_int_equal(c.limits.bandwidth.one_time_burst, 2048);
	assert_int_equal(c.limits.bandwidth.refill_ms, 100);
	assert_int_equal(c.limits.ops.size, 50);
	assert_int_equal(c.limits.ops.one_time_burst, 5);
	assert_int_equal(c.limits.ops.refill_ms, 1000);
}

/* Text, object, and object again: the same. */
static void test_json(void **state _unused_)
{
	static const char *const texts[] = {everything, "path=x"};

	for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
		struct virtio_blk_config a, b;
		struct problems problems = {0};
		json_t *json, *text = json_string(texts[i]);

		virtio_blk_config_read(text, "disks[0]", &a, &problems);
		json = virtio_blk_config_to_json(&a);
		virtio_blk_config_read(json, "disks[0]", &b, &problems);
		assert_int_equal(problems.count, 0);
		assert_memory_equal(&a, &b, sizeof(a));
		json_decref(json);
		json_decref(text);
	}
}

static void test_mistakes(void **state _unused_)
{
	static const struct {
		const char *text, *names;
	} wrong[] = {
		{"", "disk.path: missing"},
		{"readonly=on", "disk.path: missing"},
		{"path=", "disk.path: must not be empty"},
		{"path=x,path=y", "disk.path: given twice"},
		{"path=x,readonly=maybe", "disk.readonly: must be on or off, not \"maybe\""},
		{"path=x,num_queues=0", "disk.num_queues"},
		{"path=x,num_queues=33", "disk.num_queues"},
		{"path=x,num_queues=two", "disk.num_queues: must be a number, not \"two\""},
		{"path=x,queue_size=100", "disk.queue_size: must be a power of two"},
		{"path=x,queue_size=8", "disk.queue_size"},
		{"path=x,queue_size=2048", "disk.queue_size"},
		{"path=x,serial=123456789012345678901", "disk.serial"},
		{"path=x,serial=\xc3\xa4", "disk.serial: must be printable ASCII"},
		{"path=\xff", "disk.path: must be UTF-8"},
		{"path=x,vhost_user=on", "disk.vhost_user: unknown key"},
		{"path=x,direct", "\"direct\": must be key=value"},
		{"path=\"x", "a quote is not closed"},
		{"path=x,bw_size=10", "disk.rate_limiter_config.bandwidth"},
		{"path=x,ops_refill_time=10", "disk.rate_limiter_config.ops"},
		{"path=x,bw_size=99999999999999999999,bw_refill_time=1", "disk.bw_size"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct virtio_blk_config c;
		struct error err = ERROR_INIT;

		assert_int_equal(virtio_blk_config_parse(wrong[i].text, &c, &err), -EINVAL);
		if (!strstr(err.message, wrong[i].names))
			fail_msg("%s: says \"%s\"", wrong[i].text, err.message);
	}
}

static void test_wrong_json(void **state _unused_)
{
	static const char *const wrong[] = {"7",
					    "[]",
					    "{}",
					    "{\"path\": 7}",
					    "{\"path\": \"x\", \"readonly\": \"on\"}",
					    "{\"path\": \"x\\u0000y\"}",
					    "{\"path\": \"x\", \"socket\": \"y\"}"};

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		json_t *json = json_loads(wrong[i], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		struct problems problems = {0};
		struct virtio_blk_config c;
		struct error err = ERROR_INIT;

		assert_non_null(json);
		virtio_blk_config_read(json, "disks[3]", &c, &problems);
		assert_int_equal(problems_result(&problems, &err), -EINVAL);
		assert_non_null(strstr(err.message, "disks[3]"));
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_everything),
		cmocka_unit_test(test_json),	   cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_wrong_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
