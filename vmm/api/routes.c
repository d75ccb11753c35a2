/* SPDX-License-Identifier: Apache-2.0 */
/* What can be asked, as a table. */
#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "base/version.h"
#include "vmm/api/embedded.h"
#include "vmm/api/request.h"

#define FREEZE_TIMEOUT_MS_MAX 3600000U
#define DEVICE_NAME_MAX	      64
#define SOCKET_PATH_MAX	      108 /* unix(7) */

struct route {
	const char *method; /* a GET route also answers HEAD */
	const char *path;
	void (*handle)(struct api_request *req, const struct route *route);
	enum vm_verb verb;
	vm_done_fn *done; /* of a verb: how its end is answered */
};

static void handle_openapi(struct api_request *req, const struct route *route _unused_)
{
	api_answer_constant(req, embedded_openapi);
}

static void handle_ping(struct api_request *req, const struct route *route _unused_)
{
	api_answer(req, 200,
		   json_pack("{ss ss si}", "build_version", "holdfast " HOLDFAST_VERSION, "version",
			     HOLDFAST_VERSION, "pid", (int)getpid()));
}

static void answer_document(struct api_request *req, json_t *document)
{
	if (document)
		api_answer(req, 200, document);
	else
		api_problem(req, 409, "no-vm", "There is no VM",
			    "no VM runs here: vm.create and vm.boot make one, or vm.restore");
}

static void handle_info(struct api_request *req, const struct route *route _unused_)
{
	answer_document(req, req->api->backend->info(req->api->opaque));
}

static void handle_timeline(struct api_request *req, const struct route *route _unused_)
{
	answer_document(req, req->api->backend->timeline(req->api->opaque));
}

static void handle_counters(struct api_request *req, const struct route *route _unused_)
{
	answer_document(req, req->api->backend->counters(req->api->opaque));
}

static void handle_balloon_statistics(struct api_request *req, const struct route *route _unused_)
{
	json_t *statistics = req->api->backend->balloon_statistics(req->api->opaque);

	if (statistics)
		api_answer(req, 200, statistics);
	else
		api_problem(req, 404, "not-found", "There is no such device",
			    "the VM has no balloon");
}

static void done_empty(void *opaque, int result, const struct error *err)
{
	struct api_request *req = opaque;

	if (result < 0)
		api_problem_of_error(req, result, err);
	else
		api_answer(req, 204, NULL);
}

/* The verbs of an update tell where they led to. */
static void done_with_phase(void *opaque, int result, const struct error *err)
{
	struct api_request *req = opaque;

	if (result < 0)
		api_problem_of_error(req, result, err);
	else
		api_answer(req, 200,
			   json_pack("{ss}", "phase", req->api->backend->phase(req->api->opaque)));
}

/* New reference; NULL: there is none. */
static int parse_body(const struct api_request *req, json_t **ret, struct error *err)
{
	json_error_t why;

	*ret = NULL;
	if (req->body_size == 0)
		return 0;
	*ret = json_loadb(req->body, req->body_size, JSON_REJECT_DUPLICATES, &why);
	if (*ret)
		return 0;
	return error_set(err, -EINVAL, "body: line %d, column %d: %s", why.line, why.column,
			 why.text);
}

/* An absent body is an empty object. */
static int read_body(struct api_request *req, const struct route *route, uint32_t *ret_timeout_ms,
		     struct error *err)
{
	struct problems problems = {0};
	struct json_reader r;
	json_t *body;
	int ret = parse_body(req, &body, err);

	if (ret < 0)
		return ret;
	json_reader_init(&r, body, "", &problems);
	if (route->verb == VM_FREEZE)
		*ret_timeout_ms =
			(uint32_t)json_get_u64(&r, "timeout-ms", 0, 1, FREEZE_TIMEOUT_MS_MAX);
	json_reader_end(&r);
	json_decref(body);
	return problems_result(&problems, err);
}

static void refuse(struct api_request *req, const struct error *err)
{
	api_problem(req, 400, "bad-request", "The request cannot be understood", "%s",
		    error_message(err));
}

