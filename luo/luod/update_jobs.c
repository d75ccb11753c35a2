/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/update_jobs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/work.h"
#include "luo/client.h"

struct load_job {
	struct update *u;
	struct update_config config; /* a copy: the thread shares nothing with the loop */
};

static int load_run(void *opaque, struct error *err)
{
	struct load_job *job = opaque;
	struct kexec_image image = {.kernel = job->config.kernel,
				    .initrd = job->config.initrd,
				    .cmdline = job->config.cmdline};

	work_step_aside();
	return kexec_load(&image, err);
}

static void load_done(void *opaque, int result, struct error *err)
{
	struct load_job *job = opaque;
	struct update *u = job->u;

	free(job);
	engine_continue(&u->engine, result, err);
}

int job_load(struct update *u, struct error *err)
{
	struct load_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return error_set(err, -ENOMEM, "update: out of memory");
	job->u = u;
	job->config = u->config;
	r = work_start(u->luod->loop, "kexec-load", load_run, load_done, job, err);
	if (r < 0) {
		free(job);
		return r;
	}
	return UPDATE_PENDING;
}

struct new_session {
	char id[LUO_VM_ID_MAX + 1];
	int fd;
};

struct sessions_job {
	struct update *u;
	int registry_fd; /* borrowed: the update lives until the job is done */
	int host_fd;
	unsigned int count;
	struct new_session vms[];
};

static int sessions_run(void *opaque, struct error *err)
{
	struct sessions_job *job = opaque;
	int r;

	r = luo_session_create(LUO_HOST_SESSION, LUO_OPEN_TIMEOUT_MS, &job->host_fd, err);
	if (r == 0)
		r = luo_session_preserve_fd(job->host_fd, job->registry_fd, TOKEN_REGISTRY,
					    "registry", err);
	for (unsigned int i = 0; r == 0 && i < job->count; i++) {
		char name[LUO_SESSION_NAME_SIZE];

		snprintf(name, sizeof(name), LUO_VM_SESSION_PREFIX "%s", job->vms[i].id);
		r = luo_session_create(name, LUO_OPEN_TIMEOUT_MS, &job->vms[i].fd, err);
	}
	return r;
}

/* What was made goes to its owners also when the rest failed: the undo closes it there. */
static void sessions_done(void *opaque, int result, struct error *err)
{
	struct sessions_job *job = opaque;
	struct update *u = job->u;

	u->session_fd = job->host_fd;
	for (unsigned int i = 0; i < job->count; i++) {
		struct vm_record *record = registry_find(&u->luod->registry, job->vms[i].id);

		if (record && record->in_update) {
			close_fdp(&record->vm->session_fd);
			record->vm->session_fd = job->vms[i].fd;
		} else {
			close_fdp(&job->vms[i].fd);
		}
	}
	free(job);
	engine_continue(&u->engine, result, err);
}

int job_sessions(struct update *u, struct error *err)
{
	struct registry *reg = &u->luod->registry;
	struct sessions_job *job =
		calloc(1, sizeof(*job) + reg->vm_count * sizeof(struct new_session));
	int r;

	if (!job)
		return error_set(err, -ENOMEM, "update: out of memory");
	*job = (struct sessions_job){.u = u, .registry_fd = u->registry_fd, .host_fd = FD_NONE};
	for (struct vm_record *record = reg->vms; record; record = record->next) {
		struct new_session *session = &job->vms[job->count];

		if (!record->in_update || record->vm->by_snapshot)
			continue;
		snprintf(session->id, sizeof(session->id), "%s", record->id);
		session->fd = FD_NONE;
		job->count++;
	}
	r = work_start(u->luod->loop, "sessions", sessions_run, sessions_done, job, err);
	if (r < 0) {
		free(job);
		return r;
	}
	return UPDATE_PENDING;
}

/* A sync(2) that hangs outlives the update that asked for it: then `u` is NULL. */
struct sync_job {
	struct update *u;
	struct loop_timer *timer;
};

static int sync_run(void *opaque _unused_, struct error *err _unused_)
{
	sync();
	return 0;
}

static void sync_done(void *opaque, int result, struct error *err)
{
	struct sync_job *job = opaque;
	struct update *u = job->u;

	loop_timer_free(job->timer);
	free(job);
	if (u)
		engine_continue(&u->engine, result, err);
}

static void sync_late(void *opaque)
{
	struct sync_job *job = opaque;
	struct update *u = STEAL_PTR(job->u);
	struct error err = ERROR_INIT;

	if (!u)
		return;
	error_set(&err, -ETIMEDOUT,
		  "file systems: writing them out did not end in time; look for a disk or a network"
		  " file system that hangs");
	engine_continue(&u->engine, -ETIMEDOUT, &err);
}

int job_sync(struct update *u, unsigned int timeout_ms, struct error *err)
{
	struct sync_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return error_set(err, -ENOMEM, "update: out of memory");
	job->u = u;
	r = loop_timer_new(u->luod->loop, sync_late, job, &job->timer, err);
	if (r == 0)
		r = work_start(u->luod->loop, "sync", sync_run, sync_done, job, err);
	if (r < 0) {
		loop_timer_free(job->timer);
		free(job);
		return r;
	}
	loop_timer_arm(job->timer, timeout_ms * NSEC_PER_MSEC, 0);
	return UPDATE_PENDING;
}
