/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/update.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "luo/client.h"
#include "luo/luod/update_host.h"
#include "luo/luod/update_snapshot.h"

unsigned int update_default_at_once(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return (unsigned int)MAX_OF(2 * cpus, 4);
}

int update_check_vm(const struct vm_record *record, struct error *err)
{
	if (record->resume)
		return error_set(err, -EBUSY,
				 "vm %s: it has not been taken up from the last update (%s); resume"
				 " it first (luoctl vm resume %s)",
				 record->id, vm_status_name(record->status), record->id);
	switch (record->status) {
	case VM_STOPPED:
	case VM_FAILED:
		return 0;
	case VM_CONNECTED:
		break;
	case VM_STARTING:
	case VM_DISCONNECTED:
	case VM_PRESERVED:
	case VM_STATUS_MAX:
		return error_set(err, -EBUSY, "vm %s: its vmm is not connected (%s)", record->id,
				 vm_status_name(record->status));
	}
	if (record->vm && record->vm->upgrade)
		return error_set(err, -EBUSY, "vm %s: its vmm is being exchanged; wait for that",
				 record->id);
	if (record->phase != AGENT_PHASE_RUNNING)
		return error_set(err, -EBUSY, "vm %s: it is %s; wait until it runs", record->id,
				 agent_phase_name(record->phase));
	/* The last: it is what a policy can be about. */
	if (!record->preserve)
		return error_set(
			err, -EPERM,
			"vm %s: it was started without preserve-on-update; stop it, or start"
			" it again with that",
			record->id);
	return 0;
}

static void check_vms(struct luod *luod, const struct update_config *config,
		      struct problems *problems, int *code)
{
	for (struct vm_record *record = luod->registry.vms; record; record = record->next) {
		struct error err = ERROR_INIT;
		int r = update_check_vm(record, &err);

		record->vm->shut_down =
			r == -EPERM && config->unpreservable == UNPRESERVABLE_SHUTDOWN;
		record->vm->by_snapshot =
			r == -EPERM && config->unpreservable == UNPRESERVABLE_SNAPSHOT;
		if (r == 0 || record->vm->shut_down || record->vm->by_snapshot)
			continue;
		problem_add(problems, "%s", error_message(&err));
		*code = r;
	}
}

static void check_file(const char *what, const char *path, struct problems *problems, int *code)
{
	if (access(path, R_OK) == 0)
		return;
	*code = -errno;
	problem_add(problems, "%s %s: %s", what, path, strerror(errno));
}

/* All that stands in the way, in one message; the code is that of the last. */
static int check_all(struct luod *luod, struct update_config *config, struct error *err)
{
	struct problems problems = {0};
	struct error why = ERROR_INIT;
	int r = 0, code = 0;

	check_file("kernel", config->kernel, &problems, &code);
	if (config->initrd[0])
		check_file("initrd", config->initrd, &problems, &code);
	if (config->reuse_cmdline)
		r = kexec_reuse_cmdline(config->cmdline, &why);
	if (r == 0)
		r = kexec_check_cmdline(config->cmdline, NULL, &why);
	if (r == 0)
		r = luo_probe(LUO_OPEN_TIMEOUT_MS, &why);
	if (r < 0) {
		problem_add(&problems, "%s", error_message(&why));
		code = r;
	}
	check_vms(luod, config, &problems, &code);
	error_clear(&why);
	r = config->unpreservable == UNPRESERVABLE_SNAPSHOT
		    ? snapshot_check_folder(config->snapshot_dir, &why)
		    : 0;
	if (r < 0) {
		problem_add(&problems, "%s", error_message(&why));
		code = r;
	}
	if (!problems.count)
		return 0;
	return error_set(err, code, "%s", problems.text);
}

static int new_uuid(char id[UPDATE_ID_SIZE], struct error *err)
{
	_cleanup_fd_ int fd = open("/proc/sys/kernel/random/uuid", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, id, UPDATE_ID_SIZE - 1) : -1;

	if (n != UPDATE_ID_SIZE - 1)
		return error_sys(err, n < 0 ? -errno : -EIO, "update: cannot make an id");
	id[n] = '\0';
	return 0;
}

/* Also the order in the next kernel, which reads the registry from the first to the last. */
static int put_in_order(struct registry *reg, const json_t *order, struct error *err)
{
	for (size_t i = json_array_size(order); i > 0; i--) {
		const char *id = json_string_value(json_array_get(order, i - 1));
		struct vm_record *record = id ? registry_find(reg, id) : NULL;

		if (!record)
			return error_set(err, -EINVAL, "order: there is no VM %s", id ? id : "");
		registry_move_first(reg, record);
	}
	return 0;
}

