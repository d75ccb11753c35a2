/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of an update and what takes each back; docs/live-update.md has the reasons. What costs
 * time comes while the guests run; between the freeze and reboot(2) there is only what must be.
 */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/work.h"
#include "luo/client.h"
#include "luo/luod/registry_memfd.h"
#include "luo/luod/update.h"
#include "luo/luod/update_ask.h"
#include "luo/luod/update_host.h"
#include "luo/luod/update_jobs.h"
#include "luo/luod/update_shutdown.h"
#include "luo/luod/update_snapshot.h"

/* What luod waits on top of what it grants a vmm. */
#define GRACE_MS 5000U
#define UNDO_MS	 30000U

static int run_load(void *opaque, struct error *err)
{
	return job_load(opaque, err);
}

static int undo_load(void *opaque _unused_)
{
	struct error err = ERROR_INIT;

	if (kexec_unload(&err) < 0)
		log_warning("%s", error_message(&err));
	return 0;
}

static int run_sessions(void *opaque, struct error *err)
{
	struct update *u = opaque;
	int r = registry_memfd_new(&u->luod->registry, &u->registry_fd, err);

	return r < 0 ? r : job_sessions(u, err);
}

static int undo_sessions(void *opaque)
{
	struct update *u = opaque;

	close_fdp(&u->session_fd);
	close_fdp(&u->registry_fd);
	for (struct vm_record *record = u->luod->registry.vms; record; record = record->next) {
		if (record->in_update)
			close_fdp(&record->vm->session_fd);
	}
	return 0;
}

static bool want_prepare(struct vm *vm)
{
	return !vm->by_snapshot && (vm->asked_prepare = true);
}

static int run_prepare(void *opaque, struct error *err)
{
	struct update *u = opaque;
	struct update_question question = {.verb = AGENT_PREPARE,
					   .deadline_ms = u->config.prepare_timeout_ms,
					   .with_session = true,
					   .at_once = u->config.at_once,
					   .wanted = want_prepare};

	return update_ask(u, &question, err);
}

static bool want_abort(struct vm *vm)
{
	return vm->peer && vm->asked_prepare;
}

static int undo_prepare(void *opaque)
{
	struct update_question question = {
		.verb = AGENT_ABORT, .deadline_ms = UNDO_MS, .undo = true, .wanted = want_abort};

	/* All at once: the guests run, and none of them has to wait for another. */
	return update_ask(opaque, &question, NULL);
}

/* What is left of the pause that the operator grants, but no more than max_ms. -ETIMEDOUT: none. */
static int pause_left(const struct update *u, unsigned int max_ms, unsigned int *ret_ms,
		      struct error *err)
{
	uint64_t spent_ms = (clock_monotonic_ns() - u->freeze_begin_ns) / NSEC_PER_MSEC;

	*ret_ms = max_ms;
	if (!u->config.pause_timeout_ms)
		return 0;
	if (spent_ms >= u->config.pause_timeout_ms)
		return error_set(err, -ETIMEDOUT,
				 "the guests have stood still for %llu ms, and %u ms were granted "
				 "(pause-timeout): they go on here",
				 (unsigned long long)spent_ms, u->config.pause_timeout_ms);
	*ret_ms = MIN_OF(max_ms, u->config.pause_timeout_ms - (unsigned int)spent_ms);
	return 0;
}

static int run_shutdown(void *opaque, struct error *err)
{
	return shutdown_begin(opaque, err);
}

static int run_snapshot(void *opaque, struct error *err)
{
	return snapshot_begin(opaque, err);
}

static int undo_snapshot(void *opaque)
{
	return snapshot_undo(opaque);
}

static int run_keep(void *opaque, struct error *err)
{
	return snapshot_keep(opaque, err);
}

static int undo_keep(void *opaque)
{
	snapshot_unkeep(opaque);
	return 0;
}

static int run_flush(void *opaque, struct error *err)
{
	return job_sync(opaque, UPDATE_SYNC_TIMEOUT_MS, err);
}

