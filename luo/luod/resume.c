/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/resume.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "base/work.h"
#include "luo/client.h"
#include "luo/luod/lifecycle.h"
#include "luo/luod/registry_memfd.h"
#include "luo/luod/snapshot.h"
#include "luo/luod/update.h"

/* Retrieving takes time in proportion to the guest's memory, finishing too. */
#define RESUME_DEADLINE_MS 300000U
#define FINISH_DEADLINE_MS 120000U
/* How often a snapshot is looked for whose disk is not mounted yet. */
#define SNAPSHOT_RETRY_MS 1000U

static void mark_preserved(struct luod *luod)
{
	struct update_record *update = &luod->registry.update;
	struct utsname uts;

	update->state = UPDATE_RESUMING;
	update->kexec_end_tsc = luod->start_tsc;
	if (uname(&uts) == 0)
		registry_set_text(update->to, sizeof(update->to), uts.release);
	for (struct vm_record *record = luod->registry.vms; record; record = record->next) {
		struct timeline kexec = {0};

		record->status = VM_PRESERVED;
		record->resume = true;
		record->pid = 0;
		record->why[0] = '\0';
		/* A TSC that was set back would make a phase that ends before it begins. */
		if (update->kexec_end_tsc >= update->kexec_begin_tsc) {
			kexec.phases[TIMELINE_KEXEC].begin_tsc = update->kexec_begin_tsc;
			kexec.phases[TIMELINE_KEXEC].end_tsc = update->kexec_end_tsc;
		}
		timeline_merge(&record->timeline, &kexec);
	}
}

int resume_probe(struct luod *luod, struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE;
	int r;

	r = luo_session_retrieve(LUO_HOST_SESSION, LUO_OPEN_TIMEOUT_MS, &luod->host_session, err);
	if (r == -ENOENT) {
		log_debug("%s", error_message(err));
		return 0;
	}
	/* A luod before this one had it, on this kernel: the state file goes on from there. */
	if (r == -EALREADY)
		return 0;
	if (r == 0)
		r = luo_session_retrieve_fd(luod->host_session, TOKEN_REGISTRY, "registry", &fd,
					    err);
	if (r == 0)
		r = registry_memfd_read(fd, &luod->registry, err);
	if (r < 0)
		return r;
	luod->registry_fd = steal_fd(&fd);
	mark_preserved(luod);
	return 1;
}

void resume_read_history(struct luod *luod)
{
	struct error err = ERROR_INIT;

	if (luod->registry_fd < 0)
		return;
	if (registry_memfd_read_history(luod->registry_fd, &luod->registry, &err) < 0)
		log_warning("%s; the updates of before are not known any more",
			    error_message(&err));
	close_fdp(&luod->registry_fd);
}

/* VMs whose guest is being taken up at this moment: it does not run yet, nor has it failed. */
static unsigned int count_on_their_way(const struct luod *luod)
{
	unsigned int count = 0;

	for (const struct vm_record *record = luod->registry.vms; record; record = record->next)
		count += record->resume && record->vm->taking_up;
	return count;
}

static void start_more(struct luod *luod);

static void look_again(void *opaque)
{
	start_more(opaque);
}

/* It is told as a reason, so that an update need not wait for it for ever; but luod looks on. */
static void wait_for_snapshot(struct vm *vm)
{
	struct luod *luod = vm->luod;
	struct vm_record *record = vm->record;
	char why[ERROR_MESSAGE_MAX];
	struct error err = ERROR_INIT;

	if (!luod->snapshot_timer &&
	    loop_timer_new(luod->loop, look_again, luod, &luod->snapshot_timer, &err) < 0)
		log_warning("%s", error_message(&err));
	if (luod->snapshot_timer)
		loop_timer_arm(luod->snapshot_timer, SNAPSHOT_RETRY_MS * NSEC_PER_MSEC, 0);
	if (record->why[0])
		return;
	snprintf(why, sizeof(why),
		 "its guest is in %.512s, which is not there yet: mount the disk that it is on",
		 record->snapshot);
	registry_set_text(record->why, sizeof(record->why), why);
	log_warning("vm %s: %s", record->id, record->why);
	luod_changed(luod);
}

/*
 * As many at once as the processors bear: more would not be sooner, and each would be later. The
 * order is that of the registry.
 */
