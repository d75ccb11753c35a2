/* SPDX-License-Identifier: Apache-2.0 */
/* devices/rate_limiter: what gets through over time, bursts, state, and its configuration. */
#include "devices/rate_limiter.h"
#include "tests/unit/device_test.h"

#define SEC 1000000000ULL
#define T0  (77 * SEC)

static struct rate_limiter_config bytes_per_second(uint64_t size, uint64_t burst)
{
	return (struct rate_limiter_config){
		.bandwidth = {.size = size, .one_time_burst = burst, .refill_ms = 1000}};
}

static void test_unlimited(void **state _unused_)
{
	struct rate_limiter_config config = {0};
	struct rate_limiter rl;

	rate_limiter_init(&rl, &config, T0);
	assert_false(rate_limiter_enabled(&rl));
	for (unsigned int i = 0; i < 100; i++) {
		rate_limiter_take(&rl, UINT64_MAX, UINT64_MAX, T0);
		assert_int_equal(rate_limiter_wait_ns(&rl, T0), 0);
	}
}

/* Work of `chunk` bytes, whenever it is let through, for so many seconds: all that got through. */
static uint64_t run(struct rate_limiter *rl, uint64_t chunk, uint64_t ops, uint64_t seconds)
{
	uint64_t now = T0, end = T0 + seconds * SEC, total = 0;

	while (now < end) {
		uint64_t wait = rate_limiter_wait_ns(rl, now);

		if (wait == 0) {
			rate_limiter_take(rl, chunk, ops, now);
			total += chunk;
			continue;
		}
		now += wait;
	}
	return total;
}

static void test_rate_is_exact(void **state _unused_)
{
	static const uint64_t chunks[] = {1, 512, 4096, 999983, 100000000};
	struct rate_limiter_config config = bytes_per_second(1000000, 0);
	struct rate_limiter rl;

	for (unsigned int i = 0; i < ARRAY_SIZE(chunks); i++) {
		uint64_t seconds = 300, total;

		rate_limiter_init(&rl, &config, T0);
		total = run(&rl, chunks[i], 1, chunks[i] < 512 ? 3 : seconds);
		seconds = chunks[i] < 512 ? 3 : seconds;
		/* A full bucket at first, and one chunk on credit at the end. */
		assert_in_range(total, 1000000 * seconds, 1000000 * (seconds + 1) + chunks[i]);
	}
}

static void test_operations(void **state _unused_)
{
	struct rate_limiter_config config = {.ops = {.size = 10, .refill_ms = 100}};
	struct rate_limiter rl;

	rate_limiter_init(&rl, &config, T0);
	assert_true(rate_limiter_enabled(&rl));
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(rate_limiter_wait_ns(&rl, T0), 0);
		rate_limiter_take(&rl, 1ULL << 40, 1, T0);
	}
	/* One operation is earned in 10 ms. */
	assert_int_equal(rate_limiter_wait_ns(&rl, T0), 10000000);
	assert_int_equal(rate_limiter_wait_ns(&rl, T0 + 4000000), 6000000);
	assert_int_equal(rate_limiter_wait_ns(&rl, T0 + 10000000), 0);
	/* Never more than a bucket, however long nothing happened. */
	assert_int_equal(rate_limiter_wait_ns(&rl, T0 + 3600 * SEC), 0);
	rate_limiter_take(&rl, 0, 10, T0 + 3600 * SEC);
	assert_int_equal(rate_limiter_wait_ns(&rl, T0 + 3600 * SEC), 10000000);
}

/* The slower of the two counts. */
static void test_both(void **state _unused_)
{
	struct rate_limiter_config config = bytes_per_second(1000, 0);
	struct rate_limiter rl;

	config.ops = (struct token_bucket_config){.size = 1, .refill_ms = 5000};
	rate_limiter_init(&rl, &config, T0);
	rate_limiter_take(&rl, 2000, 1, T0);
	assert_int_equal(rate_limiter_wait_ns(&rl, T0), 5 * SEC);
	rate_limiter_init(&rl, &config, T0);
	rate_limiter_take(&rl, 10000, 1, T0);
	assert_int_equal(rate_limiter_wait_ns(&rl, T0), 9 * SEC + SEC / 1000);
}

static void test_burst_is_spent_once(void **state _unused_)
{
	struct rate_limiter_config config = bytes_per_second(100, 5000);
	struct rate_limiter rl;

	rate_limiter_init(&rl, &config, T0);
	rate_limiter_take(&rl, 5000, 1, T0);
	assert_int_equal(rate_limiter_wait_ns(&rl, T0), 0); /* the bucket is still full */
	rate_limiter_take(&rl, 100, 1, T0);
	assert_int_equal(rate_limiter_wait_ns(&rl, T0), SEC / 100);
	/* It does not come back. */
	rate_limiter_take(&rl, 200, 1, T0 + 100 * SEC);
	assert_int_equal(rate_limiter_wait_ns(&rl, T0 + 100 * SEC), SEC + SEC / 100);
}

