/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/update_snapshot.h"

#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/log.h"
#include "base/new_file.h"
#include "base/work.h"
#include "luo/luod/snapshot.h"
#include "luo/luod/update_ask.h"

#define UNDO_MS 30000U

int snapshot_check_folder(const char *folder, struct error *err)
{
	struct statfs fs;
	struct stat st;

	if (folder[0] != '/')
		return error_set(err, -EINVAL,
				 "snapshot-dir: name a folder by its absolute path for guests that"
				 " cannot be preserved");
	if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode) || statfs(folder, &fs) < 0)
		return error_set(err, -EINVAL, "snapshot-dir: %s is no folder of this host",
				 folder);
	if ((unsigned long)fs.f_type == TMPFS_MAGIC || (unsigned long)fs.f_type == RAMFS_MAGIC)
		return error_set(err, -EINVAL,
				 "snapshot-dir: %s is in memory and does not live through the"
				 " update: name one on a disk",
				 folder);
	return 0;
}

/* A file that is there may be all that is left of a guest: it is not written over. */
static int create(const struct update *u, struct vm *vm, struct error *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s.snapshot", u->config.snapshot_dir,
		     vm->record->id) >= (int)sizeof(path))
		return error_set(err, -ENAMETOOLONG, "vm %s: snapshot-dir: the path is too long",
				 vm->record->id);
	return new_file_create(path, &vm->snapshot, err);
}

static bool wanted(struct vm *vm)
{
	return vm->by_snapshot && (vm->asked_snapshot = true);
}

int snapshot_begin(struct update *u, struct error *err)
{
	struct update_question question = {
		.verb = AGENT_SNAPSHOT,
		.timeout_ms = u->config.freeze_timeout_ms,
		.deadline_ms = u->config.prepare_timeout_ms,
		.with_snapshot = true,
		.at_once = u->config.at_once,
		.wanted = wanted,
	};
	int r = 0;

	for (struct vm_record *record = u->luod->registry.vms; record && r == 0;
	     record = record->next) {
		if (record->in_update && record->vm->by_snapshot)
			r = create(u, record->vm, err);
	}
	return r < 0 ? r : update_ask(u, &question, err);
}

static bool wanted_back(struct vm *vm)
{
	return vm->peer && vm->asked_snapshot;
}

int snapshot_undo(struct update *u)
{
	struct update_question question = {
		.verb = AGENT_ABORT, .deadline_ms = UNDO_MS, .undo = true, .wanted = wanted_back};

	for (struct vm_record *record = u->luod->registry.vms; record; record = record->next)
		new_file_drop(&record->vm->snapshot);
	return update_ask(u, &question, NULL);
}

struct keep_job {
	struct update *u;
	unsigned int count;
	struct {
		char id[LUO_VM_ID_MAX + 1];
		struct new_file file;
	} vms[];
};

static int keep_run(void *opaque, struct error *err)
{
	struct keep_job *job = opaque;
	int r = 0;

	for (unsigned int i = 0; i < job->count && r == 0; i++)
		r = new_file_commit(&job->vms[i].file, err);
	return r;
}

/* What has its name is noted also when another has none: the undo takes it away. */
static void keep_done(void *opaque, int result, struct error *err)
{
	struct keep_job *job = opaque;
	struct update *u = job->u;

	for (unsigned int i = 0; i < job->count; i++) {
		struct new_file *file = &job->vms[i].file;
		struct vm_record *record = registry_find(&u->luod->registry, job->vms[i].id);

		if (file->fd < 0 && record)
			registry_set_text(record->snapshot, sizeof(record->snapshot), file->path);
		new_file_drop(file);
	}
	free(job);
	engine_continue(&u->engine, result, err);
}

int snapshot_keep(struct update *u, struct error *err)
{
	struct registry *reg = &u->luod->registry;
	struct keep_job *job = calloc(1, sizeof(*job) + reg->vm_count * sizeof(job->vms[0]));
	int r;

	if (!job)
		return error_set(err, -ENOMEM, "update: out of memory");
	job->u = u;
	for (struct vm_record *record = reg->vms; record; record = record->next) {
		/* Of a guest that has ended meanwhile nothing is kept. */
		if (!record->in_update)
			new_file_drop(&record->vm->snapshot);
		if (record->vm->snapshot.fd < 0)
			continue;
		snprintf(job->vms[job->count].id, sizeof(job->vms[0].id), "%s", record->id);
		job->vms[job->count++].file = record->vm->snapshot;
		record->vm->snapshot.fd = FD_NONE;
	}
	if (job->count == 0) {
		free(job);
		return 0;
	}
	r = work_start(u->luod->loop, "snapshots", keep_run, keep_done, job, err);
	if (r == 0)
		return UPDATE_PENDING;
	for (unsigned int i = 0; i < job->count; i++)
		new_file_drop(&job->vms[i].file);
	free(job);
	return r;
}

void snapshot_unkeep(struct update *u)
{
	for (struct vm_record *record = u->luod->registry.vms; record; record = record->next)
		snapshot_forget(record);
}