static void start_more(struct luod *luod)
{
	unsigned int at_once = luod->registry.update.at_once;
	struct error err = ERROR_INIT;

	if (luod->starting_more)
		return;
	if (!at_once)
		at_once = update_default_at_once();
	luod->starting_more = true;
	for (struct vm_record *record = luod->registry.vms; record; record = record->next) {
		if (count_on_their_way(luod) >= at_once)
			break;
		if (record->status != VM_PRESERVED || record->vm->taking_up)
			continue;
		if (snapshot_is_missing(record)) {
			wait_for_snapshot(record->vm);
			continue;
		}
		record->vm->taking_up = true;
		if (lifecycle_resume(record->vm, NULL, &err) < 0)
			resume_failed(record->vm, error_message(&err));
	}
	luod->starting_more = false;
	/* Now there is time for those who want to look at them, and for the rest of the host. */
	if (luod->ready_timer && count_on_their_way(luod) == 0)
		loop_timer_arm(luod->ready_timer, 0, 0);
}

/* It runs, or it has failed: the next one's turn. */
static void give_way(struct vm *vm)
{
	if (!vm->taking_up)
		return;
	vm->taking_up = false;
	start_more(vm->luod);
}

void resume_begin(struct luod *luod)
{
	start_more(luod);
	resume_check_end(luod);
}

static void on_finished(struct vm *vm, int result, struct error *err, void *opaque _unused_)
{
	if (result < 0) {
		/* The guest runs; only its session could not be ended. It is tried again with the
		 * next hello. */
		registry_set_text(vm->record->why, sizeof(vm->record->why), error_message(err));
		log_warning("%s", error_message(err));
	} else {
		close_fdp(&vm->session_fd);
		handover_drop(&vm->handover);
		vm->record->resume = false;
		snapshot_forget(vm->record);
		vm->record->why[0] = '\0';
		log_info("vm %s: goes on on this kernel", vm->record->id);
	}
	luod_changed(vm->luod);
	resume_check_end(vm->luod);
}

void resume_finish(struct vm *vm)
{
	struct agent_request request = {.verb = AGENT_FINISH};
	struct error err = ERROR_INIT;

	give_way(vm);
	if (vm_request(vm, &request, FINISH_DEADLINE_MS, FD_NONE, on_finished, NULL, &err) < 0)
		log_warning("%s", error_message(&err));
}

static void on_resumed(struct vm *vm, int result, struct error *err, void *opaque _unused_)
{
	if (result < 0)
		resume_failed(vm, error_message(err));
	else if (vm->record->phase == AGENT_PHASE_RESUMED)
		resume_finish(vm);
	else
		/* "Loaded": a guest that its user has paused; the event "resumed" follows. */
		give_way(vm);
}

static void on_resumed_again(struct vm *vm, int result, struct error *err, void *opaque)
{
	if (result == 0)
		vm_set_status(vm, VM_CONNECTED);
	on_resumed(vm, result, err, opaque);
}

int resume_again(struct vm *vm, struct error *err)
{
	struct agent_request request = {.verb = AGENT_RESUME};
	int r = vm_request(vm, &request, RESUME_DEADLINE_MS, FD_NONE, on_resumed_again, NULL, err);

	if (r == 0)
		vm_set_status(vm, VM_STARTING);
	return r;
}

static void on_adopted(struct vm *vm, int result, struct error *err, void *opaque _unused_)
{
	if (result < 0)
		resume_failed(vm, error_message(err));
	else
		resume_take_back(vm);
}

/* What a vmm exported that died in an exchange. */
static void send_handover(struct vm *vm)
{
	struct agent_request request = {.verb = AGENT_ADOPT, .tokens = vm->handover.tokens};
	struct error err = ERROR_INIT;

	if (vm_request_fds(vm, &request, RESUME_DEADLINE_MS, vm->handover.fds,
			   vm->handover.tokens.count, on_adopted, NULL, &err) < 0)
		resume_failed(vm, error_message(&err));
}

void resume_take_back(struct vm *vm)
{
	struct agent_request request = {.verb = AGENT_RESUME};
	struct error err = ERROR_INIT;

	vm->record->resume = true;
	if (vm_request(vm, &request, RESUME_DEADLINE_MS, FD_NONE, on_resumed, NULL, &err) < 0)
		resume_failed(vm, error_message(&err));
}

static void send_snapshot(struct vm *vm)
{
	struct agent_request request = {.verb = AGENT_RESTORE};
	_cleanup_fd_ int fd = FD_NONE;
	struct error err = ERROR_INIT;
	int r = snapshot_open(vm->record, &fd, &err);

	if (r == 0)
		r = vm_request(vm, &request, RESUME_DEADLINE_MS, fd, on_resumed, NULL, &err);
	if (r < 0)
		resume_failed(vm, error_message(&err));
}

