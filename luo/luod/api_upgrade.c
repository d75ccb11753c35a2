/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/v1/vms/{id}/upgrade */
#include "base/json.h"
#include "luo/luod/api.h"
#include "luo/luod/update.h"
#include "luo/luod/upgrade.h"
#include "luo/luod/view.h"

#define TIMEOUT_MAX_MS 3600000U

int api_vm_upgrade(struct luod *luod, const struct http_request *request,
		   struct http_response *response, struct error *err)
{
	struct vm_record *record = registry_find(&luod->registry, request->id);
	struct problems problems = {0};
	struct json_reader reader;
	const char *binary;
	unsigned int freeze_timeout_ms;
	int r;

	json_reader_init(&reader, request->body, "", &problems);
	binary = json_get_string(&reader, "vmm", NULL, PATH_MAX);
	freeze_timeout_ms = (unsigned int)json_get_u64(&reader, "freeze-timeout-ms",
						       UPDATE_FREEZE_TIMEOUT_MS, 1, TIMEOUT_MAX_MS);
	json_reader_end(&reader);
	if (binary && binary[0] != '/')
		problem_add(&problems, "vmm: must be an absolute path");
	r = problems_result(&problems, err);
	if (r == 0 && !record)
		r = error_set(err, -ENOENT, "vm %s: there is none of that id", request->id);
	if (r == 0)
		r = upgrade_begin(record->vm, binary, freeze_timeout_ms, err);
	if (r < 0)
		return r;
	response->status = 202;
	response->body = vm_view(&luod->registry, record);
	if (!response->body)
		return error_set(err, -ENOMEM, "out of memory");
	json_object_set_new(response->body, "revision", json_integer((json_int_t)luod->revision));
	return 0;
}
