/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of an exchange and what takes each back; docs/live-update.md has the reasons. The guest
 * runs in the old vmm until "freeze"; from "resume" on it runs in the new one.
 */
#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "luo/luod/lifecycle.h"
#include "luo/luod/spawn.h"
#include "luo/luod/upgrade_priv.h"

#define HELLO_MS  30000U
#define ADOPT_MS  30000U
#define RESUME_MS 60000U
#define FINISH_MS 60000U
#define GRACE_MS  5000U /* on top of what is granted to a vmm */
#define UNDO_MS	  60000U

static struct upgrade *of(struct vm *vm)
{
	return vm->upgrade ? vm->upgrade : vm->next_of;
}

/* The end of every question of a step, to either vmm. */
static void on_answer(struct vm *vm, int result, struct error *err, void *opaque _unused_)
{
	struct upgrade *u = of(vm);

	if (result == -EPIPE && vm == u->next)
		u->next_died = true;
	engine_continue(&u->engine, result, err);
}

static int ask(struct vm *vm, enum agent_verb verb, unsigned int timeout_ms,
	       unsigned int deadline_ms, struct error *err)
{
	struct agent_request request = {.verb = verb, .timeout_ms = timeout_ms};
	int r = vm_request(vm, &request, deadline_ms, FD_NONE, on_answer, NULL, err);

	return r < 0 ? r : UPDATE_PENDING;
}

/* What goes wrong on the way back is told; the next undo is tried all the same. */
static void on_undone(struct vm *vm, int result, struct error *err, void *opaque _unused_)
{
	if (result < 0)
		log_error("%s", error_message(err));
	engine_continue(&of(vm)->engine, 0, NULL);
}

static int ask_undo(struct vm *vm, enum agent_verb verb)
{
	struct agent_request request = {.verb = verb};
	struct error err = ERROR_INIT;

	if (vm_request(vm, &request, UNDO_MS, FD_NONE, on_undone, NULL, &err) == 0)
		return UPDATE_PENDING;
	log_error("%s", error_message(&err));
	return 0;
}

/* ---- The new process. ---- */

static int run_start(void *opaque, struct error *err)
{
	struct upgrade *u = opaque;
	int r = lifecycle_start_resuming(u->next, u->record.binary, HELLO_MS, err);

	if (r < 0)
		return r;
	u->waits = WAIT_FOR_HELLO;
	return UPDATE_PENDING;
}

void upgrade_on_hello(struct upgrade *u)
{
	struct error err = ERROR_INIT;
	int r = 0;

	if (u->waits != WAIT_FOR_HELLO)
		return;
	u->waits = WAIT_FOR_NOTHING;
	if (u->record.phase != AGENT_PHASE_WAITING)
		r = error_set(&err, -EPROTO, "vm %s: its new vmm says that it is %s", u->record.id,
			      agent_phase_name(u->record.phase));
	engine_continue(&u->engine, r, &err);
}

void upgrade_on_next_gone(struct upgrade *u, const char *text)
{
	struct error err = ERROR_INIT;

	u->record.pid = 0;
	snprintf(u->gone, sizeof(u->gone), "vm %s: %.256s: %.600s", u->record.id, u->record.binary,
		 text);
	loop_timer_disarm(u->next->hello_timer);
	switch (u->waits) {
	case WAIT_FOR_HELLO:
		u->waits = WAIT_FOR_NOTHING;
		error_set(&err, -ENOEXEC, "%s", u->gone);
		engine_continue(&u->engine, err.code, &err);
		break;
	case WAIT_FOR_END:
		u->waits = WAIT_FOR_NOTHING;
		engine_continue(&u->engine, 0, NULL);
		break;
	case WAIT_FOR_NOTHING:
		break;
	}
}

/* Nobody else may have the guest before the old vmm goes on with it. */
static int end_next(void *opaque)
{
	struct upgrade *u = opaque;

	if (u->record.pid <= 0)
		return 0;
	kill(u->record.pid, SIGKILL);
	u->waits = WAIT_FOR_END;
	return UPDATE_PENDING;
}

/* ---- The old one, while its guest runs. ---- */