/* A VM that came after the start has nothing preserved: the kexec would end its guest. */
static int refuse_newcomers(const struct update *u, struct error *err)
{
	for (struct vm_record *record = u->luod->registry.vms; record; record = record->next) {
		if (record->in_update || record->vm->shut_down || record->status == VM_STOPPED ||
		    record->status == VM_FAILED)
			continue;
		return error_set(err, -EAGAIN,
				 "vm %s: it was started while the update was under way; start the"
				 " update again",
				 record->id);
	}
	return 0;
}

static int run_host(void *opaque, struct error *err)
{
	struct update *u = opaque;
	int r = u->config.stop_host ? refuse_newcomers(u, err) : 0;

	return r < 0 ? r : host_begin(u, err);
}

static bool want_freeze(struct vm *vm)
{
	return !vm->by_snapshot && (vm->asked_freeze = true);
}

static int run_freeze(void *opaque, struct error *err)
{
	struct update *u = opaque;
	struct update_question question = {.verb = AGENT_FREEZE, .wanted = want_freeze};
	int r = refuse_newcomers(u, err);

	u->freeze_begin_ns = clock_monotonic_ns();
	if (r == 0)
		r = pause_left(u, u->config.freeze_timeout_ms, &question.timeout_ms, err);
	question.deadline_ms = question.timeout_ms + GRACE_MS;
	return r < 0 ? r : update_ask(u, &question, err);
}

static bool want_thaw(struct vm *vm)
{
	return vm->peer && vm->asked_freeze;
}

static int undo_freeze(void *opaque)
{
	struct update_question question = {
		.verb = AGENT_THAW, .deadline_ms = UNDO_MS, .undo = true, .wanted = want_thaw};

	return update_ask(opaque, &question, NULL);
}

/*
 * What guests and vmms wrote to the host's files since the flush must be on disk: the guests go on
 * in the belief that it is, and the page cache does not live through the kexec.
 */
static int run_settle(void *opaque, struct error *err)
{
	struct update *u = opaque;
	unsigned int left_ms = 0;
	int r = pause_left(u, u->config.freeze_timeout_ms, &left_ms, err);

	return r < 0 ? r : job_sync(u, left_ms, err);
}

static int run_reboot(void *opaque, struct error *err)
{
	struct update *u = opaque;
	struct registry *reg = &u->luod->registry;
	unsigned int left_ms;
	int r = refuse_newcomers(u, err);

	if (r == 0)
		r = pause_left(u, 1, &left_ms, err);
	if (r < 0)
		return r;
	reg->tsc_khz = luod_tsc_khz(u->luod);
	reg->update.kexec_begin_tsc = clock_tsc();
	r = registry_memfd_write(u->registry_fd, reg, err);
	if (r == 0)
		r = kexec_reboot(err);
	reg->update.kexec_begin_tsc = 0;
	return r;
}

const struct update_step update_steps[] = {
	/* name, state, run, undo		 what holds when it is done */
	{"load", UPDATE_LOADING, run_load, undo_load}, /* the next kernel fits */
	{"sessions", UPDATE_PREPARING, run_sessions,
	 undo_sessions}, /* luod holds one for each VM */
	{"prepare", UPDATE_PREPARING, run_prepare,
	 undo_prepare},					    /* memory is preserved; guests run */
	{"shutdown", UPDATE_PREPARING, run_shutdown, NULL}, /* who cannot come along has ended */
	{"snapshot", UPDATE_PREPARING, run_snapshot,
	 undo_snapshot},				      /* who goes by a file stands still */
	{"keep", UPDATE_PREPARING, run_keep, undo_keep},      /* the files have their names */
	{"flush", UPDATE_PREPARING, run_flush, NULL},	      /* file systems are nearly clean */
	{"host", UPDATE_STOPPING_HOST, run_host, NULL},	      /* all but the guests has ended */
	{"freeze", UPDATE_FREEZING, run_freeze, undo_freeze}, /* guests stand, states are written */
	{"settle", UPDATE_FREEZING, run_settle, NULL},	      /* file systems are clean */
	{"reboot", UPDATE_REBOOTING, run_reboot, NULL},	      /* does not come back */
};
const unsigned int update_step_count = ARRAY_SIZE(update_steps);
const unsigned int update_dry_steps = 3;