/* Clocks that stand still or go back earn nothing and break nothing. */
static void test_strange_times(void **state _unused_)
{
	struct rate_limiter_config config = bytes_per_second(TOKEN_BUCKET_MAX, TOKEN_BUCKET_MAX);
	struct rate_limiter rl;

	config.bandwidth.refill_ms = TOKEN_BUCKET_REFILL_MAX;
	rate_limiter_init(&rl, &config, T0);
	for (unsigned int i = 0; i < 10000; i++)
		rate_limiter_take(&rl, UINT64_MAX, 1, T0 - i);
	assert_in_range(rate_limiter_wait_ns(&rl, T0), 1, 10 * 24 * 3600 * SEC);
	assert_int_equal(rate_limiter_wait_ns(&rl, UINT64_MAX), 0);
	assert_int_equal(rate_limiter_wait_ns(&rl, 0), 0);
}

/* ---- State. ---- */

static struct rate_limiter loaded;

static int save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	rate_limiter_save(obj, w);
	return 0;
}

static int load(void *obj, uint32_t version _unused_, struct state_reader *r, enum state_mode mode,
		struct error *err)
{
	struct rate_limiter *rl = obj;
	int ret;

	rate_limiter_load(rl, r, T0, &loaded);
	ret = state_reader_done(r, err);
	if (ret == 0 && mode == STATE_APPLY)
		*rl = loaded;
	return ret;
}

static const struct state_ops ops = {
	.name = "limiter", .version = 1, .min_version = 1, .save = save, .load = load};

static void test_state(void **state _unused_)
{
	struct rate_limiter_config config = bytes_per_second(1000, 300);
	static const struct {
		const char *name;
		uint64_t value;
	} wrong[] = {{"bandwidth-tokens", 1001},
		     {"bandwidth-tokens", 1ULL << 63},
		     {"bandwidth-burst", 301},
		     {"ops-tokens", 1},
		     {"ops-burst", UINT64_MAX}};
	struct rate_limiter a, b;

	rate_limiter_init(&a, &config, T0);
	rate_limiter_init(&b, &config, T0);
	rate_limiter_take(&a, 5200, 1, T0);
	assert_round_trip(&ops, &a, &b);
	/* The debt is still there: 3901 tokens until one is left. */
	assert_int_equal(rate_limiter_wait_ns(&b, T0), 3901 * (SEC / 1000));
	assert_structure_is_checked(&ops, &a, "");
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		uint64_t value = cpu_to_fdt64(wrong[i].value);

		assert_refuses_bytes(&ops, &a, wrong[i].name, &value, sizeof(value));
	}
}

/* ---- Configuration. ---- */

static int parse(const char *text, struct rate_limiter_config *ret, struct error *err)
{
	struct problems problems = {0};
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(json);
	rate_limiter_config_read(json, "net", ret, &problems);
	json_decref(json);
	return problems_result(&problems, err);
}

static void test_config(void **state _unused_)
{
	static const char *const wrong[] = {
		"{\"bandwidth\": {\"size\": 1000}}",
		"{\"bandwidth\": {\"refill_time\": 10}}",
		"{\"ops\": {\"one_time_burst\": 10}}",
		"{\"ops\": 10}",
		"[]",
		"{\"opps\": {\"size\": 10, \"refill_time\": 10}}",
		"{\"ops\": {\"size\": 10, \"refill_time\": 10, \"more\": 1}}",
		"{\"ops\": {\"size\": -1, \"refill_time\": 10}}",
		"{\"ops\": {\"size\": 10, \"refill_time\": 86400001}}",
	};
	struct rate_limiter_config a, b;
	struct problems problems = {0};
	json_t *json;

	assert_int_equal(
		parse("{\"bandwidth\": {\"size\": \"10M\", \"refill_time\": 100, "
		      "\"one_time_burst\": 5}, \"ops\": {\"size\": 7, \"refill_time\": 1}}",
		      &a, NULL),
		0);
	assert_int_equal(a.bandwidth.size, 10 << 20);
	assert_int_equal(a.bandwidth.refill_ms, 100);
	assert_int_equal(a.bandwidth.one_time_burst, 5);
	assert_int_equal(a.ops.size, 7);
	json = rate_limiter_config_to_json(&a);
	rate_limiter_config_read(json, "net", &b, &problems);
	assert_int_equal(problems.count, 0);
	assert_memory_equal(&a, &b, sizeof(a));
	json_decref(json);
	assert_int_equal(parse("{}", &a, NULL), 0);
	assert_null(rate_limiter_config_to_json(&a));
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct error err = ERROR_INIT;

		assert_int_equal(parse(wrong[i], &a, &err), -EINVAL);
		assert_non_null(strstr(err.message, "net"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unlimited),
		cmocka_unit_test(test_rate_is_exact),
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_both),
		cmocka_unit_test(test_burst_is_spent_once),
		cmocka_unit_test(test_strange_times),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
