/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/vms */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "luo/luod/api.h"
#include "luo/luod/lifecycle.h"
#include "luo/luod/spawn.h"
#include "luo/luod/view.h"

/* A VM that the caller may not see is one that is not there. */
int api_find_vm(struct luod *luod, const struct http_request *request, struct vm **ret,
		struct error *err)
{
	struct vm_record *record = registry_find(&luod->registry, request->id);

	if (!record || !caller_may_see(request->caller, record->owner))
		return error_set(err, -ENOENT, "vm %s: there is none of that id", request->id);
	*ret = record->vm;
	return 0;
}

static int find_to_act(struct luod *luod, const struct http_request *request, struct vm **ret,
		       struct error *err)
{
	int r = api_find_vm(luod, request, ret, err);

	if (r == 0 && !caller_may_act(request->caller, (*ret)->record->owner))
		r = error_set(err, -EACCES, "vm %s: you may look at it, no more", request->id);
	return r;
}

int api_answer_vm(struct luod *luod, const struct vm *vm, unsigned int status,
		  struct http_response *response, struct error *err)
{
	response->status = status;
	response->body = vm_view(&luod->registry, vm->record);
	if (!response->body)
		return error_set(err, -ENOMEM, "out of memory");
	json_object_set_new(response->body, "revision", json_integer((json_int_t)luod->revision));
	return 0;
}

int api_vms(struct luod *luod, const struct http_request *request, struct http_response *response,
	    struct error *err)
{
	json_t *vms = json_array();

	for (struct vm_record *record = luod->registry.vms; vms && record; record = record->next) {
		if (caller_may_see(request->caller, record->owner))
			json_array_append_new(vms, vm_view(&luod->registry, record));
	}
	response->body =
		json_pack("{s:o, s:I}", "vms", vms, "revision", (json_int_t)luod->revision);
	return response->body ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int api_vm(struct luod *luod, const struct http_request *request, struct http_response *response,
	   struct error *err)
{
	struct vm *vm = NULL;
	int r = api_find_vm(luod, request, &vm, err);

	return r < 0 ? r : api_answer_vm(luod, vm, 200, response, err);
}

static int read_uid(const char *text, uid_t *ret, struct error *err)
{
	uint64_t uid;

	if (decimal_parse(text, UINT32_MAX - 1, &uid) < 0)
		return error_set(err, -EINVAL, "owner: %.32s is no user id", text);
	*ret = (uid_t)uid;
	return 0;
}

int api_vm_create(struct luod *luod, const struct http_request *request,
		  struct http_response *response, struct error *err)
{
	const char *owner = http_query(request, "owner"), *start = http_query(request, "start");
	bool only_define = start && strcmp(start, "false") == 0;
	struct vm *vm = NULL;
	uid_t uid = 0;
	int r = owner ? read_uid(owner, &uid, err) : 0;

	if (r == 0 && !request->body)
		r = error_set(err, -EINVAL, "body: the VM's configuration is missing");
	if (r == 0)
		r = only_define ? lifecycle_define(luod, request->body, &vm, err)
				: lifecycle_start(luod, request->body, &vm, err);
	if (r < 0)
		return r;
	if (owner)
		vm->record->owner = uid;
	luod_changed(luod);
	snprintf(response->location, sizeof(response->location), "/api/v1/vms/%s", vm->record->id);
	return api_answer_vm(luod, vm, 201, response, err);
}

/* With the configuration that it was created with. */
int api_vm_start(struct luod *luod, const struct http_request *request,
		 struct http_response *response, struct error *err)
{
	json_t *config = NULL;
	struct vm *vm = NULL;
	char path[PATH_MAX];
	int r = find_to_act(luod, request, &vm, err);

	if (r < 0)
		return r;
	/* Not the recorded path: that came from another process. */
	vm_file(luod, vm->record->id, ".json", path);
	if (access(path, F_OK) < 0)
		return error_set(err, -ENOTCONN,
				 "vm %s: luod did not start it and has no configuration of it;"
				 " start its vmm as before",
				 request->id);
	r = json_load_path(path, &config, err);
	if (r == 0)
		r = lifecycle_start(luod, config, &vm, err);
	json_decref(config);
	return r < 0 ? r : api_answer_vm(luod, vm, 202, response, err);
}

int api_vm_owner(struct luod *luod, const struct http_request *request,
		 struct http_response *response, struct error *err)
{
	struct problems problems = {0};
	struct json_reader reader;
	struct vm *vm = NULL;
	uid_t uid;
	int r;

	json_reader_init(&reader, request->body, "", &problems);
	uid = (uid_t)json_get_u64(&reader, "uid", 0, 0, UINT32_MAX - 1);
	if (!json_has(&reader, "uid"))
		problem_add(&problems, "uid: must be given");
	json_reader_end(&reader);
	r = problems_result(&problems, err);
	if (r < 0)
		return r;
	r = find_to_act(luod, request, &vm, err);
	if (r < 0)
		return r;
	vm->record->owner = uid;
	luod_changed(luod);
	return api_answer_vm(luod, vm, 200, response, err);
}

int api_vm_events(struct luod *luod, const struct http_request *request,
		  struct http_response *response, struct error *err)
{
	struct vm *vm = NULL;
	int r = api_find_vm(luod, request, &vm, err);

	response->stream = true;
	snprintf(response->stream_vm, sizeof(response->stream_vm), "%s", request->id);
	return r;
}

int api_vm_forget(struct luod *luod, const struct http_request *request,
		  struct http_response *response, struct error *err)
{
	const char *text = http_query(request, "discard");
	bool discard = text && strcmp(text, "true") == 0;
	struct vm *vm = NULL;
	int r = find_to_act(luod, request, &vm, err);

	if (r == 0)
		r = lifecycle_forget(vm, discard, err);
	response->status = 204;
	return r;
}

int api_vm_resume(struct luod *luod, const struct http_request *request,
		  struct http_response *response, struct error *err)
{
	struct problems problems = {0};
	struct json_reader reader;
	const char *binary;
	struct vm *vm = NULL;
	int r;

	json_reader_init(&reader, request->body, "", &problems);
	binary = json_get_string(&reader, "vmm", NULL, PATH_MAX);
	json_reader_end(&reader);
	if (binary && binary[0] != '/')
		problem_add(&problems, "vmm: must be an absolute path");
	r = problems_result(&problems, err);
	if (r == 0)
		r = find_to_act(luod, request, &vm, err);
	if (r == 0)
		r = lifecycle_resume(vm, binary, err);
	if (r == 0)
		r = api_answer_vm(luod, vm, 202, response, err);
	return r;
}

static int tell(struct luod *luod, const struct http_request *request, enum agent_verb verb,
		struct http_response *response, struct error *err)
{
	struct vm *vm = NULL;
	int r = find_to_act(luod, request, &vm, err);

	if (r == 0 && luod->update)
		r = error_set(err, -EBUSY, "vm %s: an update is under way; wait for it or abort it",
			      request->id);
	if (r == 0)
		r = vm_tell(vm, verb, err);
	response->status = 204;
	return r;
}

int api_vm_power_button(struct luod *luod, const struct http_request *request,
			struct http_response *response, struct error *err)
{
	return tell(luod, request, AGENT_POWER_BUTTON, response, err);
}

int api_vm_shutdown(struct luod *luod, const struct http_request *request,
		    struct http_response *response, struct error *err)
{
	return tell(luod, request, AGENT_SHUTDOWN, response, err);
}
