/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/updates and /api/v1/timeline */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "luo/luod/api.h"
#include "luo/luod/update.h"
#include "luo/luod/update_host.h"
#include "luo/luod/view.h"

/*
 * What the caller may see of an update: all, or only the VMs that are his. A new reference in place
 * of view's; NULL when out of memory.
 */
static json_t *for_caller(const struct luod *luod, const struct caller *caller, json_t *view)
{
	json_t *own, *all = json_object_get(view, "vms"), *vm;
	size_t i;

	if (!view || caller->role == ROLE_ADMIN || caller->role == ROLE_VIEWER)
		return view;
	own = json_array();
	json_array_foreach(all, i, vm)
	{
		const char *id = json_string_value(json_object_get(vm, "id"));
		const struct vm_record *record = id ? registry_find(&luod->registry, id) : NULL;

		if (record && caller_may_see(caller, record->owner))
			json_array_append(own, vm);
	}
	/* A copy: the history is not changed. The reason may name VMs of others. */
	all = json_copy(view);
	json_decref(view);
	json_object_del(all, "why");
	if (!all || json_object_set_new(all, "vms", own) < 0) {
		json_decref(all);
		return NULL;
	}
	return all;
}

static int answer_update(struct luod *luod, const struct http_request *request, unsigned int status,
			 struct http_response *response, struct error *err)
{
	response->status = status;
	response->body = for_caller(luod, request->caller, update_view(&luod->registry));
	if (!response->body)
		return error_set(err, -ENOMEM, "out of memory");
	json_object_set_new(response->body, "revision", json_integer((json_int_t)luod->revision));
	return 0;
}

static int read_config(json_t *body, struct update_config *config, struct error *err)
{
	struct problems problems = {0};
	struct json_reader r;
	const char *policy;

	json_reader_init(&r, body, "", &problems);
	snprintf(config->kernel, sizeof(config->kernel), "%s",
		 json_get_string(&r, "kernel", "", sizeof(config->kernel)));
	snprintf(config->initrd, sizeof(config->initrd), "%s",
		 json_get_string(&r, "initrd", "", sizeof(config->initrd)));
	snprintf(config->cmdline, sizeof(config->cmdline), "%s",
		 json_get_string(&r, "cmdline", "", sizeof(config->cmdline)));
	config->reuse_cmdline = json_get_bool(&r, "reuse-cmdline", false);
	config->dry_run = json_get_bool(&r, "dry-run", false);
	config->stop_host = json_get_bool(&r, "stop-host", false);
	config->freeze_timeout_ms = (unsigned int)json_get_u64(
		&r, "freeze-timeout-ms", UPDATE_FREEZE_TIMEOUT_MS, 1, API_TIMEOUT_MAX_MS);
	config->prepare_timeout_ms = (unsigned int)json_get_u64(
		&r, "prepare-timeout-ms", UPDATE_PREPARE_TIMEOUT_MS, 1, API_TIMEOUT_MAX_MS);
	config->pause_timeout_ms =
		(unsigned int)json_get_u64(&r, "pause-timeout-ms", 0, 1, API_TIMEOUT_MAX_MS);
	config->at_once = (unsigned int)json_get_u64(&r, "at-once", update_default_at_once(), 1,
						     UPDATE_AT_ONCE_MAX);
	config->shutdown_timeout_ms = (unsigned int)json_get_u64(
		&r, "shutdown-timeout-ms", UPDATE_SHUTDOWN_TIMEOUT_MS, 1, API_TIMEOUT_MAX_MS);
	snprintf(config->snapshot_dir, sizeof(config->snapshot_dir), "%s",
		 json_get_string(&r, "snapshot-dir", "", sizeof(config->snapshot_dir)));
	policy = json_get_string(&r, "on-unpreservable", "refuse", 32);
	config->order = json_get_array(&r, "order"); /* borrowed from the body */
	json_reader_end(&r);
	if (strcmp(policy, "shutdown") == 0)
		config->unpreservable = UNPRESERVABLE_SHUTDOWN;
	else if (strcmp(policy, "snapshot") == 0)
		config->unpreservable = UNPRESERVABLE_SNAPSHOT;
	else if (strcmp(policy, "refuse") != 0)
		problem_add(&problems, "on-unpreservable: must be refuse, shutdown or snapshot");
	if (config->kernel[0] != '/')
		problem_add(&problems, "kernel: must be an absolute path");
	if (config->initrd[0] && config->initrd[0] != '/')
		problem_add(&problems, "initrd: must be an absolute path");
	if (config->cmdline[0] && config->reuse_cmdline)
		problem_add(&problems, "cmdline and reuse-cmdline exclude each other");
	if (!config->cmdline[0] && !config->reuse_cmdline)
		problem_add(&problems, "cmdline: missing; give one, or reuse-cmdline");
	return problems_result(&problems, err);
}

