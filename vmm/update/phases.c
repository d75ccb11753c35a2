/* SPDX-License-Identifier: Apache-2.0 */
/* The engine that walks the edges of table.c. */
#include "vmm/update/phases.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "base/work.h"

/* retrieve, load and run are undone as one. */
#define UNDO_MAX (3 * UPDATE_EDGE_STEPS_MAX)

struct update {
	struct loop *loop;		  /* borrowed */
	const struct update_steps *steps; /* borrowed */
	void *opaque;
	update_phase_fn *on_phase;
	void *on_phase_opaque;

	enum update_phase phase;
	struct timeline timeline;

	const struct update_edge *edge; /* under way, else NULL */
	unsigned int next;		/* index of the step being done */
	bool pending;			/* that step waits for update_step_done() */
	struct error cancelled;		/* code 0: not cancelled */
	enum update_step done_steps[UNDO_MAX];
	unsigned int done_count;
	update_done_fn *done;
	void *done_opaque;
};

static const bool step_is_work[UPDATE_STEP_MAX] = {
#define INLINE	       false
#define WORK	       true
#define X(name, where) [UPDATE_STEP_##name] = where,
	UPDATE_STEPS(X)
#undef X
#undef WORK
#undef INLINE
};

int update_new(struct loop *loop, enum update_phase phase, const struct update_steps *steps,
	       void *opaque, update_phase_fn *on_phase, void *on_phase_opaque, struct update **ret,
	       struct error *err)
{
	struct update *u = calloc(1, sizeof(*u));

	if (!u)
		return error_set(err, -ENOMEM, "update: out of memory");
	*u = (struct update){
		.loop = loop,
		.steps = steps,
		.opaque = opaque,
		.on_phase = on_phase,
		.on_phase_opaque = on_phase_opaque,
		.phase = phase,
	};
	*ret = u;
	return 0;
}

void update_free(struct update *u)
{
	if (!u)
		return;
	assert(!u->edge);
	free(u);
}

enum update_phase update_phase(const struct update *u)
{
	return u->phase;
}

bool update_is_busy(const struct update *u)
{
	return u->edge != NULL;
}

struct timeline *update_timeline(struct update *u)
{
	return &u->timeline;
}

static void enter(struct update *u, enum update_phase phase)
{
	struct error err = ERROR_INIT;

	if (phase == u->phase)
		return;
	u->phase = phase;
	/* The guest is worth more than our being right: say it and go on. */
	if (update_check_invariant(phase, u->steps->facts(u->opaque), &err) < 0)
		log_error("%s", error_message(&err));
	if (u->on_phase)
		u->on_phase(u->on_phase_opaque, phase);
}

static void end(struct update *u, enum update_phase phase, int result, const struct error *err)
{
	update_done_fn *done = u->done;
	void *opaque = u->done_opaque;

	u->edge = NULL;
	u->done = NULL;
	u->done_count = 0;
	enter(u, phase);
	if (done)
		done(opaque, result, err);
}

static void fail(struct update *u, int result, const struct error *err)
{
	enum update_phase phase = u->edge->on_failure;

	while (u->done_count > 0) {
		enum update_step step = u->done_steps[--u->done_count];

		if (u->steps->step[step].undo)
			u->steps->step[step].undo(u->opaque);
	}
	end(u, phase, result, err);
}

static void begin_edge(struct update *u, const struct update_edge *edge)
{
	u->edge = edge;
	u->next = 0;
	u->cancelled = (struct error)ERROR_INIT;
	if (edge->stamp != TIMELINE_PHASE_MAX)
		timeline_begin(&u->timeline, edge->stamp);
	enter(u, edge->via);
}

/* True if another edge follows at once. */
static bool complete_edge(struct update *u)
{
	const struct update_edge *edge = u->edge;

	if (edge->stamp != TIMELINE_PHASE_MAX)
		timeline_end(&u->timeline, edge->stamp);
	/* A guest that its user had paused stays paused, in the hands of vm.resume. */
	if (edge->then != UPDATE_VERB_MAX &&
	    !(edge->then == UPDATE_RUN && (u->steps->facts(u->opaque) & UPDATE_FACT_HELD))) {
		enter(u, edge->to);
		begin_edge(u, update_edge_find(edge->to, edge->then));
		return true;
	}
	end(u, edge->to, 0, NULL);
	return false;
}