static int new_record(struct luod *luod, const struct update_config *config, struct error *err)
{
	struct update_record update = {.state = UPDATE_LOADING,
				       .started_ns = clock_realtime_ns(),
				       .at_once = config->at_once};
	struct utsname uts;
	int r = new_uuid(update.id, err);

	if (r < 0)
		return r;
	if (uname(&uts) == 0)
		registry_set_text(update.from, sizeof(update.from), uts.release);
	luod->registry.update = update;
	for (struct vm_record *record = luod->registry.vms; record; record = record->next) {
		record->in_update = record->status == VM_CONNECTED && !record->vm->shut_down;
		record->timeline = (struct timeline){0};
		if (record->in_update)
			record->why[0] = '\0';
		record->vm->asked_prepare = record->vm->asked_freeze = false;
		record->vm->asked_snapshot = false;
		record->vm->asked_round = 0;
	}
	return 0;
}

static void on_entered(void *opaque, const struct update_step *step, bool undoing)
{
	struct update *u = opaque;
	struct update_record *record = &u->luod->registry.update;

	record->state = undoing ? UPDATE_UNDOING : (enum update_state)step->state;
	log_info("update %s: %s%s", record->id, undoing ? "undo " : "", step->name);
	luod_changed(u->luod);
}

static enum update_state end_state(int result)
{
	if (result == 0)
		return UPDATE_CHECKED;
	return result == -ECANCELED ? UPDATE_ABORTED : UPDATE_FAILED;
}

/* Only ever called after an undo: the end of the steps is another kernel. */
static void on_ended(void *opaque, int result, const struct error *err)
{
	struct update *u = opaque;
	struct luod *luod = u->luod;
	struct update_record *record = &luod->registry.update;

	record->state = end_state(result);
	if (result < 0) {
		registry_set_text(record->why, sizeof(record->why), error_message(err));
		log_error("update %s: %s: %s", record->id, update_state_name(record->state),
			  error_message(err));
	} else {
		log_info("update %s: nothing is in its way", record->id);
	}
	close_fdp(&u->session_fd);
	close_fdp(&u->registry_fd);
	json_decref(u->config.order);
	loop_timer_free(u->shutdown_timer);
	for (struct vm_record *vm = luod->registry.vms; vm; vm = vm->next)
		vm->vm->shut_down = vm->vm->by_snapshot = false;
	luod->registry.tsc_khz = luod_tsc_khz(luod);
	registry_archive_update(&luod->registry);
	luod->update = NULL;
	free(u);
	luod_changed(luod);
	if (luod->stopping)
		luod_stop(luod);
}

int update_begin(struct luod *luod, const struct update_config *config, struct error *err)
{
	struct update *u;
	int r;

	if (luod->stopping)
		return error_set(err, -EBUSY, "update: luod is ending");
	if (luod->update || luod->registry.update.state == UPDATE_RESUMING)
		return error_set(
			err, -EBUSY, "update %s is under way (%s); wait for it or abort it",
			luod->registry.update.id, update_state_name(luod->registry.update.state));
	u = calloc(1, sizeof(*u));
	if (!u)
		return error_set(err, -ENOMEM, "update: out of memory");
	*u = (struct update){
		.luod = luod, .config = *config, .session_fd = FD_NONE, .registry_fd = FD_NONE};
	r = check_all(luod, &u->config, err);
	if (r == 0)
		r = put_in_order(&luod->registry, config->order, err);
	if (r == 0)
		r = new_record(luod, config, err);
	if (r < 0) {
		free(u);
		return r;
	}
	u->engine = (struct update_engine){
		.steps = update_steps,
		.count = config->dry_run ? update_dry_steps : update_step_count,
		.undo_at_end = config->dry_run,
		.entered = on_entered,
		.finished = on_ended,
		.opaque = u,
	};
	json_incref(u->config.order);
	luod->update = u;
	engine_start(&u->engine);
	return 0;
}

int update_abort(struct luod *luod, const char *why, struct error *err)
{
	if (!luod->update)
		return error_set(err, -EALREADY, "update: none is under way on this kernel");
	engine_cancel(&luod->update->engine, why);
	host_cancel(luod->update);
	luod_changed(luod);
	return 0;
}

void update_leave(struct vm *vm)
{
	vm->record->in_update = false;
	/* Nothing of a guest that is no more must be carried along. */
	close_fdp(&vm->session_fd);
}

void update_on_disconnect(struct update *u, struct vm *vm)
{
	/* A guest that ended on its own needs no update, and one that is frozen has all of it in
	 * the session, of which luod has a duplicate. */
	if (vm->record->status == VM_STOPPED)
		update_leave(vm);
	else if (vm->record->in_update)
		log_warning("update %s: vm %s lost its vmm while it was %s",
			    u->luod->registry.update.id, vm->record->id,
			    agent_phase_name(vm->record->phase));
}
