/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/update: every edge of the table, every step of it failing once, every moment at which it can
 * be cancelled: afterwards the VM is in the phase that the table names, the phase's invariant
 * holds, and what is true of the VM is what was true before. The steps here are a model of the
 * world that refuses to be asked for nonsense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "vmm/update/phases.h"

#define NO_STEP UPDATE_STEP_MAX

struct world {
	struct loop *loop;
	struct update *update;
	unsigned int facts;
	enum update_step fails;	  /* this step fails */
	enum update_step cancels; /* during this step somebody cancels */
	enum update_step hangs;	  /* this step ends later, by release() */
	unsigned int undone;
	unsigned int phases_seen; /* bits */
	bool answered;
	int result;
	char message[ERROR_MESSAGE_MAX];
};

static struct world world;

#define MACHINE	  UPDATE_FACT_MACHINE
#define RUNNING	  UPDATE_FACT_RUNNING
#define SESSION	  UPDATE_FACT_SESSION
#define STATE	  UPDATE_FACT_STATE
#define PRESERVED UPDATE_FACT_PRESERVED
#define SAVED	  UPDATE_FACT_SAVED
#define RAM	  UPDATE_FACT_RAM
#define DRAINED	  UPDATE_FACT_DRAINED
#define KEPT	  UPDATE_FACT_KEPT

/* What a step needs, forbids, sets and clears. */
static const struct {
	unsigned int needs, forbids, sets, clears;
} effects[UPDATE_STEP_MAX] = {
	[UPDATE_STEP_PREFLIGHT] = {MACHINE, 0, 0, 0},
	[UPDATE_STEP_KEEP] = {MACHINE, SESSION | PRESERVED | KEPT, KEPT, 0},
	[UPDATE_STEP_OPEN] = {MACHINE, SESSION, SESSION, 0},
	[UPDATE_STEP_STATE_FILE] = {MACHINE, STATE, STATE, 0},
	[UPDATE_STEP_PRESERVE] = {MACHINE | SESSION | STATE | KEPT, PRESERVED, PRESERVED, 0},
	[UPDATE_STEP_GIVE_UP] = {MACHINE | RUNNING | PRESERVED, SAVED | DRAINED, 0, 0},
	[UPDATE_STEP_PAUSE] = {MACHINE | PRESERVED, 0, 0, RUNNING},
	[UPDATE_STEP_DRAIN] = {MACHINE | PRESERVED, RUNNING | DRAINED, DRAINED, 0},
	[UPDATE_STEP_SETTLE] = {MACHINE | PRESERVED | DRAINED, RUNNING, 0, 0},
	[UPDATE_STEP_SAVE] = {MACHINE | PRESERVED | STATE | DRAINED, RUNNING, SAVED, 0},
	[UPDATE_STEP_CONTINUE] = {MACHINE, RUNNING, RUNNING, SAVED | DRAINED},
	[UPDATE_STEP_CLOSE] = {SESSION, 0, 0, SESSION | STATE | PRESERVED | SAVED},
	[UPDATE_STEP_RELEASE] = {MACHINE, SESSION | PRESERVED, 0, KEPT},
	[UPDATE_STEP_TAKE_BACK] = {MACHINE | RUNNING, SAVED | DRAINED, 0, 0},
	[UPDATE_STEP_TAKE] = {0, MACHINE, SESSION, 0},
	[UPDATE_STEP_READ_STATE] = {SESSION, STATE, STATE, 0},
	[UPDATE_STEP_READ_RAM] = {SESSION | STATE, RAM, RAM, 0},
	[UPDATE_STEP_BUILD] = {RAM, MACHINE, MACHINE | DRAINED, RAM},
	[UPDATE_STEP_CHECK] = {MACHINE | STATE | DRAINED, RUNNING, 0, 0},
	[UPDATE_STEP_APPLY] = {MACHINE | STATE | DRAINED, RUNNING, KEPT, 0},
	[UPDATE_STEP_ANNOUNCE] = {MACHINE | DRAINED, RUNNING, 0, 0},
	[UPDATE_STEP_RUN] = {MACHINE | SESSION | KEPT, RUNNING, RUNNING, DRAINED},
	[UPDATE_STEP_RETURN] = {MACHINE | RUNNING | SESSION, DRAINED, 0, 0},
	[UPDATE_STEP_FINISH] = {MACHINE | SESSION, 0, 0, 0},
	[UPDATE_STEP_ADOPT] = {SESSION, MACHINE | STATE | RAM, RAM, 0},
	[UPDATE_STEP_USE_RAM] = {SESSION | STATE | RAM, MACHINE, RAM, 0},
	[UPDATE_STEP_LET_GO] = {MACHINE | SESSION | SAVED | DRAINED, RUNNING, 0,
				MACHINE | STATE | PRESERVED | SAVED | DRAINED | KEPT},
	[UPDATE_STEP_CLAIM] = {MACHINE | STATE | DRAINED, RUNNING, 0, 0},
};

