/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange from the request to its end; what it consists of is in upgrade_steps.c. */
#include "luo/luod/upgrade.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "luo/luod/lifecycle.h"
#include "luo/luod/peer.h"
#include "luo/luod/resume.h"
#include "luo/luod/update.h"
#include "luo/luod/upgrade_priv.h"

struct vm *upgrade_next(const struct vm *vm, pid_t pid)
{
	return vm->upgrade && pid > 0 && vm->upgrade->record.pid == pid ? vm->upgrade->next : NULL;
}

static void on_entered(void *opaque, const struct update_step *step, bool undoing)
{
	struct upgrade *u = opaque;

	log_info("vm %s: exchange of its vmm: %s%s", u->vm->record->id, undoing ? "undo " : "",
		 step->name);
}

/* The new vmm is the VM's from here on; the old one has nothing that anybody needs. */
static void promote(struct upgrade *u)
{
	struct vm *vm = u->vm;
	struct vm_record *record = vm->record;

	/* Before its connection ends: it would take its guest back. */
	if (record->pid > 0)
		kill(record->pid, SIGKILL);
	/* Whatever it was asked meanwhile is not answered any more. */
	if (vm->peer)
		peer_hang_up(vm->peer);
	vm->peer = STEAL_PTR(u->next->peer);
	if (vm->peer)
		peer_set_vm(vm->peer, vm);
	record->pid = u->record.pid;
	record->phase = u->record.phase;
	timeline_merge(&record->timeline, &u->record.timeline);
	registry_set_text(record->binary, sizeof(record->binary), u->record.binary);
	registry_set_text(record->version, sizeof(record->version), u->record.version);
	/* A guest that its user has paused is finished when it runs again. */
	record->resume = record->phase == AGENT_PHASE_LOADED;
	lifecycle_watch(vm);
	if (vm->peer)
		vm_set_status(vm, VM_CONNECTED);
	else
		lifecycle_on_gone(vm, u->gone, false);
}

/* The old vmm died with the guest frozen, and the new one failed: its own program is to take the
 * guest up from what luod holds. */
static void rescue(struct vm *vm)
{
	struct error err = ERROR_INIT;

	log_warning("vm %s: its vmm is gone; what it exported is taken up again", vm->record->id);
	vm->record->resume = true;
	vm->record->status = VM_PRESERVED;
	if (vm->record->pid > 0)
		vm->restart = true;
	else if (lifecycle_resume(vm, NULL, &err) < 0)
		resume_failed(vm, error_message(&err));
}

static void fail(struct upgrade *u, const struct error *err)
{
	struct vm *vm = u->vm;
	/* How it ended says more than that it does not answer. */
	const char *why = u->next_died && u->gone[0] ? u->gone : error_message(err);

	vm->upgraded.state = UPGRADE_FAILED;
	registry_set_text(vm->upgraded.why, sizeof(vm->upgraded.why), why);
	log_warning("vm %s: its vmm was not exchanged: %s", vm->record->id, why);
	if (!vm->peer && u->frozen && vm->record->status != VM_STOPPED)
		rescue(vm);
	else
		handover_drop(&vm->handover);
}

static void on_ended(void *opaque, int result, const struct error *err)
{
	struct upgrade *u = opaque;
	struct vm *vm = u->vm;
	struct luod *luod = vm->luod;

	vm->upgrade = NULL;
	luod->upgrades--;
	if (result == 0) {
		promote(u);
		if (!vm->record->resume)
			handover_drop(&vm->handover);
		vm->upgraded.state = UPGRADE_DONE;
		log_info("vm %s: goes on in another vmm (pid %d, %s)", vm->record->id,
			 vm->record->pid, vm->record->binary);
	} else {
		fail(u, err);
	}
	if (u->next->peer)
		peer_drop(STEAL_PTR(u->next->peer));
	vm_forget(u->next);
	free(u);
	luod_changed(luod);
	if (luod->stopping)
		luod_stop(luod);
}

static int check(struct vm *vm, const char *binary, struct error *err)
{
	const struct vm_record *record = vm->record;
	struct luod *luod = vm->luod;

	if (access(binary, X_OK) < 0)
		return error_set(err, -EINVAL, "vm %s: %s cannot be started: %s", record->id,
				 binary, strerror(errno));
	if (luod->stopping || luod->update)
		return error_set(err, -EBUSY,
				 "vm %s: an update is under way; wait for it or abort it",
				 record->id);
	if (vm->upgrade)
		return error_set(err, -EBUSY, "vm %s: its vmm is being exchanged already",
				 record->id);
	if (!vm->peer)
		return error_set(err, -ENOTCONN, "vm %s: its vmm is not connected (%s)", record->id,
				 vm_status_name(record->status));
	return update_check_vm(record, err);
}

/* What a VM without a record in the registry needs. */
static int make_next(struct upgrade *u, const char *binary, struct error *err)
{
	int r;

	snprintf(u->record.id, sizeof(u->record.id), "%s", u->vm->record->id);
	registry_set_user(&u->record, u->vm->record->user);
	registry_set_text(u->record.binary, sizeof(u->record.binary), binary);
	r = vm_attach(u->vm->luod, &u->record, err);
	if (r < 0)
		return r;
	u->next = u->record.vm;
	u->next->next_of = u;
	return 0;
}

int upgrade_begin(struct vm *vm, const char *binary, unsigned int freeze_timeout_ms,
		  struct error *err)
{
	struct upgrade *u;
	int r;

	if (!binary)
		binary = vm->luod->options.vmm;
	r = check(vm, binary, err);
	if (r < 0)
		return r;
	u = calloc(1, sizeof(*u));
	if (!u)
		return error_set(err, -ENOMEM, "vm %s: out of memory", vm->record->id);
	u->vm = vm;
	u->freeze_timeout_ms = freeze_timeout_ms;
	r = make_next(u, binary, err);
	if (r < 0) {
		free(u);
		return r;
	}
	u->engine = (struct update_engine){.steps = upgrade_steps,
					   .count = upgrade_step_count,
					   .entered = on_entered,
					   .finished = on_ended,
					   .opaque = u};
	vm->upgrade = u;
	vm->luod->upgrades++;
	vm->upgraded.state = UPGRADE_UNDER_WAY;
	vm->upgraded.why[0] = '\0';
	registry_set_text(vm->upgraded.binary, sizeof(vm->upgraded.binary), binary);
	vm->record->timeline = (struct timeline){0};
	handover_drop(&vm->handover);
	luod_changed(vm->luod);
	engine_start(&u->engine);
	return 0;
}
