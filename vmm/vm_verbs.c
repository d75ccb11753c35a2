/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a VM from outside. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/vm_priv.h"

static const char *const verb_names[VM_VERB_MAX] = {
	[VM_PAUSE] = "pause",
	[VM_RESUME] = "resume",
	[VM_POWER_BUTTON] = "press the power button",
	[VM_REBOOT] = "reboot",
	[VM_SHUTDOWN] = "shut down",
	[VM_PREPARE] = "prepare",
	[VM_FREEZE] = "freeze",
	[VM_THAW] = "thaw",
	[VM_ABORT] = "abort",
	[VM_RESUME_PRESERVED] = "resume what was preserved",
	[VM_FINISH] = "finish",
	[VM_EXPORT] = "export",
	[VM_ADOPT] = "adopt",
	[VM_RELEASE] = "release",
	[VM_SNAPSHOT] = "take a snapshot",
	[VM_RESTORE] = "restore",
	[VM_QUIT] = "quit",
};

const char *vm_verb_name(enum vm_verb verb)
{
	return verb_names[verb];
}

static int need_guest(struct vm *vm, enum vm_verb verb, struct error *err)
{
	enum update_phase phase = update_phase(vm->update);

	if (phase == UPDATE_RUNNING || phase == UPDATE_PREPARING || phase == UPDATE_PREPARED ||
	    phase == UPDATE_RESUMED)
		return 0;
	return error_set(err, -EBUSY, "cannot %s in phase %s, only while the guest may run",
			 verb_names[verb], update_phase_name(phase));
}

static void go_on(struct vm *vm)
{
	struct error err = ERROR_INIT;

	if (machine_start(vm->parts.machine, &err) < 0)
		log_error("cannot continue the guest: %s", error_message(&err));
}

static int pause_guest(struct vm *vm, struct error *err)
{
	int r = need_guest(vm, VM_PAUSE, err);

	if (r < 0 || vm->parts.held)
		return r;
	r = machine_pause(vm->parts.machine, FREEZE_TIMEOUT_MS_DEFAULT, err);
	if (r < 0)
		return r;
	/* A guest that stands still has nothing in flight: its disks may be looked at. */
	r = machine_drain(vm->parts.machine, FREEZE_TIMEOUT_MS_DEFAULT, err);
	if (r < 0)
		go_on(vm);
	vm->parts.held = r == 0;
	return r;
}

static int resume_guest(struct vm *vm, struct error *err)
{
	int r = need_guest(vm, VM_RESUME, err);

	if (r < 0 || !vm->parts.held)
		return r;
	r = machine_start(vm->parts.machine, err);
	vm->parts.held = r < 0;
	return r;
}

/* The end of a request's edge, or of the edges that follow from it. */
void vm_answer(void *opaque, int result, const struct error *err)
{
	struct vm *vm = opaque;
	vm_done_fn *done = vm->done;
	void *done_opaque = vm->done_opaque;

	vm->done = NULL;
	if (result < 0)
		log_error("%s", error_message(err));
	vm_look_again(vm);
	if (done)
		done(done_opaque, result, err);
}

static void finished(void *opaque, int result, const struct error *err)
{
	vm_look_again(opaque);
	/* The guest runs and nothing is lost; asking to resume again asks to finish again. */
	if (result < 0)
		log_error("finish: %s", error_message(err));
}

void vm_resumed(void *opaque, int result, const struct error *err)
{
	struct vm *vm = opaque;
	bool finish = result == 0 && vm->own_session && update_phase(vm->update) == UPDATE_RESUMED;

	vm_answer(vm, result, err);
	if (finish && !vm->over)
		update_request(vm->update, UPDATE_FINISH, finished, vm, NULL);
}

int vm_start_edge(struct vm *vm, enum update_verb verb, update_done_fn *then, vm_done_fn *done,
		  void *opaque, struct error *err)
{
	int r = update_can(vm->update, verb, err);

	if (r < 0)
		return r;
	vm->done = done;
	vm->done_opaque = opaque;
	return update_request(vm->update, verb, then, vm, err);
}

/* Makes the source of the next edge; takes the descriptor. */
static int choose_source(struct vm *vm, const struct vm_request *request, int session_fd,
			 struct error *err)
{
	_cleanup_fd_ int fd = session_fd;
	const char *id = vm->parts.config.id;
	struct source *source;
	int r;

	/* Files that were exported are in hand, here or nowhere; a try that failed left the session
	 * here, and a luod that was started anew has no other. */
	if (request->caller == VM_CALLER_AGENT && fd < 0 && request->verb == VM_RESUME_PRESERVED &&
	    (steps_have_table(vm->steps) || steps_session(vm->steps) >= 0))
		return 0;
	if (request->caller == VM_CALLER_AGENT && fd < 0)
		return error_set(err, -EINVAL, "the agent passed no session for VM %s", id);
	if (request->caller == VM_CALLER_AGENT)
		r = source_agent_new(id, steal_fd(&fd), &source, err);
	else if (fd >= 0)
		r = source_manager_new(id, steal_fd(&fd), &source, err);
	else
		r = source_device_new(id, &source, err);
	if (r < 0)
		return r;
	if (steps_set_source(vm->steps, source))
		vm->own_session = request->caller == VM_CALLER_USER;
	return 0;
}

