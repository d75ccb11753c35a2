/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/v1/vms/{id}/adopt */
#include "base/json.h"
#include "luo/luod/adopt.h"
#include "luo/luod/api.h"

struct asked {
	struct luod *luod;
	struct exchange *exchange; /* NULL: the client has gone */
};

static void on_done(void *opaque, struct vm *vm, int result, struct error *err)
{
	_cleanup_free_ struct asked *asked = opaque;
	struct http_response response = {0};

	if (!asked->exchange)
		return;
	if (result == 0)
		result = api_answer_vm(asked->luod, vm, 200, &response, err);
	http_finish(asked->exchange, result, 200, response.body, err);
}

static int read_socket(const struct http_request *request, const char **ret, struct error *err)
{
	struct problems problems = {0};
	struct json_reader reader;

	json_reader_init(&reader, request->body, "", &problems);
	*ret = json_get_string(&reader, "api-socket", NULL, PATH_MAX);
	json_reader_end(&reader);
	if (!*ret || (*ret)[0] != '/')
		problem_add(&problems, "api-socket: must be an absolute path");
	if (!agent_id_is_valid(request->id))
		problem_add(&problems, "id: it is none that a VM can have");
	return problems_result(&problems, err);
}

int api_vm_adopt(struct luod *luod, const struct http_request *request,
		 struct http_response *response, struct error *err)
{
	struct vm_record *record = registry_find(&luod->registry, request->id);
	const char *api_socket = NULL;
	struct asked *asked;
	int r = read_socket(request, &api_socket, err);

	if (r < 0)
		return r;
	/* It is in luod's care: what was asked for holds. */
	if (record && record->vm->peer)
		return api_answer_vm(luod, record->vm, 200, response, err);
	asked = calloc(1, sizeof(*asked));
	if (!asked)
		return error_set(err, -ENOMEM, "out of memory");
	asked->luod = luod;
	r = adopt_begin(luod, request->id, api_socket, on_done, asked, err);
	if (r < 0) {
		free(asked);
		return r;
	}
	http_set_slot(request->exchange, &asked->exchange);
	return HTTP_PENDING;
}