int api_update_begin(struct luod *luod, const struct http_request *request,
		     struct http_response *response, struct error *err)
{
	struct update_config config = {0};
	int r;

	if (!request->body)
		return error_set(err, -EINVAL, "body: missing; at least \"kernel\" is needed");
	r = read_config(request->body, &config, err);
	if (r == 0)
		r = update_begin(luod, &config, err);
	/* What is not there is the device: this host's, not the client's path. */
	if (r == -ENOENT)
		err->code = r = access(config.kernel, R_OK) == 0 ? -ENODEV : -EINVAL;
	if (r < 0)
		return r;
	snprintf(response->location, sizeof(response->location), "/api/v1/updates/%s",
		 luod->registry.update.id);
	return answer_update(luod, request, 202, response, err);
}

static json_t *find_in_history(const struct luod *luod, const char *id)
{
	json_t *entry;
	size_t i;

	json_array_foreach(luod->registry.history, i, entry)
	{
		const char *of = json_string_value(json_object_get(entry, "id"));

		if (of && strcmp(of, id) == 0)
			return entry;
	}
	return NULL;
}

int api_update(struct luod *luod, const struct http_request *request,
	       struct http_response *response, struct error *err)
{
	json_t *old;

	if (strcmp(request->id, luod->registry.update.id) == 0)
		return answer_update(luod, request, 200, response, err);
	old = find_in_history(luod, request->id);
	if (!old)
		return error_set(err, -ENOENT, "update %s: there is none of that id", request->id);
	response->body = for_caller(luod, request->caller, json_incref(old));
	return response->body ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int api_update_abort(struct luod *luod, const struct http_request *request,
		     struct http_response *response, struct error *err)
{
	int r;

	if (strcmp(request->id, luod->registry.update.id) != 0)
		return error_set(err, -ENOENT, "update %s: there is none of that id under way",
				 request->id);
	r = update_abort(luod, "aborted by the operator", err);
	return r < 0 ? r : answer_update(luod, request, 202, response, err);
}

int api_update_continue(struct luod *luod, const struct http_request *request,
			struct http_response *response, struct error *err)
{
	int r;

	if (strcmp(request->id, luod->registry.update.id) != 0)
		return error_set(err, -ENOENT, "update %s: there is none of that id under way",
				 request->id);
	r = update_go_on(luod, err);
	return r < 0 ? r : answer_update(luod, request, 202, response, err);
}

/* Newest first, the one under way before those that ended. */
static json_t *all_updates(const struct luod *luod, const struct caller *caller)
{
	const struct registry *reg = &luod->registry;
	json_t *updates = json_array(), *entry;
	size_t i;

	if (updates && reg->update.id[0] && !update_has_ended(&reg->update))
		json_array_append_new(updates, for_caller(luod, caller, update_view(reg)));
	json_array_foreach(reg->history, i, entry)
	{
		if (updates)
			json_array_append_new(updates,
					      for_caller(luod, caller, json_incref(entry)));
	}
	return updates;
}

int api_updates(struct luod *luod, const struct http_request *request,
		struct http_response *response, struct error *err)
{
	response->body = json_pack("{s:o, s:I}", "updates", all_updates(luod, request->caller),
				   "revision", (json_int_t)luod->revision);
	return response->body ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* The newest update that came to a kexec, else the newest of all. */
int api_timeline(struct luod *luod, const struct http_request *request,
		 struct http_response *response, struct error *err)
{
	json_t *updates = all_updates(luod, request->caller), *entry,
	       *chosen = json_array_get(updates, 0);
	size_t i;

	json_array_foreach(updates, i, entry)
	{
		if (json_object_get(entry, "timeline")) {
			chosen = entry;
			break;
		}
	}
	response->body = json_incref(chosen);
	json_decref(updates);
	if (!response->body)
		return error_set(err, -ENOENT, "timeline: no update is known on this host yet");
	return 0;
}
