/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/x86/clock_gap: what a guest's clocks are set to after an update. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "vmm/x86/clock_gap.h"

#define KHZ 2000000U /* 2 GHz: 2 cycles a nanosecond */

static void test_tsc_decides_where_it_went_on(void **state _unused_)
{
	const struct clock_instant saved = {.host_tsc = 1000000, .realtime_ns = 50 * NSEC_PER_SEC};
	/* 4 s by the TSC; the wall clock claims an hour less: an RTC in local time. */
	const struct clock_instant now = {.host_tsc = 1000000 + 8000000000ULL,
					  .realtime_ns = 54 * NSEC_PER_SEC - 50 * NSEC_PER_SEC};
	struct clock_gap gap = clock_gap(&saved, &now, KHZ);

	assert_true(gap.tsc_went_on);
	assert_int_equal(gap.elapsed_ns, 4 * NSEC_PER_SEC);
	assert_int_equal(gap.offset_delta, 0);
	assert_true(gap.realtime_error_ns == -(int64_t)(50 * NSEC_PER_SEC));
}

static void test_wall_time_decides_after_a_step_back(void **state _unused_)
{
	const struct clock_instant saved = {.host_tsc = 1ULL << 50,
					    .realtime_ns = 50 * NSEC_PER_SEC};
	const struct clock_instant now = {.host_tsc = 777, .realtime_ns = 53 * NSEC_PER_SEC};
	struct clock_gap gap = clock_gap(&saved, &now, KHZ);
	uint64_t offset = (uint64_t)-12345, before, after;

	assert_false(gap.tsc_went_on);
	assert_int_equal(gap.elapsed_ns, 3 * NSEC_PER_SEC);
	/* The guest's TSC, host's plus offset, advanced by 3 s as well. */
	before = saved.host_tsc + offset;
	after = now.host_tsc + offset + gap.offset_delta;
	assert_int_equal(after - before, 6000000000ULL);
}

static void test_never_backwards(void **state _unused_)
{
	const struct clock_instant saved = {.host_tsc = 5000, .realtime_ns = 50 * NSEC_PER_SEC};
	const struct clock_instant now = {.host_tsc = 10, .realtime_ns = 1};
	struct clock_gap gap = clock_gap(&saved, &now, KHZ);

	assert_int_equal(gap.elapsed_ns, 0);
	assert_int_equal(now.host_tsc + gap.offset_delta, saved.host_tsc);
}

static void test_same_instant(void **state _unused_)
{
	const struct clock_instant t = {.host_tsc = 5000, .realtime_ns = 50};
	struct clock_gap gap = clock_gap(&t, &t, KHZ);

	assert_true(gap.tsc_went_on);
	assert_int_equal(gap.elapsed_ns, 0);
	assert_int_equal(gap.offset_delta, 0);
}

static void test_no_overflow(void **state _unused_)
{
	/* A hostile stamp: the whole range of the counter, at the slowest rate. */
	const struct clock_instant saved = {0}, now = {UINT64_MAX, UINT64_MAX};

	assert_true(clock_gap(&saved, &now, 1).elapsed_ns == UINT64_MAX);
	assert_true(clock_gap(&now, &saved, UINT32_MAX).elapsed_ns == 0);
	/* Ten years at 5 GHz, exact to a nanosecond. */
	assert_int_equal(tsc_to_ns(315360000ULL * 5000000000ULL, 5000000),
			 315360000ULL * NSEC_PER_SEC);
	assert_int_equal(ns_to_tsc(315360000ULL * NSEC_PER_SEC, 5000000),
			 315360000ULL * 5000000000ULL);
}

static void test_rates_of_one_counter(void **state _unused_)
{
	assert_true(tsc_khz_same(2500000, 2500000));
	assert_true(tsc_khz_same(2500000, 2501250)); /* 500 ppm: calibrated against the PIT */
	assert_true(tsc_khz_same(2501250, 2500000));
	assert_false(tsc_khz_same(2500000, 2600000));
	assert_false(tsc_khz_same(0, 0));
	assert_false(tsc_khz_same(0, 2500000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tsc_decides_where_it_went_on),
		cmocka_unit_test(test_wall_time_decides_after_a_step_back),
		cmocka_unit_test(test_never_backwards),
		cmocka_unit_test(test_same_instant),
		cmocka_unit_test(test_no_overflow),
		cmocka_unit_test(test_rates_of_one_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