/* Two drivers of one update would meet in the middle. Undoing is everybody's right. */
int vm_refuse_beside_agent(const struct vm *vm, const struct vm_request *request, struct error *err)
{
	bool mine = vm->parts.config.agent[0] == '\0';

	if (request->caller == VM_CALLER_AGENT || mine)
		return 0;
	return error_set(err, -EPERM,
			 "the updates of VM %s are driven by luod at %s: use luoctl update",
			 vm->parts.config.id, vm->parts.config.agent);
}

static int start_with_source(struct vm *vm, const struct vm_request *request, enum update_verb verb,
			     update_done_fn *then, vm_done_fn *done, void *opaque,
			     struct error *err)
{
	_cleanup_fd_ int fd = request->session_fd;
	int r;

	r = vm_refuse_beside_agent(vm, request, err);
	if (r == 0)
		r = update_can(vm->update, verb, err);
	if (r == 0)
		r = choose_source(vm, request, steal_fd(&fd), err);
	if (r < 0)
		return r;
	return vm_start_edge(vm, verb, then, done, opaque, err);
}

static int request_resume_preserved(struct vm *vm, const struct vm_request *request,
				    vm_done_fn *done, void *opaque, struct error *err)
{
	_cleanup_fd_ int fd = request->session_fd;
	struct vm_request mine = *request;

	/* What is left to do after a finish that failed. */
	if (update_phase(vm->update) == UPDATE_RESUMED)
		return vm_start_edge(vm, UPDATE_FINISH, vm_answer, done, opaque, err);
	mine.session_fd = steal_fd(&fd);
	return start_with_source(vm, &mine, UPDATE_RESUME, vm_resumed, done, opaque, err);
}

int vm_set_agent(struct vm *vm, const char *path, struct error *err)
{
	struct vm_config *config = &vm->parts.config;

	if (config->agent[0] && strcmp(config->agent, path) != 0)
		return error_set(err, -EPERM,
				 "the updates of VM %s are driven by luod at %s already",
				 config->id, config->agent);
	/* A driver of its own is in the middle of one. */
	if (!config->agent[0] && update_phase(vm->update) != UPDATE_RUNNING)
		return error_set(err, -EBUSY,
				 "VM %s: cannot be adopted in phase %s, only in running",
				 config->id, update_phase_name(update_phase(vm->update)));
	snprintf(config->agent, sizeof(config->agent), "%s", path);
	return 0;
}

/* luod holds the other end of an exchange. */
static int refuse_without_agent(const struct vm *vm, const struct vm_request *request,
				struct error *err)
{
	if (request->caller == VM_CALLER_AGENT)
		return 0;
	return error_set(err, -EPERM,
			 "VM %s: its vmm is exchanged by luod alone: use luoctl "
			 "upgrade-vmm",
			 vm->parts.config.id);
}

/* Takes table. */
static int start_with_table(struct vm *vm, const struct vm_request *request, struct source *table,
			    enum update_verb verb, vm_done_fn *done, void *opaque,
			    struct error *err)
{
	int r = refuse_without_agent(vm, request, err);

	if (r == 0)
		r = update_can(vm->update, verb, err);
	if (r < 0) {
		source_free(table);
		return r;
	}
	steps_set_source(vm->steps, table);
	vm->own_session = false;
	return vm_start_edge(vm, verb, vm_answer, done, opaque, err);
}

static int request_export(struct vm *vm, const struct vm_request *request, vm_done_fn *done,
			  void *opaque, struct error *err)
{
	struct source *table;
	int r = source_table_new(NULL, 0, &table, err);

	return r < 0 ? r : start_with_table(vm, request, table, UPDATE_PREPARE, done, opaque, err);
}

static int request_adopt(struct vm *vm, const struct vm_request *request, struct source *table,
			 vm_done_fn *done, void *opaque, struct error *err)
{
	if (!table)
		return error_set(err, -EINVAL, "VM %s: there is nothing to adopt",
				 vm->parts.config.id);
	return start_with_table(vm, request, table, UPDATE_ADOPT, done, opaque, err);
}

static int request_release(struct vm *vm, const struct vm_request *request, vm_done_fn *done,
			   void *opaque, struct error *err)
{
	int r = refuse_without_agent(vm, request, err);

	if (r == 0 && !steps_have_table(vm->steps))
		r = error_set(err, -EBUSY,
			      "VM %s: it was prepared for a kexec, not for an "
			      "exchange of its vmm",
			      vm->parts.config.id);
	return r < 0 ? r : vm_start_edge(vm, UPDATE_RELEASE, vm_answer, done, opaque, err);
}

