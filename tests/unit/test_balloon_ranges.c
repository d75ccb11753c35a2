/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/balloon/balloon_ranges against a bitmap, and with more pieces than fit. */
#include "devices/virtio/balloon/balloon_ranges.h"
#include "tests/unit/device_test.h"

#define PAGES 512

static struct balloon_ranges r;

static void assert_same(const bool *bits)
{
	struct balloon_range range;
	uint64_t pages = 0, at = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		pages += bits[i];
	assert_int_equal(balloon_ranges_pages(&r), pages);
	for (unsigned int i = 0; i < r.count; i++) {
		assert_true(r.all[i].count > 0);
		if (i > 0)
			assert_true(r.all[i].first > r.all[i - 1].first + r.all[i - 1].count);
	}
	while (balloon_ranges_next(&r, at, &range)) {
		assert_true(range.first >= at);
		for (; at < range.first; at++)
			assert_false(bits[at]);
		for (; at < range.first + range.count; at++)
			assert_true(bits[at]);
	}
	for (; at < PAGES; at++)
		assert_false(bits[at]);
}

static void test_against_a_bitmap(void **state _unused_)
{
	bool bits[PAGES] = {false};
	uint32_t random = 12345;

	r.count = 0;
	assert_same(bits);
	for (unsigned int i = 0; i < 20000; i++) {
		unsigned int first, count;
		bool add;

		random = random * 1664525 + 1013904223;
		first = random >> 8 & (PAGES - 1);
		count = 1 + (random >> 20 & (i % 3 ? 3 : 63));
		count = MIN_OF(count, PAGES - first);
		add = random >> 30 & 1;
		(add ? balloon_ranges_add : balloon_ranges_remove)(&r, first, count);
		memset(bits + first, add, count);
		assert_same(bits);
	}
}

static void fill_up(void)
{
	r.count = 0;
	for (unsigned int i = 0; i < BALLOON_RANGES_MAX; i++)
		balloon_ranges_add(&r, 10ULL * i, 2);
	assert_int_equal(r.count, BALLOON_RANGES_MAX);
}

/* What is forgotten is the smallest there is; what is taken out is never forgotten to be. */
static void test_more_than_fit(void **state _unused_)
{
	struct balloon_range range;
	const uint64_t beyond = 10ULL * BALLOON_RANGES_MAX;

	fill_up();
	balloon_ranges_add(&r, beyond, 1);
	balloon_ranges_add(&r, beyond + 5, 2);
	assert_false(balloon_ranges_next(&r, beyond, &range));
	balloon_ranges_add(&r, beyond, 3);
	assert_true(balloon_ranges_next(&r, beyond, &range));
	assert_int_equal(range.count, 3);
	assert_int_equal(r.count, BALLOON_RANGES_MAX);
	assert_int_equal(balloon_ranges_pages(&r), 2ULL * BALLOON_RANGES_MAX + 1);
	/* Before all others, and in their midst: the one that goes may be on either side. */
	fill_up();
	balloon_ranges_remove(&r, 10, 1);
	balloon_ranges_add(&r, 5, 4);
	assert_true(balloon_ranges_next(&r, 3, &range));
	assert_int_equal(range.first, 5);
	assert_true(balloon_ranges_next(&r, 9, &range));
	assert_int_equal(range.first, 20);
	/* One that is cut in two: the pieces are there, as far as they fit, and the middle is not.
	 */
	fill_up();
	balloon_ranges_add(&r, 100, 9);
	balloon_ranges_remove(&r, 103, 2);
	assert_true(balloon_ranges_next(&r, 100, &range));
	assert_int_equal(range.first, 100);
	assert_int_equal(range.count, 3);
	assert_true(balloon_ranges_next(&r, 103, &range));
	assert_true(range.first >= 105);
	/* All at once. */
	balloon_ranges_add(&r, 0, beyond + 10);
	assert_int_equal(r.count, 1);
	balloon_ranges_remove(&r, 0, beyond + 10);
	assert_int_equal(r.count, 0);
}

static void test_ends(void **state _unused_)
{
	struct balloon_range range;

	r.count = 0;
	balloon_ranges_add(&r, UINT32_MAX, 1);
	balloon_ranges_add(&r, 0, 1);
	assert_int_equal(r.count, 2);
	assert_true(balloon_ranges_next(&r, 1, &range));
	assert_int_equal(range.first, UINT32_MAX);
	assert_false(balloon_ranges_next(&r, 1ULL << 32, &range));
	balloon_ranges_remove(&r, 0, 1ULL << 32);
	assert_int_equal(r.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_bitmap),
		cmocka_unit_test(test_more_than_fit),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