static void handle_verb(struct api_request *req, const struct route *route)
{
	const struct api_backend *backend = req->api->backend;
	struct error err = ERROR_INIT;
	uint32_t timeout_ms = 0;
	int r;

	if (read_body(req, route, &timeout_ms, &err) < 0) {
		refuse(req, &err);
		return;
	}
	r = backend->request(req->api->opaque, route->verb, timeout_ms, route->done, req, &err);
	if (r < 0)
		api_problem_of_error(req, r, &err);
}

static void answer_device(struct api_request *req, int result, const struct error *err)
{
	if (result == -EINVAL)
		refuse(req, err);
	else if (result == -ENOENT)
		api_problem(req, 404, "not-found", "There is no such device", "%s",
			    error_message(err));
	else
		done_empty(req, result, err);
}

static void handle_add_device(struct api_request *req, const struct route *route _unused_)
{
	struct error err = ERROR_INIT;
	json_t *body;
	int r = parse_body(req, &body, &err);

	if (r == 0 && body && !json_is_object(body))
		r = error_set(&err, -EINVAL, "body: must be an object");
	if (r == 0)
		r = req->api->backend->add_devices(req->api->opaque, body, &err);
	json_decref(body);
	answer_device(req, r, &err);
}

/* The text of a key that must be there; NULL after a problem was added. */
static const char *need_name(struct json_reader *r, const char *key)
{
	const char *text = json_get_string(r, key, NULL, DEVICE_NAME_MAX);

	if (!text && !json_has(r, key) && r->problems->count == 0)
		problem_add(r->problems, "%s: must be given", key);
	return text;
}

/* Asks the backend for what the body says, if the body can be read. */
typedef int device_fn(const struct api_request *req, struct json_reader *body, struct error *err);

typedef void answer_fn(struct api_request *req, int result, const struct error *err);

static void handle_body(struct api_request *req, device_fn *ask, answer_fn *answer)
{
	struct problems problems = {0};
	struct error err = ERROR_INIT;
	struct json_reader reader;
	json_t *body;
	int r = parse_body(req, &body, &err);

	if (r == 0) {
		json_reader_init(&reader, body, "", &problems);
		r = ask(req, &reader, &err);
	}
	json_decref(body);
	answer(req, r, &err);
}

static void handle_device(struct api_request *req, device_fn *ask)
{
	handle_body(req, ask, answer_device);
}

/* After the last key was read. */
static int read_all(struct json_reader *body, struct error *err)
{
	json_reader_end(body);
	return problems_result(body->problems, err);
}

static int remove_device(const struct api_request *req, struct json_reader *body, struct error *err)
{
	const char *device = need_name(body, "device");
	int r = read_all(body, err);

	return r < 0 ? r : req->api->backend->remove_device(req->api->opaque, device, err);
}

static void handle_remove_device(struct api_request *req, const struct route *route _unused_)
{
	handle_device(req, remove_device);
}

static int resize_disk(const struct api_request *req, struct json_reader *body, struct error *err)
{
	const char *id = need_name(body, "id");
	uint64_t size = json_get_size(body, "size", 0, 512, INT64_MAX);
	int r = read_all(body, err);

	return r < 0 ? r : req->api->backend->resize_disk(req->api->opaque, id, size, err);
}

static void handle_resize_disk(struct api_request *req, const struct route *route _unused_)
{
	handle_device(req, resize_disk);
}

static int resize_balloon(const struct api_request *req, struct json_reader *body,
			  struct error *err)
{
	uint64_t size = json_get_size(body, "size", 0, 0, INT64_MAX);
	int r;

	if (!json_has(body, "size"))
		problem_add(body->problems, "size: must be given");
	r = read_all(body, err);
	return r < 0 ? r : req->api->backend->resize_balloon(req->api->opaque, size, err);
}

static void handle_resize_balloon(struct api_request *req, const struct route *route _unused_)
{
	handle_device(req, resize_balloon);
}

static int resize(const struct api_request *req, struct json_reader *body, struct error *err)
{
	uint64_t size = json_get_size(body, "desired_ram", 0, 0, INT64_MAX);
	int r;

	if (!json_has(body, "desired_ram"))
		problem_add(body->problems, "desired_ram: must be given");
	r = read_all(body, err);
	return r < 0 ? r : req->api->backend->resize_memory(req->api->opaque, size, err);
}