/* What is true while a phase lasts. */
static const unsigned int facts_of[UPDATE_PHASE_MAX] = {
	[UPDATE_RUNNING] = MACHINE | RUNNING,
	[UPDATE_PREPARED] = MACHINE | RUNNING | SESSION | STATE | PRESERVED | KEPT,
	[UPDATE_FROZEN] = MACHINE | SESSION | STATE | PRESERVED | SAVED | DRAINED | KEPT,
	[UPDATE_WAITING] = 0,
	[UPDATE_RETRIEVED] = SESSION | STATE | RAM,
	[UPDATE_LOADED] = MACHINE | SESSION | STATE | DRAINED | KEPT,
	[UPDATE_RESUMED] = MACHINE | RUNNING | SESSION | STATE | KEPT,
	[UPDATE_FAILED] = SESSION,
	[UPDATE_ADOPTED] = SESSION | RAM,
	[UPDATE_RELEASED] = SESSION,
};

static int run_step(enum update_step step, struct error *err)
{
	unsigned int facts = world.facts;

	assert_int_equal(facts & effects[step].needs, effects[step].needs);
	assert_int_equal(facts & effects[step].forbids, 0);
	if (world.cancels == step)
		update_cancel(world.update, -ECANCELED, "cancelled by the test");
	if (world.fails == step)
		return error_set(err, -EIO, "%s fails", update_step_name(step));
	world.facts = (facts | effects[step].sets) & ~effects[step].clears;
	return world.hangs == step ? UPDATE_PENDING : 0;
}

/* As the real undos: a session that was taken up stays, a machine takes its RAM with it. */
static void undo_step(enum update_step step)
{
	world.undone |= 1U << step;
	switch ((int)step) {
	case UPDATE_STEP_OPEN:
		world.facts &= ~(unsigned int)(SESSION | PRESERVED);
		break;
	case UPDATE_STEP_PAUSE:
		world.facts |= RUNNING;
		break;
	case UPDATE_STEP_KEEP:
		/* The kernel gives no page back from a file that is still preserved. */
		assert_int_equal(world.facts & (SESSION | PRESERVED), 0);
		world.facts &= ~(unsigned int)KEPT;
		break;
	case UPDATE_STEP_BUILD:
		world.facts &= ~(unsigned int)(MACHINE | RUNNING | DRAINED | KEPT);
		break;
	case UPDATE_STEP_TAKE:
		break;
	default:
		world.facts &= ~effects[step].sets;
		break;
	}
}