static void send_session(struct vm *vm)
{
	struct agent_request request = {.verb = AGENT_RESUME};
	struct error err = ERROR_INIT;

	if (vm_request(vm, &request, RESUME_DEADLINE_MS, vm->session_fd, on_resumed, NULL, &err) <
	    0)
		resume_failed(vm, error_message(&err));
}

/* The wait for another opener of the device, beside the loop. */
struct retrieve_job {
	struct luod *luod;
	char id[LUO_VM_ID_MAX + 1];
	char name[LUO_SESSION_NAME_SIZE];
	int fd;
};

static int retrieve_run(void *opaque, struct error *err)
{
	struct retrieve_job *job = opaque;

	return luo_session_retrieve(job->name, LUO_OPEN_TIMEOUT_MS, &job->fd, err);
}

static void retrieve_done(void *opaque, int result, struct error *err)
{
	_cleanup_free_ struct retrieve_job *job = opaque;
	struct vm_record *record = registry_find(&job->luod->registry, job->id);

	/* Forgotten meanwhile: then what it had is given up, as was asked. */
	if (!record || record->vm->session_fd >= 0) {
		close_fdp(&job->fd);
		return;
	}
	record->vm->session_fd = job->fd;
	if (result < 0)
		resume_failed(record->vm, error_message(err));
	else
		send_session(record->vm);
}

static int retrieve_beside(struct vm *vm, const char *name, struct error *err)
{
	struct retrieve_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return error_set(err, -ENOMEM, "vm %s: out of memory", vm->record->id);
	job->luod = vm->luod;
	job->fd = FD_NONE;
	snprintf(job->id, sizeof(job->id), "%s", vm->record->id);
	snprintf(job->name, sizeof(job->name), "%s", name);
	r = work_start(vm->luod->loop, "retrieve", retrieve_run, retrieve_done, job, err);
	if (r < 0)
		free(job);
	return r;
}

/*
 * The session is retrieved only now, when somebody is there to have it: until then it is safe in
 * the kernel from whatever happens to luod, and between here and the message lie microseconds.
 */
void resume_hand_over(struct vm *vm)
{
	char name[LUO_SESSION_NAME_SIZE];
	struct error err = ERROR_INIT;
	int r = 0;

	vm->record->resume = true;
	if (vm->handover.tokens.count > 0) {
		send_handover(vm);
		return;
	}
	if (vm->record->snapshot[0]) {
		send_snapshot(vm);
		return;
	}
	if (vm->session_fd < 0) {
		snprintf(name, sizeof(name), LUO_VM_SESSION_PREFIX "%s", vm->record->id);
		r = luo_session_retrieve(name, 0, &vm->session_fd, &err);
		if (r == -EBUSY) {
			r = retrieve_beside(vm, name, &err);
			if (r == 0)
				return;
		}
	}
	if (r < 0)
		resume_failed(vm, error_message(&err));
	else
		send_session(vm);
}

void resume_failed(struct vm *vm, const char *why)
{
	vm_fail(vm, VM_FAILED, why);
	give_way(vm);
	log_warning("vm %s: what is preserved of it is kept; try again with: luoctl vm resume %s"
		    " [--vmm PATH]",
		    vm->record->id, vm->record->id);
	resume_check_end(vm->luod);
}

static void finish_host_session(struct luod *luod)
{
	struct error err = ERROR_INIT;

	if (luod->host_session < 0)
		return;
	/* Closing finishes it too, but says nothing when that fails. */
	if (luo_session_finish(luod->host_session, &err) < 0)
		log_warning("%s", error_message(&err));
	close_fdp(&luod->host_session);
}

void resume_check_end(struct luod *luod)
{
	struct update_record *update = &luod->registry.update;
	const struct vm_record *failed = NULL;

	if (update->state != UPDATE_RESUMING && update->state != UPDATE_PARTIAL)
		return;
	for (const struct vm_record *record = luod->registry.vms; record; record = record->next) {
		if (!record->in_update || !record->resume)
			continue;
		/* Without a reason it is still on its way. */
		if (!record->why[0])
			return;
		failed = record;
	}
	update->why[0] = '\0';
	if (failed) {
		update->state = UPDATE_PARTIAL;
		registry_set_text(update->why, sizeof(update->why), failed->why);
	} else {
		update->state = UPDATE_DONE;
		finish_host_session(luod);
	}
	log_info("update %s: %s", update->id, update_state_name(update->state));
	luod->registry.tsc_khz = luod_tsc_khz(luod);
	resume_read_history(luod);
	registry_archive_update(&luod->registry);
	luod_changed(luod);
}
