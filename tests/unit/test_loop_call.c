/* SPDX-License-Identifier: Apache-2.0 */
/* base/loop_thread: calls from other threads run on the loop's thread, whole, in order. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/loop_thread.h"
#include "base/util.h"

#define CALLERS 4
#define CALLS	500

struct counter {
	struct loop *loop;
	unsigned int value; /* the loop's thread only: TSan watches */
};

static void count(void *opaque)
{
	struct counter *c = opaque;

	if (loop_is_mine(c->loop))
		c->value++;
}

static void *call_many(void *opaque)
{
	struct counter *c = opaque;

	for (unsigned int i = 0; i < CALLS; i++)
		loop_call(c->loop, count, c);
	return NULL;
}

static void test_calls_run_on_the_loops_thread(void **state _unused_)
{
	struct loop_thread *thread;
	struct counter c = {0};
	pthread_t callers[CALLERS];

	assert_int_equal(loop_thread_new("test", &thread, NULL), 0);
	c.loop = loop_thread_loop(thread);
	assert_false(loop_is_mine(c.loop));
	for (unsigned int i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_create(&callers[i], NULL, call_many, &c), 0);
	for (unsigned int i = 0; i < CALLERS; i++)
		pthread_join(callers[i], NULL);
	loop_thread_free(thread);
	assert_int_equal(c.value, CALLERS * CALLS);
}

/* A loop that nobody runs belongs to whoever asks, and later to the thread that ran it. */
static void test_own_loop_is_called_at_once(void **state _unused_)
{
	struct counter c = {0};

	assert_int_equal(loop_new(&c.loop, NULL), 0);
	loop_call(c.loop, count, &c);
	assert_int_equal(c.value, 1);
	assert_int_equal(loop_run_once(c.loop, 0), 0);
	loop_call(c.loop, count, &c);
	assert_int_equal(c.value, 2);
	loop_free(c.loop);
}

static void call_again(void *opaque)
{
	struct counter *c = opaque;

	loop_call(c->loop, count, c);
	c->value++;
}

static void test_call_from_inside_a_call(void **state _unused_)
{
	struct loop_thread *thread;
	struct counter c = {0};

	assert_int_equal(loop_thread_new("test", &thread, NULL), 0);
	c.loop = loop_thread_loop(thread);
	loop_call(c.loop, call_again, &c);
	loop_thread_free(thread);
	assert_int_equal(c.value, 2);
}

static int let_in(void *opaque, const char *role, struct error *err)
{
	const char **seen = opaque;

	*seen = role;
	return strcmp(role, "stranger") == 0 ? error_set(err, -EPERM, "nobody knows it") : 0;
}

/* A thread beside a loop is let in by its guard, before it does anything; or there is none. */
static void test_guard(void **state _unused_)
{
	const char *seen = NULL;
	const struct loop_guard guard = {let_in, &seen};
	struct loop_thread *thread = NULL;
	struct error err = ERROR_INIT;
	struct counter c = {0};
	struct loop *loop;

	assert_int_equal(loop_new(&loop, NULL), 0);
	assert_int_equal(loop_enter_thread(loop, "anybody", NULL), 0);
	assert_int_equal(loop_enter_thread(NULL, "anybody", NULL), 0);
	loop_set_guard(loop, &guard);
	assert_int_equal(loop_thread_new_beside(loop, "disk", "disk0", &thread, &err), 0);
	assert_string_equal(seen, "disk");
	c.loop = loop_thread_loop(thread);
	loop_call(c.loop, count, &c);
	assert_int_equal(c.value, 1);
	loop_thread_free(thread);

	assert_int_equal(loop_thread_new_beside(loop, "stranger", "x", &thread, &err), -EPERM);
	assert_string_equal(error_message(&err), "x: nobody knows it");
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_run_on_the_loops_thread),
		cmocka_unit_test(test_own_loop_is_called_at_once),
		cmocka_unit_test(test_call_from_inside_a_call),
		cmocka_unit_test(test_guard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