static void answer_resize(struct api_request *req, int result, const struct error *err)
{
	if (result == -ERANGE)
		api_problem(req, 409, "memory-limit", "The guest's memory cannot have this size",
			    "%s", error_message(err));
	else if (result == -ENOMEM)
		api_problem(req, 503, "no-room", "This host has no room for it", "%s",
			    error_message(err));
	else
		answer_device(req, result, err);
}

static void handle_resize(struct api_request *req, const struct route *route _unused_)
{
	handle_body(req, resize, answer_resize);
}

/* A body that is a list's one entry: vm.add-disk is vm.add-device with one disk. */
static void add_one(struct api_request *req, const char *key)
{
	struct error err = ERROR_INIT;
	json_t *body, *devices;
	int r = parse_body(req, &body, &err);

	if (r == 0 && !json_is_object(body))
		r = error_set(&err, -EINVAL, "body: must be an object");
	if (r == 0) {
		devices = json_pack("{s:[O]}", key, body);
		r = req->api->backend->add_devices(req->api->opaque, devices, &err);
		json_decref(devices);
	}
	json_decref(body);
	answer_device(req, r, &err);
}

static void handle_add_disk(struct api_request *req, const struct route *route _unused_)
{
	add_one(req, "disk");
}

static void handle_add_net(struct api_request *req, const struct route *route _unused_)
{
	add_one(req, "net");
}

static void handle_create(struct api_request *req, const struct route *route _unused_)
{
	struct error err = ERROR_INIT;
	json_t *body;
	int r = parse_body(req, &body, &err);

	if (r == 0 && !json_is_object(body))
		r = error_set(&err, -EINVAL, "body: the VM's configuration is missing");
	if (r == 0)
		r = req->api->backend->create(req->api->opaque, body, &err);
	json_decref(body);
	answer_device(req, r, &err);
}

static int boot(const struct api_request *req, struct json_reader *body, struct error *err)
{
	int r = read_all(body, err);

	if (r < 0)
		return r;
	r = req->api->backend->boot(req->api->opaque, err);
	/* What the host refuses is no fault of the request. */
	return r == -EINVAL || r == -ENOENT ? -EIO : r;
}

static void handle_boot(struct api_request *req, const struct route *route _unused_)
{
	handle_device(req, boot);
}

static int delete_vm(const struct api_request *req, struct json_reader *body, struct error *err)
{
	int r = read_all(body, err);

	return r < 0 ? r : req->api->backend->delete(req->api->opaque, err);
}

static void handle_delete(struct api_request *req, const struct route *route _unused_)
{
	handle_device(req, delete_vm);
}

/* The path of a file:// URL (RFC 8089), into the body's own text; NULL after a problem was added.
 */
static const char *need_file_url(struct json_reader *r, const char *key)
{
	static const char scheme[] = "file://";
	const char *url = json_get_string(r, key, "", PATH_MAX);

	if (strncmp(url, scheme, sizeof(scheme) - 1) == 0 && url[sizeof(scheme) - 1] == '/' &&
	    !strpbrk(url, "%?#"))
		return url + sizeof(scheme) - 1;
	if (r->problems->count == 0)
		problem_add(r->problems, "%s: must be file:///PATH, without escapes", key);
	return NULL;
}

static void done_restored(void *opaque, int result, const struct error *err)
{
	/* It came out of the file: what is wrong with that is no fault of the VM's phase. */
	answer_device(opaque, result == -EBADMSG || result == -ENODATA ? -EINVAL : result, err);
}

static void handle_file(struct api_request *req, const char *key, bool restore)
{
	const struct api_backend *backend = req->api->backend;
	struct problems problems = {0};
	struct error err = ERROR_INIT;
	struct json_reader reader;
	const char *path;
	json_t *body;
	int r = parse_body(req, &body, &err);

	if (r == 0) {
		json_reader_init(&reader, body, "", &problems);
		path = need_file_url(&reader, key);
		r = read_all(&reader, &err);
	}
	if (r == 0 && restore)
		r = backend->restore(req->api->opaque, path, done_restored, req, &err);
	else if (r == 0)
		r = backend->snapshot(req->api->opaque, path, done_empty, req, &err);
	json_decref(body);
	if (r < 0)
		done_restored(req, r, &err);
}

static void handle_snapshot(struct api_request *req, const struct route *route _unused_)
{
	handle_file(req, "destination_url", false);
}

static void handle_restore(struct api_request *req, const struct route *route _unused_)
{
	handle_file(req, "source_url", true);
}