static void walk(struct update *u);

static void step_result(struct update *u, int result, const struct error *err)
{
	if (result < 0) {
		fail(u, result, err);
		return;
	}
	assert(u->done_count < UNDO_MAX);
	u->done_steps[u->done_count++] = u->edge->steps[u->next++];
	walk(u);
}

static int run_on_thread(void *opaque, struct error *err)
{
	struct update *u = opaque;

	return u->steps->step[u->edge->steps[u->next]].run(u->opaque, err);
}

static void thread_done(void *opaque, int result, struct error *err)
{
	step_result(opaque, result, err);
}

/* False: the step is not over yet. */
static bool do_step(struct update *u, enum update_step step, int *ret, struct error *err)
{
	if (step_is_work[step]) {
		*ret = work_start(u->loop, "update", run_on_thread, thread_done, u, err);
		return *ret < 0;
	}
	/* Before the call: the event that ends the step may come from inside it. */
	u->pending = true;
	*ret = u->steps->step[step].run(u->opaque, err);
	if (*ret == UPDATE_PENDING)
		return false;
	u->pending = false;
	return true;
}

static void walk(struct update *u)
{
	while (u->edge) {
		struct error err = ERROR_INIT;
		int r = 0;

		/* Here also after the last step: a whole edge is undone as well as half of one. */
		if (u->cancelled.code) {
			err = u->cancelled;
			fail(u, err.code, &err);
			return;
		}
		if (u->next == u->edge->step_count) {
			if (!complete_edge(u))
				return;
			continue;
		}
		if (!do_step(u, u->edge->steps[u->next], &r, &err))
			return;
		if (r < 0) {
			fail(u, r, &err);
			return;
		}
		assert(u->done_count < UNDO_MAX);
		u->done_steps[u->done_count++] = u->edge->steps[u->next++];
	}
}

int update_can(const struct update *u, enum update_verb verb, struct error *err)
{
	char where[160] = "";

	if (!u->edge && update_edge_find(u->phase, verb))
		return 0;
	if (u->edge)
		return error_set(err, -EBUSY, "cannot %s in phase %s: %s is under way",
				 update_verb_name(verb), update_phase_name(u->phase),
				 update_verb_name(u->edge->verb));
	for (unsigned int i = 0; i < update_edge_count; i++) {
		size_t used = strlen(where);

		if (update_edges[i].verb == verb)
			snprintf(where + used, sizeof(where) - used, "%s%s", used ? " or " : "",
				 update_phase_name(update_edges[i].from));
	}
	return error_set(err, -EBUSY, "cannot %s in phase %s, only in %s", update_verb_name(verb),
			 update_phase_name(u->phase), where);
}

int update_request(struct update *u, enum update_verb verb, update_done_fn *done, void *opaque,
		   struct error *err)
{
	int r;

	r = update_can(u, verb, err);
	if (r < 0)
		return r;
	/* A new update: the stamps of the last one are told already. */
	if (verb == UPDATE_PREPARE)
		u->timeline = (struct timeline){0};
	u->done = done;
	u->done_opaque = opaque;
	begin_edge(u, update_edge_find(u->phase, verb));
	walk(u);
	return 0;
}

bool update_cancel(struct update *u, int code, const char *why)
{
	if (!u->edge || (u->phase != UPDATE_PREPARING && u->phase != UPDATE_FREEZING))
		return false;
	error_set(&u->cancelled, code, "%s", why);
	return true;
}

void update_step_done(struct update *u, enum update_step step, int result, const struct error *err)
{
	if (!u->edge || !u->pending || u->edge->steps[u->next] != step)
		return;
	u->pending = false;
	step_result(u, result, err);
}
