/* SPDX-License-Identifier: Apache-2.0 */
/* What the API stands on: the VM, if there is one, and the making of one. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "base/version.h"
#include "vmm/program_priv.h"

/* -ESRCH: there is none. */
static int need_vm(const struct program *p, struct error *err)
{
	if (p->vm)
		return 0;
	return error_set(err, -ESRCH, "there is no VM that runs: %s",
			 p->has_created ? "vm.boot boots the one that was created"
					: "vm.create makes one, and vm.restore");
}

/* One process has one VM. */
static int need_none(const struct program *p, struct error *err)
{
	if (!p->vm && !p->has_created)
		return 0;
	return error_set(err, -EEXIST, "there is VM %s already",
			 p->vm ? vm_config(p->vm)->id : p->created.id);
}

static json_t *api_info(void *opaque)
{
	struct program *p = opaque;

	if (p->vm)
		return vm_info_json(p->vm);
	if (!p->has_created)
		return NULL;
	return json_pack("{ss ss ss si ss so sI}", "id", p->created.id, "state", "Created", "phase",
			 "stopped", "pid", (int)getpid(), "version", HOLDFAST_VERSION, "config",
			 vm_config_to_json(&p->created), "memory_actual_size",
			 (json_int_t)vm_config_memory(&p->created));
}

static json_t *api_timeline(void *opaque)
{
	struct program *p = opaque;

	return p->vm ? vm_timeline_json(p->vm) : NULL;
}

static json_t *api_counters(void *opaque)
{
	struct program *p = opaque;

	return p->vm ? vm_counters_json(p->vm) : NULL;
}

static json_t *api_balloon_statistics(void *opaque)
{
	struct program *p = opaque;

	return p->vm ? vm_balloon_statistics_json(p->vm) : NULL;
}

static const char *api_phase(void *opaque)
{
	struct program *p = opaque;

	return p->vm ? update_phase_name(vm_phase(p->vm)) : "stopped";
}

static int api_request(void *opaque, enum vm_verb verb, uint32_t timeout_ms, vm_done_fn *done,
		       void *done_opaque, struct error *err)
{
	struct program *p = opaque;
	struct vm_request request = {.verb = verb,
				     .caller = VM_CALLER_USER,
				     .timeout_ms = timeout_ms,
				     .session_fd = FD_NONE};
	int r;

	/* Nothing is in the way of this one. */
	if (!p->vm && verb == VM_QUIT) {
		loop_stop(p->loop);
		done(done_opaque, 0, NULL);
		return 0;
	}
	r = need_vm(p, err);
	if (r < 0)
		return r;
	if (verb == VM_PREPARE || verb == VM_RESUME_PRESERVED)
		request.session_fd = manager_take_session(&p->manager);
	return vm_request(p->vm, &request, done, done_opaque, err);
}

static int api_add_devices(void *opaque, json_t *devices, struct error *err)
{
	struct program *p = opaque;
	int r = need_vm(p, err);

	return r < 0 ? r : vm_add_devices(p->vm, devices, err);
}

static int api_remove_device(void *opaque, const char *device, struct error *err)
{
	struct program *p = opaque;
	int r = need_vm(p, err);

	return r < 0 ? r : vm_remove_device(p->vm, device, err);
}

static int api_resize_disk(void *opaque, const char *id, uint64_t size, struct error *err)
{
	struct program *p = opaque;
	int r = need_vm(p, err);

	return r < 0 ? r : vm_resize_disk(p->vm, id, size, err);
}

static int api_resize_balloon(void *opaque, uint64_t size, struct error *err)
{
	struct program *p = opaque;
	int r = need_vm(p, err);

	return r < 0 ? r : vm_resize_balloon(p->vm, size, err);
}

static int api_resize_memory(void *opaque, uint64_t size, struct error *err)
{
	struct program *p = opaque;
	int r = need_vm(p, err);

	return r < 0 ? r : vm_resize_memory(p->vm, size, err);
}

static int api_adopt(void *opaque, const char *id, const char *agent, struct error *err)
{
	struct program *p = opaque;
	int r = need_vm(p, err);

	if (r < 0)
		return r;
	if (strcmp(vm_config(p->vm)->id, id) != 0)
		return error_set(err, -EINVAL, "id: this is VM %s", vm_config(p->vm)->id);
	r = vm_set_agent(p->vm, agent, err);
	return r < 0 ? r : program_open_doors(p, err);
}

