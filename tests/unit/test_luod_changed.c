/* SPDX-License-Identifier: Apache-2.0 */
/* When luod writes down what has changed: at once, but not all the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "luo/luod/luod.h"

#define PAUSE_NS (20 * NSEC_PER_MSEC)

struct bench {
	struct luod luod;
	unsigned int heard, saved;
	uint64_t saved_ns;
};

static void on_save(void *opaque)
{
	struct bench *b = opaque;

	b->heard++;
	if (!luod_may_save(&b->luod))
		return;
	b->saved++;
	b->saved_ns = clock_monotonic_ns();
	loop_stop(b->luod.loop);
}

static void up(struct bench *b, enum update_state update, uint64_t save_after_ns)
{
	struct error err = ERROR_INIT;

	*b = (struct bench){.luod.revision = 1, .luod.save_after_ns = save_after_ns};
	b->luod.registry.update.state = update;
	assert_int_equal(loop_new(&b->luod.loop, &err), 0);
	assert_int_equal(loop_timer_new(b->luod.loop, on_save, b, &b->luod.save_timer, &err), 0);
}

static void down(struct bench *b)
{
	loop_timer_free(b->luod.save_timer);
	loop_free(b->luod.loop);
}

/* One change, which is written without another one. */
static void saved_after_hearing(enum update_state update, uint64_t save_after_ns,
				unsigned int times)
{
	struct bench b;

	up(&b, update, save_after_ns);
	luod_changed(&b.luod);
	assert_int_equal(loop_run(b.luod.loop), 0);
	assert_int_equal(b.saved, 1);
	assert_int_equal(b.heard, times);
	down(&b);
}

static void test_at_once(void **state _unused_)
{
	struct bench b;

	up(&b, UPDATE_LOADING, 0);
	luod_changed(&b.luod);
	luod_changed(&b.luod);
	assert_int_equal(b.luod.revision, 3);
	assert_int_equal(b.saved, 0);
	assert_int_equal(loop_run(b.luod.loop), 0);
	assert_int_equal(b.saved, 1);
	down(&b);
}

/* However often something changes, it is neither earlier nor put off again; clients hear at once.
 */
static void test_not_before(void **state _unused_)
{
	uint64_t begin = clock_monotonic_ns();
	struct bench b;

	up(&b, UPDATE_RESUMING, begin + PAUSE_NS);
	do {
		luod_changed(&b.luod);
		assert_true(loop_run_once(b.luod.loop, 1) >= 0);
	} while (b.saved == 0 && clock_monotonic_ns() < begin + 1000 * PAUSE_NS);
	assert_int_equal(b.saved, 1);
	assert_true(b.saved_ns >= begin + PAUSE_NS);
	assert_true(b.heard > 1);
	down(&b);
}

static void test_not_forgotten(void **state _unused_)
{
	saved_after_hearing(UPDATE_RESUMING, clock_monotonic_ns() + PAUSE_NS, 2);
}

/* No guest waits. */
static void test_at_once_when_all_run(void **state _unused_)
{
	saved_after_hearing(UPDATE_DONE, UINT64_MAX, 1);
}

/* Nine times what it took, and a second at most. */
static void test_a_tenth_of_the_time(void **state _unused_)
{
	struct luod luod = {0};
	uint64_t begin = clock_monotonic_ns() - PAUSE_NS, now;

	luod_saved(&luod, begin);
	now = clock_monotonic_ns();
	assert_true(luod.save_after_ns >= begin + 10 * PAUSE_NS);
	assert_true(luod.save_after_ns <= now + 9 * (now - begin));
	luod_saved(&luod, now - 1000 * NSEC_PER_SEC);
	assert_true(luod.save_after_ns >= now + NSEC_PER_SEC);
	assert_true(luod.save_after_ns <= clock_monotonic_ns() + NSEC_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_not_before),
		cmocka_unit_test(test_not_forgotten),
		cmocka_unit_test(test_at_once_when_all_run),
		cmocka_unit_test(test_a_tenth_of_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