#define X(name, where)                                             \
	static int run_##name(void *o _unused_, struct error *err) \
	{                                                          \
		return run_step(UPDATE_STEP_##name, err);          \
	}                                                          \
	static void undo_##name(void *o _unused_)                  \
	{                                                          \
		undo_step(UPDATE_STEP_##name);                     \
	}
UPDATE_STEPS(X)
#undef X

static unsigned int get_facts(void *o _unused_)
{
	return world.facts;
}

static const struct update_steps steps = {
	.step =
		{
#define X(name, where) [UPDATE_STEP_##name] = {run_##name, undo_##name},
			UPDATE_STEPS(X)
#undef X
		},
	.facts = get_facts,
};

static void on_phase(void *o _unused_, enum update_phase phase)
{
	struct error err = ERROR_INIT;

	world.phases_seen |= 1U << phase;
	if (update_check_invariant(phase, world.facts, &err) < 0)
		fail_msg("%s", err.message);
}

static void on_done(void *o _unused_, int result, const struct error *err)
{
	assert_false(world.answered);
	world.answered = true;
	world.result = result;
	snprintf(world.message, sizeof(world.message), "%s", result < 0 ? err->message : "");
}

static void begin_in(enum update_phase phase)
{
	struct error err = ERROR_INIT;

	world = (struct world){.fails = NO_STEP, .cancels = NO_STEP, .hangs = NO_STEP};
	world.facts = facts_of[phase];
	assert_int_equal(loop_new(&world.loop, &err), 0);
	assert_int_equal(
		update_new(world.loop, phase, &steps, NULL, on_phase, NULL, &world.update, &err),
		0);
}

static void end_world(void)
{
	update_free(world.update);
	loop_free(world.loop);
}

static void wait_for_answer(void)
{
	while (!world.answered)
		assert_int_equal(loop_run_once(world.loop, 5000), 0);
	assert_false(update_is_busy(world.update));
}

static void assert_phase(enum update_phase phase)
{
	struct error err = ERROR_INIT;

	assert_string_equal(update_phase_name(update_phase(world.update)),
			    update_phase_name(phase));
	if (update_check_invariant(phase, world.facts, &err) < 0)
		fail_msg("%s", err.message);
}

/* Where an edge leads when nothing fails, with all that follows from it. */
static enum update_phase end_of(const struct update_edge *edge)
{
	while (edge->then != UPDATE_VERB_MAX)
		edge = update_edge_find(edge->to, edge->then);
	return edge->to;
}

static void test_every_edge_succeeds(void **state _unused_)
{
	for (unsigned int i = 0; i < update_edge_count; i++) {
		const struct update_edge *edge = &update_edges[i];
		struct error err = ERROR_INIT;

		begin_in(edge->from);
		assert_int_equal(update_request(world.update, edge->verb, on_done, NULL, &err), 0);
		wait_for_answer();
		assert_int_equal(world.result, 0);
		assert_int_equal(world.undone, 0);
		assert_phase(end_of(edge));
		assert_int_equal(world.facts | STATE, facts_of[end_of(edge)] | STATE);
		end_world();
	}
}

/* The facts of the phase where a failed edge ends: those of its beginning, or what failed leaves.
 */
static void assert_undone(const struct update_edge *first, const struct update_edge *edge,
			  enum update_step step)
{
	if (edge->on_failure == UPDATE_FAILED || edge->from == UPDATE_WAITING) {
		/* The session that was taken up is never given up. */
		unsigned int held =
			first->from == UPDATE_WAITING && step == UPDATE_STEP_TAKE ? 0U : SESSION;

		assert_int_equal(world.facts, held);
	} else {
		assert_int_equal(world.facts, facts_of[first->from]);
	}
}

/* step: of edge, which is first or follows from it. */
static void fail_edge_at(const struct update_edge *first, const struct update_edge *edge,
			 enum update_step step)
{
	struct error err = ERROR_INIT;
	char expected[64];

	begin_in(first->from);
	world.fails = step;
	assert_int_equal(update_request(world.update, first->verb, on_done, NULL, &err), 0);
	wait_for_answer();
	snprintf(expected, sizeof(expected), "%s fails", update_step_name(step));
	assert_int_equal(world.result, -EIO);
	assert_string_equal(world.message, expected);
	/* A thread's step that fails in the way of the one before it. */
	assert_false(world.undone & (1U << step));
	assert_phase(edge->on_failure);
}

/* Each step in each edge, also in those that follow: their failure undoes all from the beginning.
 */
static void test_every_step_of_every_edge_fails(void **state _unused_)
{
	unsigned int tried = 0;

	for (unsigned int i = 0; i < update_edge_count; i++) {
		const struct update_edge *first = &update_edges[i], *edge = first;

		/* Edges inside of resume begin in the middle and have nothing of their own to go
		 * back to: they are failed from resume. */
		if (first->verb == UPDATE_LOAD || first->verb == UPDATE_RUN)
			continue;
		for (;;) {
			for (unsigned int k = 0; k < edge->step_count; k++) {
				/* Giving up cannot fail, nor giving devices back. */
				if (edge->steps[k] == UPDATE_STEP_CLOSE ||
				    edge->steps[k] == UPDATE_STEP_RELEASE ||
				    edge->steps[k] == UPDATE_STEP_TAKE_BACK ||
				    edge->steps[k] == UPDATE_STEP_RETURN ||
				    edge->steps[k] == UPDATE_STEP_LET_GO)
					continue;
				fail_edge_at(first, edge, edge->steps[k]);
				assert_undone(first, edge, edge->steps[k]);
				end_world();
				tried++;
			}
			if (edge->then == UPDATE_VERB_MAX)
				break;
			edge = update_edge_find(edge->to, edge->then);
		}
	}
	assert_true(tried >= 24);
}

/* The first edge of those that follow from it that has the step. */
static const struct update_edge *edge_with(const struct update_edge *edge, enum update_step step)
{
	for (;;) {
		for (unsigned int k = 0; k < edge->step_count; k++) {
			if (edge->steps[k] == step)
				return edge;
		}
		assert_int_not_equal(edge->then, UPDATE_VERB_MAX);
		edge = update_edge_find(edge->to, edge->then);
	}
}

static void test_retry_after_failure(void **state _unused_)
{
	static const enum update_step at[] = {UPDATE_STEP_READ_STATE, UPDATE_STEP_READ_RAM,
					      UPDATE_STEP_CHECK, UPDATE_STEP_RUN};

	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		const struct update_edge *first = update_edge_find(UPDATE_WAITING, UPDATE_RESUME);
		struct error err = ERROR_INIT;

		fail_edge_at(first, edge_with(first, at[i]), at[i]);
		world.fails = NO_STEP;
		world.answered = false;
		assert_int_equal(update_request(world.update, UPDATE_RESUME, on_done, NULL, &err),
				 0);
		wait_for_answer();
		assert_int_equal(world.result, 0);
		assert_phase(UPDATE_RESUMED);
		end_world();
	}
}

static void test_cancel_at_every_step(void **state _unused_)
{
	static const enum update_verb verbs[] = {UPDATE_PREPARE, UPDATE_FREEZE};
	static const enum update_phase from[] = {UPDATE_RUNNING, UPDATE_PREPARED};

	for (unsigned int v = 0; v < ARRAY_SIZE(verbs); v++) {
		const struct update_edge *edge = update_edge_find(from[v], verbs[v]);

		for (unsigned int k = 0; k < edge->step_count; k++) {
			struct error err = ERROR_INIT;

			begin_in(from[v]);
			world.cancels = edge->steps[k];
			assert_int_equal(
				update_request(world.update, verbs[v], on_done, NULL, &err), 0);
			wait_for_answer();
			assert_int_equal(world.result, -ECANCELED);
			assert_string_equal(world.message, "cancelled by the test");
			assert_phase(edge->on_failure);
			assert_int_equal(world.facts, facts_of[from[v]]);
			end_world();
		}
	}
}

static void test_nothing_else_is_cancelled(void **state _unused_)
{
	struct error err = ERROR_INIT;

	begin_in(UPDATE_RUNNING);
	assert_false(update_cancel(world.update, -ECANCELED, "no"));
	end_world();
	begin_in(UPDATE_WAITING);
	world.cancels = UPDATE_STEP_CHECK;
	assert_int_equal(update_request(world.update, UPDATE_RESUME, on_done, NULL, &err), 0);
	wait_for_answer();
	assert_int_equal(world.result, 0);
	end_world();
}

static void test_every_other_verb_is_refused(void **state _unused_)
{
	unsigned int refused = 0;

	for (unsigned int phase = 0; phase < UPDATE_PHASE_MAX; phase++) {
		for (unsigned int verb = 0; verb < UPDATE_VERB_MAX; verb++) {
			struct error err = ERROR_INIT;

			if (update_edge_find(phase, verb))
				continue;
			begin_in(phase);
			assert_int_equal(update_request(world.update, verb, on_done, NULL, &err),
					 -EBUSY);
			assert_non_null(strstr(err.message, update_phase_name(phase)));
			assert_false(world.answered);
			assert_int_equal(update_phase(world.update), phase);
			end_world();
			refused++;
		}
	}
	assert_int_equal(refused, UPDATE_PHASE_MAX * UPDATE_VERB_MAX - update_edge_count);
}

static void test_one_at_a_time(void **state _unused_)
{
	struct error err = ERROR_INIT;

	begin_in(UPDATE_PREPARED);
	world.hangs = UPDATE_STEP_SETTLE;
	assert_int_equal(update_request(world.update, UPDATE_FREEZE, on_done, NULL, &err), 0);
	assert_true(update_is_busy(world.update));
	assert_phase(UPDATE_FREEZING);
	assert_int_equal(update_request(world.update, UPDATE_ABORT, on_done, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.message, "freeze is under way"));
	/* The end of a step that nobody waits for is no end. */
	update_step_done(world.update, UPDATE_STEP_RUN, 0, NULL);
	assert_false(world.answered);
	update_step_done(world.update, UPDATE_STEP_SETTLE, 0, NULL);
	wait_for_answer();
	assert_phase(UPDATE_FROZEN);
	end_world();
}

static void test_pending_step_fails_later(void **state _unused_)
{
	const struct error crash = {.code = -EFAULT, .message = "vCPU 1 is gone"};
	struct error err = ERROR_INIT;

	begin_in(UPDATE_WAITING);
	world.hangs = UPDATE_STEP_RUN;
	assert_int_equal(update_request(world.update, UPDATE_RESUME, on_done, NULL, &err), 0);
	while (update_phase(world.update) != UPDATE_LOADED)
		assert_int_equal(loop_run_once(world.loop, 5000), 0);
	update_step_done(world.update, UPDATE_STEP_RUN, crash.code, &crash);
	wait_for_answer();
	assert_int_equal(world.result, -EFAULT);
	assert_string_equal(world.message, "vCPU 1 is gone");
	assert_phase(UPDATE_FAILED);
	/* The first machine's own step has no undo of its own: build's takes all. */
	world.facts &= ~(unsigned int)RUNNING;
	assert_int_equal(world.facts, SESSION);
	end_world();
}

static void test_held_guest_stays_paused(void **state _unused_)
{
	struct error err = ERROR_INIT;

	begin_in(UPDATE_WAITING);
	world.facts |= UPDATE_FACT_HELD;
	assert_int_equal(update_request(world.update, UPDATE_RESUME, on_done, NULL, &err), 0);
	wait_for_answer();
	assert_int_equal(world.result, 0);
	assert_phase(UPDATE_LOADED);
	assert_false(world.facts & RUNNING);
	world.facts &= ~(unsigned int)UPDATE_FACT_HELD;
	world.answered = false;
	assert_int_equal(update_request(world.update, UPDATE_RUN, on_done, NULL, &err), 0);
	wait_for_answer();
	assert_phase(UPDATE_RESUMED);
	end_world();
}

static void test_stamps(void **state _unused_)
{
	struct error err = ERROR_INIT;
	const struct timeline *t;

	begin_in(UPDATE_RUNNING);
	t = update_timeline(world.update);
	assert_int_equal(update_request(world.update, UPDATE_PREPARE, on_done, NULL, &err), 0);
	wait_for_answer();
	assert_true(t->phases[TIMELINE_PREPARE].begin_tsc > 0);
	assert_true(t->phases[TIMELINE_PREPARE].end_tsc > t->phases[TIMELINE_PREPARE].begin_tsc);
	assert_int_equal(t->phases[TIMELINE_FREEZE].begin_tsc, 0);
	world.answered = false;
	assert_int_equal(update_request(world.update, UPDATE_FREEZE, on_done, NULL, &err), 0);
	wait_for_answer();
	assert_true(t->phases[TIMELINE_FREEZE].begin_tsc > t->phases[TIMELINE_PREPARE].end_tsc);
	assert_true(t->phases[TIMELINE_FREEZE].end_tsc > t->phases[TIMELINE_FREEZE].begin_tsc);
	end_world();
}

static void test_invariants_can_fail(void **state _unused_)
{
	for (unsigned int phase = 0; phase < UPDATE_PHASE_MAX; phase++) {
		struct error err = ERROR_INIT;
		unsigned int refused = 0;

		for (unsigned int facts = 0; facts < 2 * UPDATE_FACT_KEPT; facts++)
			refused += update_check_invariant(phase, facts, &err) < 0;
		assert_in_range(refused, 1, 2 * UPDATE_FACT_KEPT - 1);
		assert_non_null(strstr(err.message, "bug in holdfast"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_edge_succeeds),
		cmocka_unit_test(test_every_step_of_every_edge_fails),
		cmocka_unit_test(test_retry_after_failure),
		cmocka_unit_test(test_cancel_at_every_step),
		cmocka_unit_test(test_nothing_else_is_cancelled),
		cmocka_unit_test(test_every_other_verb_is_refused),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_pending_step_fails_later),
		cmocka_unit_test(test_held_guest_stays_paused),
		cmocka_unit_test(test_stamps),
		cmocka_unit_test(test_invariants_can_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