/* Of a process that has none yet; what belongs to the process stays as it is. */
static int api_create(void *opaque, json_t *document, struct error *err)
{
	struct program *p = opaque;
	struct vm_config config;
	int r = need_none(p, err);

	if (r < 0)
		return r;
	if (json_object_get(document, "api-socket"))
		return error_set(err, -EINVAL, "api-socket: it is this one");
	vm_config_init(&config);
	snprintf(config.api_socket, sizeof(config.api_socket), "%s", p->cli->config.api_socket);
	snprintf(config.agent, sizeof(config.agent), "%s", p->cli->config.agent);
	config.confine = p->cli->config.confine;
	r = vm_config_from_json(document, &config, err);
	if (r == 0)
		r = vm_config_validate(&config, err);
	if (r < 0)
		return error_set(err, -EINVAL, "%s", err->message);
	p->created = config;
	p->has_created = true;
	return 0;
}

static int api_boot(void *opaque, struct error *err)
{
	struct program *p = opaque;
	int r;

	if (p->vm)
		return error_set(err, -EEXIST, "VM %s runs already", vm_config(p->vm)->id);
	if (!p->has_created)
		return need_vm(p, err);
	r = program_make_vm(p, &p->created, false, NULL, err);
	if (r == 0)
		r = vm_boot(p->vm, err);
	/* Of an earlier VM of this process: limits are for good. */
	if (p->confine.entered)
		confine_explain(&p->created, r, err);
	if (r == 0)
		r = program_open_doors(p, err);
	if (r < 0)
		program_drop_vm(p);
	return r;
}

/* Its guest is switched off if it runs. A VM of the command line ends with its process. */
static int api_delete(void *opaque, struct error *err)
{
	const struct vm_request off = {.verb = VM_SHUTDOWN, .session_fd = FD_NONE};
	struct program *p = opaque;
	int r;

	if (!p->vm && p->has_created) {
		p->has_created = false;
		return 0;
	}
	r = need_vm(p, err);
	if (r == 0)
		r = vm_request(p->vm, &off, NULL, NULL, err);
	if (r == 0)
		p->forget = true;
	return r;
}

static int api_snapshot(void *opaque, const char *path, vm_done_fn *done, void *done_opaque,
			struct error *err)
{
	struct program *p = opaque;
	int r = need_vm(p, err);

	return r < 0 ? r : program_snapshot(p, path, done, done_opaque, err);
}

struct restoring {
	struct program *p;
	vm_done_fn *done;
	void *opaque;
};

static void restored(void *opaque, int result, const struct error *err)
{
	_cleanup_free_ struct restoring *job = opaque;
	struct program *p = job->p;

	if (result == 0) {
		p->created = *vm_config(p->vm);
		p->has_created = true;
	} else {
		/* Nothing of it was begun: the file is as it was. */
		loop_timer_arm(p->vm_ended, 0, 0);
	}
	job->done(job->opaque, result, err);
}

static int api_restore(void *opaque, const char *path, vm_done_fn *done, void *done_opaque,
		       struct error *err)
{
	struct program *p = opaque;
	struct restoring *job;
	int r = need_none(p, err);

	if (r < 0)
		return r;
	job = calloc(1, sizeof(*job));
	if (!job)
		return error_set(err, -ENOMEM, "out of memory");
	*job = (struct restoring){p, done, done_opaque};
	r = program_restore(p, path, "", p->cli->overrides, restored, job, err);
	if (r < 0)
		free(job);
	return r;
}

const struct api_backend program_backend = {
	.info = api_info,
	.timeline = api_timeline,
	.counters = api_counters,
	.balloon_statistics = api_balloon_statistics,
	.phase = api_phase,
	.request = api_request,
	.add_devices = api_add_devices,
	.remove_device = api_remove_device,
	.resize_disk = api_resize_disk,
	.resize_balloon = api_resize_balloon,
	.resize_memory = api_resize_memory,
	.adopt = api_adopt,
	.create = api_create,
	.boot = api_boot,
	.delete = api_delete,
	.snapshot = api_snapshot,
	.restore = api_restore,
};
