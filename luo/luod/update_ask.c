/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/update_ask.h"

#include "base/log.h"

static void note_failure(struct update *u, struct vm *vm, int result, const struct error *err)
{
	/* The first reason is the cause; what an undo meets later is not. */
	if (!vm->record->why[0])
		registry_set_text(vm->record->why, sizeof(vm->record->why), error_message(err));
	log_warning("%s", error_message(err));
	if (u->first_result == 0) {
		u->first_result = result;
		u->first_error = *err;
	}
}

/* A VM whose vmm told that its guest has ended is out of the update, not a failure of it. */
static bool has_left(const struct vm *vm)
{
	return vm->record->status == VM_STOPPED;
}

/*
 * Its vmm has looked and said so; the others are not to wait for it. And on a host that is stopped
 * already nothing can be taken back: who does not freeze is left behind.
 */
static bool goes_without(const struct update *u, int result)
{
	if (u->host_stopped && u->question.verb == AGENT_FREEZE)
		return true;
	return u->question.verb == AGENT_PREPARE && result == -EOPNOTSUPP &&
	       u->config.unpreservable != UNPRESERVABLE_REFUSE;
}

static void update_without(const struct update *u, struct vm *vm, const struct error *err)
{
	if (u->question.verb == AGENT_PREPARE &&
	    u->config.unpreservable == UNPRESERVABLE_SNAPSHOT) {
		log_warning("%s; it goes through the update in a file", error_message(err));
		close_fdp(&vm->session_fd);
		vm->asked_prepare = false;
		vm->by_snapshot = true;
		return;
	}
	log_warning("%s; it is going to be shut down", error_message(err));
	update_leave(vm);
	vm->asked_prepare = false;
	vm->shut_down = true;
}

static void ask_more(struct update *u);

static void on_answer(struct vm *vm, int result, struct error *err, void *opaque)
{
	struct update *u = opaque;

	if (result < 0 && has_left(vm))
		update_leave(vm);
	else if (result < 0 && goes_without(u, result))
		update_without(u, vm, err);
	else if (result < 0)
		note_failure(u, vm, result, err);
	u->waiting--;
	if (u->asking_all)
		return;
	ask_more(u);
	if (u->waiting == 0)
		engine_continue(&u->engine, u->first_result, &u->first_error);
}

static void ask_one(struct update *u, struct vm *vm)
{
	const struct update_question *question = &u->question;
	struct agent_request request = {.verb = question->verb, .timeout_ms = question->timeout_ms};
	int fd = question->with_session ? vm->session_fd : FD_NONE;
	struct error err = ERROR_INIT;
	int r;

	if (question->with_snapshot)
		fd = vm->snapshot.fd;
	r = vm_request(vm, &request, question->deadline_ms, fd, on_answer, u, &err);
	if (r == 0)
		u->waiting++;
	else if (!question->undo && goes_without(u, r))
		update_without(u, vm, &err);
	else
		note_failure(u, vm, r, &err);
}

/* Those that have not been asked this, as many as may be. */
static void ask_more(struct update *u)
{
	const struct update_question *question = &u->question;

	u->asking_all = true;
	for (struct vm_record *record = u->luod->registry.vms; record; record = record->next) {
		if (question->at_once && u->waiting >= question->at_once)
			break;
		/* What has failed is taken back soon: it is not worth beginning more of it. */
		if (u->first_result < 0 && !question->undo && question->at_once)
			break;
		if (record->vm->asked_round == u->round)
			continue;
		record->vm->asked_round = u->round;
		if (record->in_update && question->wanted(record->vm))
			ask_one(u, record->vm);
	}
	u->asking_all = false;
}

int update_ask(struct update *u, const struct update_question *question, struct error *err)
{
	u->waiting = 0;
	u->first_result = 0;
	u->round++;
	u->question = *question;
	error_clear(&u->first_error);
	ask_more(u);
	if (u->waiting > 0)
		return UPDATE_PENDING;
	if (u->first_result < 0 && !question->undo) {
		if (err)
			*err = u->first_error;
		return u->first_result;
	}
	return 0;
}
