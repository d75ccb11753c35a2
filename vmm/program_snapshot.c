/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots that the user of this process asks for: the files belong to him. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/new_file.h"
#include "base/util.h"
#include "vmm/program_priv.h"
#include "vmm/update/snapshot_file.h"

struct snapshot_job {
	struct new_file file;
	vm_done_fn *done;
	void *opaque;
};

static void snapshot_done(void *opaque, int result, const struct error *err)
{
	_cleanup_free_ struct snapshot_job *job = opaque;
	struct error why = ERROR_INIT;

	if (result == 0) {
		result = new_file_commit(&job->file, &why);
		err = &why;
	}
	new_file_drop(&job->file);
	job->done(job->opaque, result, err);
}

int program_snapshot(struct program *p, const char *path, vm_done_fn *done, void *opaque,
		     struct error *err)
{
	struct vm_request request = {.verb = VM_SNAPSHOT, .caller = VM_CALLER_USER};
	struct snapshot_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return error_set(err, -ENOMEM, "snapshot: out of memory");
	*job = (struct snapshot_job){.file = NEW_FILE_INIT, .done = done, .opaque = opaque};
	r = new_file_create(path, &job->file, err);
	confine_explain(vm_config(p->vm), r, err);
	if (r == 0) {
		request.session_fd = fcntl(job->file.fd, F_DUPFD_CLOEXEC, 0);
		r = vm_request(p->vm, &request, snapshot_done, job, err);
	}
	if (r < 0) {
		new_file_drop(&job->file);
		free(job);
	}
	return r;
}

/* Whose it is. */
static int read_id(int fd, const char *path, const char *id, struct vm_config *config,
		   struct error *err)
{
	struct snapshot snapshot;
	int r = snapshot_read(fd, &snapshot, err);

	if (r < 0)
		return error_prefix(err, "%s: ", path), r;
	if (id[0] && strcmp(id, snapshot.id) != 0)
		return error_set(err, -EINVAL, "%s: it is of VM %s, not of %s", path, snapshot.id,
				 id);
	snprintf(config->id, sizeof(config->id), "%s", snapshot.id);
	return 0;
}

int program_restore(struct program *p, const char *path, const char *id, json_t *overrides,
		    vm_done_fn *done, void *opaque, struct error *err)
{
	struct vm_request request = {.verb = VM_RESTORE, .caller = VM_CALLER_USER};
	struct vm_config config = p->cli->config;
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0) {
		r = error_sys(err, -errno, "%s: cannot open the snapshot", path);
		if (p->confine.entered)
			confine_explain(&config, r, err);
		return r;
	}
	/* It is nobody's but this process's yet; who drives its updates stands in the snapshot. */
	config.agent[0] = '\0';
	r = read_id(fd, path, id, &config, err);
	if (r == 0)
		r = program_make_vm(p, &config, true, overrides, err);
	if (r < 0)
		return r;
	request.session_fd = steal_fd(&fd);
	r = vm_request(p->vm, &request, done, opaque, err);
	if (r < 0)
		program_drop_vm(p);
	return r;
}