static int run_prepare(void *opaque, struct error *err)
{
	struct upgrade *u = opaque;

	return ask(u->vm, AGENT_EXPORT, 0, UPGRADE_PREPARE_TIMEOUT_MS, err);
}

static int undo_prepare(void *opaque)
{
	struct upgrade *u = opaque;
	enum agent_phase phase = u->vm->record->phase;

	if (!u->vm->peer)
		return 0;
	/* It has taken the guest back: what it exported is given up with the end of that. */
	if (phase == AGENT_PHASE_RESUMED)
		return ask_undo(u->vm, AGENT_FINISH);
	/* It could not, and said so; or its user has paused the guest, which is all it waits for.
	 */
	if (phase == AGENT_PHASE_RELEASED || phase == AGENT_PHASE_LOADED)
		return 0;
	return ask_undo(u->vm, AGENT_ABORT);
}

static int run_adopt(void *opaque, struct error *err)
{
	struct upgrade *u = opaque;
	const struct handover *h = &u->vm->handover;
	struct agent_request request = {.verb = AGENT_ADOPT, .tokens = h->tokens};
	int r;

	if (!h->tokens.count)
		return error_set(err, -EPROTO, "vm %s: its vmm exported nothing", u->record.id);
	r = vm_request_fds(u->next, &request, ADOPT_MS, h->fds, h->tokens.count, on_answer, NULL,
			   err);
	return r < 0 ? r : UPDATE_PENDING;
}

/* ---- The pause. ---- */

static int run_freeze(void *opaque, struct error *err)
{
	struct upgrade *u = opaque;

	return ask(u->vm, AGENT_FREEZE, u->freeze_timeout_ms, u->freeze_timeout_ms + GRACE_MS, err);
}

static int undo_freeze(void *opaque)
{
	struct upgrade *u = opaque;
	enum agent_phase phase = u->vm->record->phase;

	if (!u->vm->peer || (phase != AGENT_PHASE_FROZEN && phase != AGENT_PHASE_FREEZING))
		return 0;
	u->frozen = false;
	return ask_undo(u->vm, AGENT_THAW);
}

static int run_release(void *opaque, struct error *err)
{
	struct upgrade *u = opaque;

	u->frozen = true;
	return ask(u->vm, AGENT_RELEASE, 0, RESUME_MS, err);
}

/* The new process is gone: the old one builds its machine again. */
static int undo_release(void *opaque)
{
	struct upgrade *u = opaque;

	if (!u->vm->peer || u->vm->record->phase != AGENT_PHASE_RELEASED)
		return 0;
	return ask_undo(u->vm, AGENT_RESUME);
}

static int run_resume(void *opaque, struct error *err)
{
	struct upgrade *u = opaque;

	return ask(u->next, AGENT_RESUME, 0, RESUME_MS, err);
}

/* ---- The guest runs in the new one. ---- */

static int run_finish(void *opaque, struct error *err _unused_)
{
	struct upgrade *u = opaque;

	return u->record.phase == AGENT_PHASE_RESUMED ? ask_undo(u->next, AGENT_FINISH) : 0;
}

bool upgrade_on_gone(struct upgrade *u, const char *text)
{
	if (!u->frozen || u->vm->record->status == VM_STOPPED)
		return false;
	log_warning("vm %s: %s, its guest frozen: what it exported is here", u->record.id, text);
	return true;
}

const struct update_step upgrade_steps[] = {
	/* name, state, run, undo		 what holds when it is done */
	{"start", 0, run_start, end_next}, /* the new program runs and speaks our language */
	{"prepare", 0, run_prepare, undo_prepare}, /* luod has the guest's files */
	{"adopt", 0, run_adopt, NULL},		   /* the new vmm has read its configuration and
						      mapped its memory */
	{"freeze", 0, run_freeze, undo_freeze},	   /* the guest stands, its state is written */
	{"release", 0, run_release, undo_release}, /* what one process can have alone is free */
	{"resume", 0, run_resume, end_next},	   /* the guest runs in the new vmm */
	{"finish", 0, run_finish, NULL},	   /* which is as any other */
};
const unsigned int upgrade_step_count = ARRAY_SIZE(upgrade_steps);
