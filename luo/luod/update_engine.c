/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/update_engine.h"

#include <errno.h>
#include <stddef.h>

static int undo_one(struct update_engine *engine)
{
	const struct update_step *step = &engine->steps[engine->at];

	if (!step->undo)
		return 0;
	engine->entered(engine->opaque, step, true);
	return step->undo(engine->opaque);
}

static int run_one(struct update_engine *engine, struct error *err)
{
	const struct update_step *step = &engine->steps[engine->at];

	engine->entered(engine->opaque, step, false);
	return step->run(engine->opaque, err);
}

static void turn_back(struct update_engine *engine, int result, const struct error *err)
{
	engine->undoing = true;
	engine->result = result;
	if (err)
		engine->error = *err;
}

static void end(struct update_engine *engine)
{
	engine->ended = true;
	engine->finished(engine->opaque, engine->result, &engine->error);
}

/* r: what the step at engine->at came to. Goes on until something is pending or all is done. */
static void go_on(struct update_engine *engine, int r, struct error *err)
{
	while (r != UPDATE_PENDING) {
		if (engine->undoing) {
			if (engine->at == 0) {
				end(engine);
				return;
			}
			engine->at--;
			r = undo_one(engine);
			continue;
		}
		if (r == 0 && engine->cancelled) {
			r = -ECANCELED;
			*err = engine->error;
		}
		if (r < 0) {
			/* The step that failed may have done half of its work: it is undone too. */
			turn_back(engine, r, err);
			r = undo_one(engine);
			continue;
		}
		if (engine->at + 1 == engine->count) {
			if (!engine->undo_at_end) {
				end(engine);
				return;
			}
			turn_back(engine, 0, NULL);
			r = undo_one(engine);
			continue;
		}
		engine->at++;
		r = run_one(engine, err);
	}
}

void engine_start(struct update_engine *engine)
{
	struct error err = ERROR_INIT;

	go_on(engine, run_one(engine, &err), &err);
}

void engine_continue(struct update_engine *engine, int result, const struct error *err)
{
	struct error copy = ERROR_INIT;

	if (err)
		copy = *err;
	/* An undo has no failure that anybody could act on: it told the log. */
	go_on(engine, engine->undoing ? 0 : result, &copy);
}

void engine_cancel(struct update_engine *engine, const char *why)
{
	if (engine->undoing || engine->ended || engine->cancelled)
		return;
	engine->cancelled = true;
	error_set(&engine->error, -ECANCELED, "%s", why);
}