static int request_freeze(struct vm *vm, const struct vm_request *request, vm_done_fn *done,
			  void *opaque, struct error *err)
{
	int r = vm_refuse_beside_agent(vm, request, err);

	if (r < 0)
		return r;
	steps_set_freeze_timeout(vm->steps, request->timeout_ms ? request->timeout_ms
								: FREEZE_TIMEOUT_MS_DEFAULT);
	return vm_start_edge(vm, UPDATE_FREEZE, vm_answer, done, opaque, err);
}

/* Verbs that are done when this returns. */
static int request_now(struct vm *vm, enum vm_verb verb, struct error *err)
{
	int r;

	switch ((int)verb) {
	case VM_PAUSE:
		return pause_guest(vm, err);
	case VM_RESUME:
		return resume_guest(vm, err);
	case VM_QUIT:
		vm_end(vm, 0, "quit");
		return 0;
	default:
		break;
	}
	r = need_guest(vm, verb, err);
	if (r < 0)
		return r;
	if (verb == VM_POWER_BUTTON) {
		machine_power_button(vm->parts.machine);
	} else if (verb == VM_REBOOT) {
		vm_raise(vm, VM_PENDING_RESET);
	} else {
		vm->reason = "shutdown";
		vm_raise(vm, VM_PENDING_POWEROFF);
	}
	return 0;
}

static int finish_now(struct vm *vm, enum vm_verb verb, vm_done_fn *done, void *opaque,
		      struct error *err)
{
	int r = request_now(vm, verb, err);

	if (r == 0 && done)
		done(opaque, 0, NULL);
	return r;
}

/* Takes the descriptor. */
static int request_with_fd(struct vm *vm, const struct vm_request *request, vm_done_fn *done,
			   void *opaque, struct error *err)
{
	switch ((int)request->verb) {
	case VM_PREPARE:
		return start_with_source(vm, request, UPDATE_PREPARE, vm_answer, done, opaque, err);
	case VM_SNAPSHOT:
		return vm_request_snapshot(vm, request, done, opaque, err);
	case VM_RESTORE:
		return vm_request_restore(vm, request, done, opaque, err);
	default:
		return request_resume_preserved(vm, request, done, opaque, err);
	}
}

static void source_freep(struct source **p)
{
	source_free(*p);
}

int vm_request(struct vm *vm, const struct vm_request *request, vm_done_fn *done, void *opaque,
	       struct error *err)
{
	_cleanup_fd_ int fd = request->session_fd;
	_cleanup_(source_freep) struct source *table = request->table;
	struct vm_request mine = *request;

	mine.table = NULL;
	switch (request->verb) {
	case VM_PREPARE:
	case VM_RESUME_PRESERVED:
	case VM_SNAPSHOT:
	case VM_RESTORE:
		mine.session_fd = steal_fd(&fd);
		return request_with_fd(vm, &mine, done, opaque, err);
	case VM_FREEZE:
		return request_freeze(vm, request, done, opaque, err);
	case VM_THAW:
		return vm_start_edge(vm, UPDATE_THAW, vm_answer, done, opaque, err);
	case VM_ABORT:
		/* Nothing to give up is what was asked for. */
		if (update_phase(vm->update) == UPDATE_RUNNING && !update_is_busy(vm->update)) {
			if (done)
				done(opaque, 0, NULL);
			return 0;
		}
		return vm_start_edge(vm, UPDATE_ABORT, vm_answer, done, opaque, err);
	case VM_FINISH:
		return vm_start_edge(vm, UPDATE_FINISH, vm_answer, done, opaque, err);
	case VM_EXPORT:
		return request_export(vm, &mine, done, opaque, err);
	case VM_ADOPT:
		return request_adopt(vm, &mine, STEAL_PTR(table), done, opaque, err);
	case VM_RELEASE:
		return request_release(vm, &mine, done, opaque, err);
	case VM_RESUME:
		/* A guest that was preserved in a pause of its user's making. */
		if (update_phase(vm->update) == UPDATE_LOADED && vm->parts.held &&
		    !update_is_busy(vm->update)) {
			vm->parts.held = false;
			return vm_start_edge(vm, UPDATE_RUN, vm_resumed, done, opaque, err);
		}
		return finish_now(vm, request->verb, done, opaque, err);
	case VM_PAUSE:
	case VM_POWER_BUTTON:
	case VM_REBOOT:
	case VM_SHUTDOWN:
	case VM_QUIT:
		return finish_now(vm, request->verb, done, opaque, err);
	case VM_VERB_MAX:
	default:
		break;
	}
	return error_set(err, -EINVAL, "there is no request %d", (int)request->verb);
}
