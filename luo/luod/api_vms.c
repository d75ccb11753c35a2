/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/vms */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "luo/luod/api.h"
#include "luo/luod/lifecycle.h"
#include "luo/luod/view.h"

static int find(struct luod *luod, const struct http_request *request, struct vm **ret,
		struct error *err)
{
	struct vm_record *record = registry_find(&luod->registry, request->id);

	if (!record)
		return error_set(err, -ENOENT, "vm %s: there is none of that id", request->id);
	*ret = record->vm;
	return 0;
}

static int answer_vm(struct luod *luod, const struct vm *vm, unsigned int status,
		     struct http_response *response, struct error *err)
{
	response->status = status;
	response->body = vm_view(&luod->registry, vm->record);
	if (!response->body)
		return error_set(err, -ENOMEM, "out of memory");
	json_object_set_new(response->body, "revision", json_integer((json_int_t)luod->revision));
	return 0;
}

int api_vms(struct luod *luod, const struct http_request *request _unused_,
	    struct http_response *response, struct error *err)
{
	json_t *vms = json_array();

	for (struct vm_record *record = luod->registry.vms; vms && record; record = record->next)
		json_array_append_new(vms, vm_view(&luod->registry, record));
	response->body =
		json_pack("{s:o, s:I}", "vms", vms, "revision", (json_int_t)luod->revision);
	return response->body ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int api_vm(struct luod *luod, const struct http_request *request, struct http_response *response,
	   struct error *err)
{
	struct vm *vm = NULL;
	int r = find(luod, request, &vm, err);

	return r < 0 ? r : answer_vm(luod, vm, 200, response, err);
}

int api_vm_start(struct luod *luod, const struct http_request *request,
		 struct http_response *response, struct error *err)
{
	struct vm *vm = NULL;
	int r;

	if (!request->body)
		return error_set(err, -EINVAL, "body: the VM's configuration is missing");
	r = lifecycle_start(luod, request->body, &vm, err);
	if (r < 0)
		return r;
	snprintf(response->location, sizeof(response->location), "/api/v1/vms/%s", vm->record->id);
	return answer_vm(luod, vm, 201, response, err);
}

int api_vm_forget(struct luod *luod, const struct http_request *request,
		  struct http_response *response, struct error *err)
{
	bool discard = request->discard && strcmp(request->discard, "true") == 0;
	struct vm *vm = NULL;
	int r = find(luod, request, &vm, err);

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
		r = find(luod, request, &vm, err);
	if (r == 0)
		r = lifecycle_resume(vm, binary, err);
	return r < 0 ? r : answer_vm(luod, vm, 202, response, err);
}

static int tell(struct luod *luod, const struct http_request *request, enum agent_verb verb,
		struct http_response *response, struct error *err)
{
	struct vm *vm = NULL;
	int r = find(luod, request, &vm, err);

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
