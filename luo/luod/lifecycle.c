/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/lifecycle.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cgroup.h"
#include "base/log.h"
#include "luo/client.h"
#include "luo/luod/resume.h"
#include "luo/luod/snapshot.h"
#include "luo/luod/spawn.h"
#include "luo/luod/state_file.h"
#include "luo/luod/update.h"
#include "luo/luod/upgrade.h"

/* From start to hello: a slow disk and a big binary, not a guest's boot. */
#define HELLO_DEADLINE_MS 60000U

/* Starts argv for vm and waits for its hello. */
static int start(struct vm *vm, const char *const *argv, unsigned int hello_ms, struct error *err)
{
	pid_t pid = 0;
	int r = spawn_make_folder(vm->luod, vm->record, err);

	if (r == 0)
		r = spawn_vmm(vm->luod, vm->record->id, argv, &pid, err);

	/* Its errno would read as one of the VM: "no such VM", "not allowed". */
	if (r < 0)
		return err ? err->code = -ENOEXEC : -ENOEXEC;
	vm->record->pid = pid;
	registry_set_text(vm->record->binary, sizeof(vm->record->binary), argv[0]);
	loop_timer_arm(vm->hello_timer, hello_ms * NSEC_PER_MSEC, 0);
	vm_set_status(vm, VM_STARTING);
	return 0;
}

/* Looked up when a VM is made, and not at the start, which guests may wait for. Only root can give
 * a VM to somebody else. */
static const char *default_user(const struct luod *luod)
{
	struct identity who;

	if (luod->options.vm_user_told)
		return luod->options.vm_user;
	return geteuid() == 0 && identity_parse(LUOD_VM_USER, &who, NULL) == 0 ? LUOD_VM_USER : "";
}

static const char *user_of(const struct luod *luod, const json_t *config)
{
	const json_t *user = json_object_get(config, "user");

	return user ? json_string_value(user) : default_user(luod);
}

static int check_user(const json_t *config, const char *id, struct error *err)
{
	const json_t *user = json_object_get(config, "user");
	struct identity who;
	int r = 0;

	if (user && !json_is_string(user))
		r = error_set(err, -EINVAL, "vm %s: \"user\" must be a string", id);
	else if (user && json_string_length(user) > 0)
		r = identity_parse(json_string_value(user), &who, err);
	return r;
}

static int check_config(json_t *config, const char **ret_id, struct error *err)
{
	const char *id = json_string_value(json_object_get(config, "id"));

	if (!json_is_object(config))
		return error_set(err, -EINVAL, "configuration: it must be a JSON object");
	if (!id || !agent_id_is_valid(id))
		return error_set(
			err, -EINVAL,
			"configuration: \"id\" must be 1 to %d letters, digits, '-', '_' or"
			" '.', the first a letter or digit",
			LUO_VM_ID_MAX);
	if (json_object_get(config, "agent"))
		return error_set(err, -EINVAL,
				 "vm %s: \"agent\" is luod's own socket here; leave it out", id);
	*ret_id = id;
	return check_user(config, id, err);
}

static int write_config(json_t *config, const char *user, const char *path, struct error *err)
{
	json_t *whole = json_copy(config);
	int r;

	if (!whole)
		return error_set(err, -ENOMEM, "configuration: out of memory");
	/* Whoever starts a VM through luod wants it to live through luod's updates. */
	if (!json_object_get(whole, "preserve-on-update"))
		json_object_set_new(whole, "preserve-on-update", json_true());
	if (!json_object_get(whole, "user") && user[0])
		json_object_set_new(whole, "user", json_string(user));
	r = file_write_json(path, whole, err);
	json_decref(whole);
	return r;
}

