/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a table of steps forward, and when one fails (or the operator says so) takes back all that
 * were begun, last first. Knows nothing of VMs: what the steps do is in update_steps.c.
 *
 * A step answers at once, or with UPDATE_PENDING and engine_continue() later. Loop thread only.
 */
#ifndef HOLDFAST_LUOD_UPDATE_ENGINE_H
#define HOLDFAST_LUOD_UPDATE_ENGINE_H

#include <stdbool.h>

#include "base/error.h"

#define UPDATE_PENDING 1

struct update_step {
	const char *name;
	int state; /* enum update_state while it is under way */
	/* 0, UPDATE_PENDING, or a negative errno with err set. */
	int (*run)(void *opaque, struct error *err);
	/*
	 * Takes back what run() did, all or part of it; cannot fail. 0 or UPDATE_PENDING. NULL:
	 * there is nothing to take back.
	 */
	int (*undo)(void *opaque);
};

struct update_engine {
	const struct update_step *steps;
	unsigned int count;
	unsigned int at; /* the step under way, or to be undone */
	bool undoing, ended, cancelled;
	bool undo_at_end; /* a dry run: takes back even when nothing failed */
	int result;	  /* 0, or of the step that failed */
	struct error error;
	/* Before a step is run or undone; for what is shown. */
	void (*entered)(void *opaque, const struct update_step *step, bool undoing);
	/* Once, at the end; the engine is not touched after. */
	void (*finished)(void *opaque, int result, const struct error *err);
	void *opaque; /* given to all of these */
};

/* Runs the first step and as many more as answer at once. */
void engine_start(struct update_engine *engine);
/* The step or undo that was pending has come to its end. err may be NULL when result is 0. */
void engine_continue(struct update_engine *engine, int result, const struct error *err);
/*
 * Fails the update when the step under way has come back: a step is not torn apart. Nothing happens
 * when it is undoing already, or past its last step.
 */
void engine_cancel(struct update_engine *engine, const char *why);

#endif
