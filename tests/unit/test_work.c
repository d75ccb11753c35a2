/* SPDX-License-Identifier: Apache-2.0 */
/* base/work: a job runs beside the loop, its result comes back to it, and it can step aside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/util.h"
#include "base/work.h"

/* What base/work.h promises. */
#define SPEC_NICE 15

struct bench {
	struct loop *loop;
	pid_t thread;
	int nice, result;
	char message[64];
};

static int aside(void *opaque, struct error *err)
{
	struct bench *b = opaque;

	b->thread = gettid();
	work_step_aside();
	b->nice = getpriority(PRIO_PROCESS, 0);
	return error_set(err, -ENOENT, "the job: nothing there");
}

static void on_done(void *opaque, int result, struct error *err)
{
	struct bench *b = opaque;

	assert_int_equal(gettid(), getpid());
	b->result = result;
	snprintf(b->message, sizeof(b->message), "%s", error_message(err));
	loop_stop(b->loop);
}

static void test_steps_aside(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct bench b = {0};
	int before = getpriority(PRIO_PROCESS, 0);

	assert_int_equal(loop_new(&b.loop, &err), 0);
	assert_int_equal(work_start(b.loop, "aside", aside, on_done, &b, &err), 0);
	assert_int_equal(loop_run(b.loop), 0);
	assert_int_not_equal(b.thread, getpid());
	assert_int_equal(b.result, -ENOENT);
	assert_string_equal(b.message, "the job: nothing there");
	assert_int_equal(b.nice, before > SPEC_NICE ? before : SPEC_NICE);
	/* This thread has what it had. */
	assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
	loop_free(b.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps_aside)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