static int adopt(const struct api_request *req, struct json_reader *body, struct error *err)
{
	const char *id = need_name(body, "id");
	const char *agent = json_get_string(body, "agent", NULL, SOCKET_PATH_MAX);
	int r;

	if (!agent || agent[0] != '/')
		problem_add(body->problems, "agent: must be an absolute path");
	r = read_all(body, err);
	return r < 0 ? r : req->api->backend->adopt(req->api->opaque, id, agent, err);
}

static void handle_adopt(struct api_request *req, const struct route *route _unused_)
{
	handle_device(req, adopt);
}

#define API "/api/v1/"

static const struct route routes[] = {
	{"GET", "/openapi.json", handle_openapi, VM_VERB_MAX, NULL},
	{"GET", API "vmm.ping", handle_ping, VM_VERB_MAX, NULL},
	{"GET", API "vm.info", handle_info, VM_VERB_MAX, NULL},
	{"GET", API "vm.timeline", handle_timeline, VM_VERB_MAX, NULL},
	{"GET", API "vm.counters", handle_counters, VM_VERB_MAX, NULL},
	{"GET", API "vm.balloon-statistics", handle_balloon_statistics, VM_VERB_MAX, NULL},
	{"PUT", API "vm.create", handle_create, VM_VERB_MAX, NULL},
	{"PUT", API "vm.boot", handle_boot, VM_VERB_MAX, NULL},
	{"PUT", API "vm.delete", handle_delete, VM_VERB_MAX, NULL},
	{"PUT", API "vm.snapshot", handle_snapshot, VM_VERB_MAX, NULL},
	{"PUT", API "vm.restore", handle_restore, VM_VERB_MAX, NULL},
	{"PUT", API "vm.pause", handle_verb, VM_PAUSE, done_empty},
	{"PUT", API "vm.resume", handle_verb, VM_RESUME, done_empty},
	{"PUT", API "vm.power-button", handle_verb, VM_POWER_BUTTON, done_empty},
	{"PUT", API "vm.reboot", handle_verb, VM_REBOOT, done_empty},
	{"PUT", API "vm.shutdown", handle_verb, VM_SHUTDOWN, done_empty},
	{"PUT", API "vm.prepare", handle_verb, VM_PREPARE, done_with_phase},
	{"PUT", API "vm.freeze", handle_verb, VM_FREEZE, done_with_phase},
	{"PUT", API "vm.thaw", handle_verb, VM_THAW, done_with_phase},
	{"PUT", API "vm.abort", handle_verb, VM_ABORT, done_with_phase},
	{"PUT", API "vm.resume-preserved", handle_verb, VM_RESUME_PRESERVED, done_with_phase},
	{"PUT", API "vm.add-device", handle_add_device, VM_VERB_MAX, NULL},
	{"PUT", API "vm.add-disk", handle_add_disk, VM_VERB_MAX, NULL},
	{"PUT", API "vm.add-net", handle_add_net, VM_VERB_MAX, NULL},
	{"PUT", API "vm.remove-device", handle_remove_device, VM_VERB_MAX, NULL},
	{"PUT", API "vm.resize-disk", handle_resize_disk, VM_VERB_MAX, NULL},
	{"PUT", API "vm.resize-balloon", handle_resize_balloon, VM_VERB_MAX, NULL},
	{"PUT", API "vm.resize", handle_resize, VM_VERB_MAX, NULL},
	{"PUT", API "vm.adopt", handle_adopt, VM_VERB_MAX, NULL},
	{"PUT", API "vmm.shutdown", handle_verb, VM_QUIT, done_empty},
};

static bool method_fits(const struct route *route, const char *method)
{
	if (strcmp(route->method, method) == 0)
		return true;
	return strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0;
}

void api_dispatch(struct api_request *req, const char *method, const char *url)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(routes); i++) {
		const struct route *route = &routes[i];

		if (strcmp(route->path, url) != 0)
			continue;
		if (method_fits(route, method)) {
			route->handle(req, route);
			return;
		}
		req->allow = strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method;
		api_problem(req, 405, "method-not-allowed", "The method does not fit",
			    "%s takes %s", url, req->allow);
		return;
	}
	api_problem(req, 404, "not-found", "There is no such resource", "no %s here", url);
}