int lifecycle_define(struct luod *luod, json_t *config, struct vm **ret, struct error *err)
{
	struct vm_record *record;
	const char *id = NULL, *user;
	char path[PATH_MAX];
	int r;

	r = check_config(config, &id, err);
	if (r < 0)
		return r;
	if (luod->stopping || luod->update)
		return error_set(err, -EBUSY,
				 "vm %s: an update is under way; start it when that has ended", id);
	record = registry_find(&luod->registry, id);
	if (record && (record->resume || record->vm->upgrade ||
		       (record->status != VM_STOPPED && record->status != VM_FAILED)))
		return error_set(err, -EEXIST, "vm %s: there is one already (%s)", id,
				 vm_status_name(record->status));
	vm_file(luod, id, ".json", path);
	user = user_of(luod, config);
	r = write_config(config, user, path, err);
	if (r < 0)
		return r;
	r = vm_get(luod, id, ret, err);
	if (r < 0)
		return r;
	registry_set_text((*ret)->record->config, sizeof((*ret)->record->config), path);
	registry_set_user((*ret)->record, user);
	vm_set_status(*ret, VM_STOPPED);
	return 0;
}

int lifecycle_start(struct luod *luod, json_t *config, struct vm **ret, struct error *err)
{
	const char *argv[] = {luod->options.vmm, "--config",	       NULL,
			      "--agent",	 luod->options.socket, NULL};
	const char *id = json_string_value(json_object_get(config, "id"));
	bool known = id && registry_find(&luod->registry, id);
	struct vm *vm = NULL;
	char path[PATH_MAX];
	int r;

	r = lifecycle_define(luod, config, &vm, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s", vm->record->config);
	argv[2] = path;
	r = start(vm, argv, HELLO_DEADLINE_MS, err);
	if (r < 0 && known) {
		vm_fail(vm, VM_FAILED, error_message(err));
		return r;
	}
	if (r < 0) {
		unlink(path);
		vm_forget(vm);
		return r;
	}
	*ret = vm;
	return 0;
}

int lifecycle_start_resuming(struct vm *vm, const char *binary, unsigned int hello_ms,
			     struct error *err)
{
	/* start() writes the field that binary may point to. */
	char copy[PATH_MAX], user[PRIVILEGES_USER_MAX];
	const char *argv[] = {copy,	      "--resume", "--id",
			      vm->record->id, "--agent",  vm->luod->options.socket,
			      "--user",	      user,	  NULL};

	/* A vmm of before there were users takes no such option. */
	if (!vm->record->user[0])
		argv[6] = NULL;
	snprintf(user, sizeof(user), "%s", vm->record->user);

	snprintf(copy, sizeof(copy), "%s", binary);
	return start(vm, argv, hello_ms, err);
}

static int start_resume(struct vm *vm, struct error *err)
{
	return lifecycle_start_resuming(
		vm, vm->record->binary[0] ? vm->record->binary : vm->luod->options.vmm,
		HELLO_DEADLINE_MS, err);
}

int lifecycle_resume(struct vm *vm, const char *binary, struct error *err)
{
	struct vm_record *record = vm->record;

	if (!record->resume)
		return error_set(err, -EINVAL, "vm %s: nothing of it is preserved", record->id);
	/* Its guest runs and only the end of its session failed. */
	if (vm->peer && record->phase == AGENT_PHASE_RESUMED) {
		resume_finish(vm);
		return 0;
	}
	if (record->status != VM_FAILED && record->status != VM_PRESERVED)
		return error_set(err, -EALREADY, "vm %s: it is on its way (%s)", record->id,
				 vm_status_name(record->status));
	if (binary)
		registry_set_text(record->binary, sizeof(record->binary), binary);
	if (!vm->peer)
		return start_resume(vm, err);
	/* A luod that was started after the session was retrieved: the vmm alone holds it. */
	if (vm->session_fd < 0 && !vm->handover.tokens.count && !record->snapshot[0]) {
		if (binary)
			return error_set(
				err, -EOPNOTSUPP,
				"vm %s: its vmm (pid %d) alone holds what is preserved, and "
				"cannot be exchanged; try again without another program",
				record->id, record->pid);
		return resume_again(vm, err);
	}
	/* What it holds, luod has too, or it is in a file: it can go. */
	vm->restart = true;
	if (kill(record->pid, SIGKILL) < 0)
		return error_sys(err, -errno, "vm %s: cannot end its vmm (pid %d)", record->id,
				 record->pid);
	vm_set_status(vm, VM_STARTING);
	return 0;
}

/* A session that nobody retrieved must be, to be given up. */
static int discard_session(struct vm *vm, struct error *err)
{
	char name[LUO_SESSION_NAME_SIZE];
	int r;

	if (vm->record->snapshot[0]) {
		snapshot_forget(vm->record);
		return 0;
	}
	if (vm->session_fd < 0) {
		snprintf(name, sizeof(name), LUO_VM_SESSION_PREFIX "%s", vm->record->id);
		r = luo_session_retrieve(name, LUO_OPEN_TIMEOUT_MS, &vm->session_fd, err);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	r = vm->session_fd >= 0 ? luo_session_finish(vm->session_fd, err) : 0;
	if (r == 0)
		close_fdp(&vm->session_fd);
	return r;
}

int lifecycle_forget(struct vm *vm, bool discard, struct error *err)
{
	struct luod *luod = vm->luod;
	char path[PATH_MAX];
	int r;

	if (vm->upgrade)
		return error_set(err, -EBUSY, "vm %s: its vmm is being exchanged", vm->record->id);
	if (vm->peer || vm->record->status == VM_STARTING)
		return error_set(err, -EBUSY, "vm %s: its vmm (pid %d) is there; stop it first",
				 vm->record->id, vm->record->pid);
	if (vm->record->resume) {
		if (!discard)
			return error_set(
				err, -ENOTEMPTY,
				"vm %s: its memory is preserved and would be lost; resume it,"
				" or say that it is to be discarded",
				vm->record->id);
		r = discard_session(vm, err);
		if (r < 0)
			return r;
	}
	/* Not the recorded path: that came from another process. */
	vm_file(luod, vm->record->id, ".json", path);
	unlink(path);
	vm_forget(vm);
	luod_changed(luod);
	resume_check_end(luod);
	return 0;
}

static void take_note(struct vm *vm, const char *text, bool clean)
{
	struct error err = ERROR_INIT;

	if (vm->restart) {
		vm->restart = false;
		if (start_resume(vm, &err) < 0)
			resume_failed(vm, error_message(&err));
	} else if (vm->record->resume) {
		if (vm->record->status != VM_FAILED)
			resume_failed(vm, text);
		else if (vm->went_away)
			vm_fail(vm, VM_FAILED, text);
	} else if (vm->record->status == VM_STARTING) {
		vm_fail(vm, VM_FAILED, text);
	} else if (vm->record->status == VM_CONNECTED || vm->record->status == VM_DISCONNECTED) {
		if (clean)
			vm_set_status(vm, VM_STOPPED);
		else
			vm_fail(vm, VM_STOPPED, text);
	}
}

void lifecycle_on_gone(struct vm *vm, const char *text, bool clean)
{
	if (vm->next_of) {
		upgrade_on_next_gone(vm->next_of, text);
		return;
	}
	loop_timer_disarm(vm->hello_timer);
	loop_remove_fd(STEAL_PTR(vm->pid_source));
	close_fdp(&vm->pid_fd);
	vm->record->pid = 0;
	if (vm->upgrade && upgrade_on_gone(vm->upgrade, text))
		return;
	take_note(vm, text, clean);
	vm->went_away = false;
	if (vm->luod->update)
		update_on_gone(vm->luod->update, vm);
}

/* NULL: none of ours, or the old one of an exchange. */
static struct vm *find_process(const struct luod *luod, pid_t pid)
{
	for (struct vm_record *record = luod->registry.vms; record; record = record->next) {
		struct vm *next = upgrade_next(record->vm, pid);

		if (next)
			return next;
		if (record->pid == pid)
			return record->vm;
	}
	return NULL;
}

void lifecycle_reap(struct luod *luod)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct vm *vm = find_process(luod, pid);
		char text[ERROR_MESSAGE_MAX];

		if (!vm)
			continue;
		spawn_describe_exit(luod, vm->record->id, status, text, sizeof(text));
		lifecycle_on_gone(vm, text, WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
}

static void on_pid_fd(void *opaque, uint32_t events _unused_)
{
	struct vm *vm = opaque;

	lifecycle_on_gone(vm, "its vmm ended", false);
}

/* Of a vmm that others started no SIGCHLD comes: its pidfd tells (pidfd_open(2)). */
void lifecycle_watch(struct vm *vm)
{
	struct error err = ERROR_INIT;
	siginfo_t info;

	loop_remove_fd(STEAL_PTR(vm->pid_source));
	close_fdp(&vm->pid_fd);
	if (vm->record->pid <= 0 ||
	    waitid(P_PID, (id_t)vm->record->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		return;
	vm->pid_fd = (int)syscall(SYS_pidfd_open, vm->record->pid, 0);
	if (vm->pid_fd < 0)
		return;
	if (loop_add_fd(vm->luod->loop, vm->pid_fd, EPOLLIN, on_pid_fd, vm, &vm->pid_source, &err) <
	    0) {
		log_warning("vm %s: %s", vm->record->id, error_message(&err));
		close_fdp(&vm->pid_fd);
	}
}

/* What an initramfs started, luod's unit is to answer for: so that it is spared when the host
 * stops. */
static void claim(const struct vm *vm)
{
	struct error err = ERROR_INIT;
	char path[PATH_MAX];

	if (vm->record->pid <= 0 || cgroup_of(vm->record->pid, path, sizeof(path)) < 0 ||
	    !cgroup_is_unowned(path))
		return;
	if (cgroup_join_own(vm->record->pid, &err) < 0)
		log_warning("vm %s: %s", vm->record->id, error_message(&err));
}

void lifecycle_on_hello(struct vm *vm)
{
	struct error err = ERROR_INIT;
	int r = 0;

	claim(vm);

	if (vm->next_of) {
		upgrade_on_hello(vm->next_of);
		return;
	}
	lifecycle_watch(vm);
	/* An exchange goes its own way. */
	if (vm->upgrade)
		return;
	switch (vm->record->phase) {
	case AGENT_PHASE_WAITING:
		resume_hand_over(vm);
		break;
	case AGENT_PHASE_PREPARING:
	case AGENT_PHASE_PREPARED:
	case AGENT_PHASE_FREEZING:
	case AGENT_PHASE_FROZEN:
		/* Left by a luod that died in an update: there is none that would end it. */
		if (vm->luod->update)
			break;
		log_warning("vm %s: is %s of an update that is no more; its guest goes on here",
			    vm->record->id, agent_phase_name(vm->record->phase));
		/* Nor is there anything to be rescued. */
		if (vm->restart)
			vm->restart = vm->record->resume = false;
		handover_drop(&vm->handover);
		r = vm_tell(vm, AGENT_ABORT, &err);
		break;
	case AGENT_PHASE_RELEASED:
		resume_take_back(vm);
		break;
	case AGENT_PHASE_RESUMED:
		resume_finish(vm);
		break;
	case AGENT_PHASE_FAILED:
		vm->record->resume = true;
		resume_failed(vm, "its vmm could not take it up; see its log");
		break;
	case AGENT_PHASE_RUNNING:
		vm->record->resume = false;
		snapshot_forget(vm->record);
		handover_drop(&vm->handover);
		resume_check_end(vm->luod);
		break;
	case AGENT_PHASE_ADOPTED:
	case AGENT_PHASE_LOADED:
	case AGENT_PHASE_MAX:
		break;
	}
	if (r < 0)
		log_warning("%s", error_message(&err));
}

void lifecycle_on_no_hello(struct vm *vm)
{
	if (vm->peer || vm->record->status != VM_STARTING)
		return;
	/* Its end is noticed by lifecycle_reap(). */
	kill(vm->record->pid, SIGKILL);
	log_warning("vm %s: its vmm (pid %d) said no hello in %u s and is ended", vm->record->id,
		    vm->record->pid, HELLO_DEADLINE_MS / 1000);
}

void lifecycle_on_phase(struct vm *vm)
{
	if (vm->record->phase == AGENT_PHASE_RESUMED && vm->record->resume && !vm->request.active &&
	    !vm->upgrade)
		resume_finish(vm);
}

void lifecycle_on_disconnect(struct vm *vm)
{
	/* Whether it is gone or connects again: SIGCHLD or the pidfd tells, or its hello. */
	if (vm->luod->update)
		update_on_disconnect(vm->luod->update, vm);
}
