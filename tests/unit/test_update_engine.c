/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine of an update: a failure, a cancellation and a dry run at every edge, with steps that
 * answer at once and with steps that answer later; what was begun is taken back, last first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/luod/update_engine.h"

#define STEPS 4

struct bench {
	struct update_engine engine;
	struct update_step steps[STEPS];
	bool later;    /* steps and undos answer by engine_continue() */
	int fail_at;   /* -1: none */
	int cancel_at; /* cancelled while this step is pending; -1: none */
	int at;	       /* step that is being run or undone */
	bool pending, undoing;
	char journal[256];
	int finished; /* how often */
	int result;
	struct error error;
};

static void write_down(struct bench *b, const char *what)
{
	size_t used = strlen(b->journal);

	snprintf(b->journal + used, sizeof(b->journal) - used, "%s%s%d", used ? " " : "", what,
		 b->at);
}

static int outcome(const struct bench *b, struct error *err)
{
	if (b->at != b->fail_at)
		return 0;
	return error_set(err, -EIO, "step %d failed", b->at);
}

static int run_step(void *opaque, struct error *err)
{
	struct bench *b = opaque;

	write_down(b, "+");
	b->pending = b->later;
	return b->later ? UPDATE_PENDING : outcome(b, err);
}

static int undo_step(void *opaque)
{
	struct bench *b = opaque;

	write_down(b, "-");
	b->pending = b->later;
	return b->later ? UPDATE_PENDING : 0;
}

static void on_entered(void *opaque, const struct update_step *step, bool undoing)
{
	struct bench *b = opaque;

	b->at = (int)(step - b->steps);
	b->undoing = undoing;
}

static void on_finished(void *opaque, int result, const struct error *err)
{
	struct bench *b = opaque;

	b->finished++;
	b->result = result;
	b->error = *err;
}

static void set_up(struct bench *b, bool later)
{
	*b = (struct bench){.later = later, .fail_at = -1, .cancel_at = -1};
	for (unsigned int i = 0; i < STEPS; i++)
		b->steps[i] =
			(struct update_step){.name = "step", .run = run_step, .undo = undo_step};
	b->engine = (struct update_engine){.steps = b->steps,
					   .count = STEPS,
					   .entered = on_entered,
					   .finished = on_finished,
					   .opaque = b};
}

static void drive(struct bench *b)
{
	engine_start(&b->engine);
	while (b->pending && !b->finished) {
		struct error err = ERROR_INIT;
		int r = b->undoing ? 0 : outcome(b, &err);

		b->pending = false;
		if (!b->undoing && b->at == b->cancel_at)
			engine_cancel(&b->engine, "enough");
		engine_continue(&b->engine, r, &err);
	}
	assert_int_equal(b->finished, 1);
}

static void expect(struct bench *b, int last, char *journal, size_t size)
{
	size_t used = 0;

	for (int i = 0; i <= last; i++)
		used += (size_t)snprintf(journal + used, size - used, "%s+%d", i ? " " : "", i);
	for (int i = last; i >= 0; i--) {
		if (b->steps[i].undo)
			used += (size_t)snprintf(journal + used, size - used, " -%d", i);
	}
}

static void test_success(void **state _unused_)
{
	for (int later = 0; later < 2; later++) {
		struct bench b;

		set_up(&b, later);
		drive(&b);
		assert_string_equal(b.journal, "+0 +1 +2 +3");
		assert_int_equal(b.result, 0);
		/* Past its end nothing can be cancelled. */
		engine_cancel(&b.engine, "late");
		assert_false(b.engine.cancelled);
	}
}

static void test_failure_at_every_step(void **state _unused_)
{
	for (int later = 0; later < 2; later++) {
		for (int i = 0; i < STEPS; i++) {
			char journal[256], says[32];
			struct bench b;

			set_up(&b, later);
			b.fail_at = i;
			drive(&b);
			expect(&b, i, journal, sizeof(journal));
			assert_string_equal(b.journal, journal);
			assert_int_equal(b.result, -EIO);
			snprintf(says, sizeof(says), "step %d failed", i);
			assert_string_equal(b.error.message, says);
		}
	}
}

static void test_cancel_at_every_step(void **state _unused_)
{
	for (int i = 0; i < STEPS; i++) {
		char journal[256];
		struct bench b;

		set_up(&b, true);
		b.cancel_at = i;
		drive(&b);
		expect(&b, i, journal, sizeof(journal));
		assert_string_equal(b.journal, journal);
		assert_int_equal(b.result, -ECANCELED);
		assert_string_equal(b.error.message, "enough");
	}
}

/* The failure of the step counts, not that somebody wanted to stop as well. */
static void test_cancelled_step_fails(void **state _unused_)
{
	struct bench b;

	set_up(&b, true);
	b.cancel_at = b.fail_at = 1;
	drive(&b);
	assert_int_equal(b.result, -EIO);
	assert_string_equal(b.error.message, "step 1 failed");
}

static void test_dry_run(void **state _unused_)
{
	for (int later = 0; later < 2; later++) {
		struct bench b;

		set_up(&b, later);
		b.engine.count = 2;
		b.engine.undo_at_end = true;
		drive(&b);
		assert_string_equal(b.journal, "+0 +1 -1 -0");
		assert_int_equal(b.result, 0);
	}
}

static void test_nothing_to_undo(void **state _unused_)
{
	for (int later = 0; later < 2; later++) {
		char journal[256];
		struct bench b;

		set_up(&b, later);
		b.steps[1].undo = b.steps[3].undo = NULL;
		b.fail_at = 3;
		drive(&b);
		expect(&b, 3, journal, sizeof(journal));
		assert_string_equal(b.journal, journal);
		assert_string_equal(b.journal, "+0 +1 +2 +3 -2 -0");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_success),
		cmocka_unit_test(test_failure_at_every_step),
		cmocka_unit_test(test_cancel_at_every_step),
		cmocka_unit_test(test_cancelled_step_fails),
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_nothing_to_undo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
