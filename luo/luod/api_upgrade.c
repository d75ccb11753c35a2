/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/v1/vms/{id}/upgrade */
#include "base/json.h"
#include "luo/luod/api.h"
#include "luo/luod/update.h"
#include "luo/luod/upgrade.h"

int api_vm_upgrade(struct luod *luod, const struct http_request *request,
		   struct http_response *response, struct error *err)
{
	struct problems problems = {0};
	struct json_reader reader;
	struct vm *vm = NULL;
	const char *binary;
	unsigned int freeze_timeout_ms;
	int r;

	json_reader_init(&reader, request->body, "", &problems);
	binary = json_get_string(&reader, "vmm", NULL, PATH_MAX);
	freeze_timeout_ms = (unsigned int)json_get_u64(
		&reader, "freeze-timeout-ms", UPDATE_FREEZE_TIMEOUT_MS, 1, API_TIMEOUT_MAX_MS);
	json_reader_end(&reader);
	if (binary && binary[0] != '/')
		problem_add(&problems, "vmm: must be an absolute path");
	r = problems_result(&problems, err);
	if (r == 0)
		r = api_find_vm(luod, request, &vm, err);
	if (r == 0)
		r = upgrade_begin(vm, binary, freeze_timeout_ms, err);
	return r < 0 ? r : api_answer_vm(luod, vm, 202, response, err);
}
