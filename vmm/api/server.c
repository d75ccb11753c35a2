/* SPDX-License-Identifier: Apache-2.0 */
/* libmicrohttpd in our event loop: it brings its own epoll descriptor, and asks to be run. */
#include "vmm/api/server.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/util.h"
#include "vmm/api/request.h"

#define CONNECTION_MEMORY (32U * 1024)
#define DISCARD_MAX	  (1024U * 1024)
#define DRAIN_NS	  NSEC_PER_SEC
#define DRAIN_STEP_MS	  20

static enum MHD_Result send_answer(struct api_request *req)
{
	_cleanup_free_ char *text =
		req->document ? json_dumps(req->document, JSON_INDENT(2)) : NULL;
	struct MHD_Response *response;
	enum MHD_Result r;

	/* The library frees the text with the response. */
	if (req->constant)
		response = req->api->http.create_response_from_buffer(
			strlen(req->constant), (void *)(uintptr_t)req->constant,
			MHD_RESPMEM_PERSISTENT);
	else
		response = req->api->http.create_response_from_buffer(text ? strlen(text) : 0, text,
								      MHD_RESPMEM_MUST_FREE);
	if (!response)
		return MHD_NO;
	if (text || req->constant)
		req->api->http.add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
						   req->is_problem ? "application/problem+json"
								   : "application/json");
	if (req->allow)
		req->api->http.add_response_header(response, MHD_HTTP_HEADER_ALLOW, req->allow);
	/* No request comes after this one: draining has an end. */
	if (req->api->closing)
		req->api->http.add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	text = NULL;
	r = req->api->http.queue_response(req->connection, req->status, response);
	req->api->http.destroy_response(response);
	return r;
}

void api_answer(struct api_request *req, unsigned int status, json_t *document)
{
	if (req->answered) {
		json_decref(document);
		return;
	}
	req->answered = true;
	req->status = status;
	req->document = document;
	if (!document && !req->constant && status != 204)
		req->status = 500;
	if (req->suspended) {
		req->suspended = false;
		req->api->http.resume_connection(req->connection);
		/* The library does not wake a loop that is not its own. */
		if (req->api->timer)
			loop_timer_arm(req->api->timer, 0, 0);
	}
}

void api_answer_constant(struct api_request *req, const char *text)
{
	req->constant = text;
	api_answer(req, 200, NULL);
}

static struct api_request *request_new(struct api *api, struct MHD_Connection *connection)
{
	struct api_request *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	req->api = api;
	req->connection = connection;
	req->deadline_ns = clock_monotonic_ns() + API_REQUEST_TIMEOUT_S * NSEC_PER_SEC;
	req->next = api->requests;
	req->link = &api->requests;
	if (req->next)
		req->next->link = &req->next;
	api->requests = req;
	return req;
}

static void request_free(struct api_request *req)
{
	*req->link = req->next;
	if (req->next)
		req->next->link = req->link;
	json_decref(req->document);
	free(req->body);
	free(req);
}

/*
 * Everything before the body: what is much too large is told before it is sent. A client that sends
 * all the same may not hear it, for its connection is closed with bytes unread.
 */
static enum MHD_Result begin(struct api_request *req)
{
	const char *length = req->api->http.lookup_connection_value(
		req->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

	if (!length || strtoull(length, NULL, 10) <= DISCARD_MAX)
		return MHD_YES;
	req->started = true;
	api_problem(req, 413, "too-large", "The request is too large",
		    "a body has at most %u bytes", API_BODY_MAX);
	return send_answer(req);
}

static enum MHD_Result take_body(struct api_request *req, const char *data, size_t *size)
{
	char *grown;

	if (clock_monotonic_ns() > req->deadline_ns)
		return MHD_NO;
	req->body_seen += *size;
	if (req->body_seen > API_BODY_MAX) {
		/* Read on, so that the client comes to hear the answer; but not without end. */
		if (req->body_seen > DISCARD_MAX)
			return MHD_NO;
		*size = 0;
		return MHD_YES;
	}
	grown = realloc(req->body, req->body_size + *size);
	if (!grown)
		return MHD_NO;
	memcpy(grown + req->body_size, data, *size);
	req->body = grown;
	req->body_size += *size;
	*size = 0;
	return MHD_YES;
}

static void start(struct api_request *req, const char *method, const char *url)
{
	req->started = true;
	if (req->body_seen > API_BODY_MAX)
		api_problem(req, 413, "too-large", "The request is too large",
			    "a body has at most %u bytes", API_BODY_MAX);
	else if (req->api->closing)
		api_problem(req, 503, "ending", "The vmm ends", "the vmm ends");
	else
		api_dispatch(req, method, url);
}

static enum MHD_Result on_request(void *opaque, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version _unused_,
				  const char *data, size_t *size, void **context)
{
	struct api_request *req = *context;

	if (!req) {
		req = request_new(opaque, connection);
		*context = req;
		return req ? begin(req) : MHD_NO;
	}
	if (*size > 0)
		return take_body(req, data, size);
	if (!req->started) {
		log_debug("api: %s %s", method, url);
		start(req, method, url);
	}
	if (req->answered)
		return send_answer(req);
	req->suspended = true;
	req->api->http.suspend_connection(connection);
	return MHD_YES;
}

static void on_completed(void *opaque _unused_, struct MHD_Connection *connection _unused_,
			 void **context, enum MHD_RequestTerminationCode why _unused_)
{
	if (*context)
		request_free(*context);
	*context = NULL;
}

static void run(struct api *api)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	api->http.run(api->daemon);
	if (api->http.get_timeout(api->daemon, &timeout_ms) == MHD_YES)
		loop_timer_arm(api->timer, timeout_ms * NSEC_PER_MSEC, 0);
	else
		loop_timer_disarm(api->timer);
}

static void on_ready(void *opaque, uint32_t events _unused_)
{
	run(opaque);
}

static void on_timeout(void *opaque)
{
	run(opaque);
}

static int start_daemon(struct api *api, struct error *err)
{
	const union MHD_DaemonInfo *info;

	api->daemon = api->http.start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, api,
		MHD_OPTION_LISTEN_SOCKET, api->listen_fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		NULL, MHD_OPTION_CONNECTION_LIMIT, API_CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, API_IDLE_TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
	if (!api->daemon)
		return error_set(err, -EIO, "API on %s: the HTTP server does not start", api->path);
	info = api->http.get_daemon_info(api->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	api->epoll_fd = info ? info->epoll_fd : FD_NONE;
	return loop_add_fd(api->loop, api->epoll_fd, EPOLLIN, on_ready, api, &api->source, err);
}

int api_new(struct loop *loop, const char *path, const struct api_backend *backend, void *opaque,
	    struct api **ret, struct error *err)
{
	struct api *api = calloc(1, sizeof(*api));
	int r;

	if (!api)
		return error_set(err, -ENOMEM, "API on %s: out of memory", path);
	*api = (struct api){.loop = loop, .backend = backend, .opaque = opaque};
	api->listen_fd = FD_NONE;
	snprintf(api->path, sizeof(api->path), "%s", path);
	r = sock_listen(path, SOCK_STREAM, &api->listen_fd, err);
	if (r == 0)
		r = loop_timer_new(loop, on_timeout, api, &api->timer, err);
	if (r == 0)
		r = http_library_load(HTTP_LIBRARY_NAME, API_WAY_OUT, &api->http, err);
	if (r == 0)
		r = start_daemon(api, err);
	if (r < 0) {
		error_prefix(err, "API: ");
		api_free(api);
		return r;
	}
	*ret = api;
	return 0;
}

void api_quiesce(struct api *api)
{
	if (!api)
		return;
	api->closing = true;
	/* From here on the descriptor is ours again: closed, so that a client is refused at once.
	 */
	api->http.quiesce_daemon(api->daemon);
	close_fdp(&api->listen_fd);
	unlink(api->path);
}

static bool has_answer(const struct api *api)
{
	for (const struct api_request *req = api->requests; req; req = req->next) {
		if (req->answered)
			return true;
	}
	return false;
}

/* Waits a moment for something to do: the library's own work, or a socket that is ready. */
static bool has_work(struct api *api)
{
	struct pollfd p = {.fd = api->epoll_fd, .events = POLLIN};
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	if (api->http.get_timeout(api->daemon, &timeout_ms) == MHD_YES && timeout_ms == 0)
		return true;
	return poll(&p, 1, DRAIN_STEP_MS) > 0;
}

/*
 * The answer to the request that ended the vmm is on its way. The deadline is for clients that do
 * not read or do not come to an end; on a busy host it may pass before we had our turn, so an
 * answer that only waits for us is sent all the same.
 */
static void drain(struct api *api)
{
	uint64_t deadline = clock_monotonic_ns() + DRAIN_NS;

	/* The backend is gone: whoever still waits for it is told so. */
	for (struct api_request *req = api->requests; req; req = req->next) {
		if (req->started && !req->answered)
			api_problem(req, 503, "ending", "The vmm ends", "the vmm ends");
	}
	/* First of all it takes up again who waited: that alone is not shown as work. */
	api->http.run(api->daemon);
	while (api->requests) {
		bool late = clock_monotonic_ns() > deadline;

		if (!(has_work(api) && has_answer(api)) && late)
			break;
		api->http.run(api->daemon);
	}
}

void api_free(struct api *api)
{
	if (!api)
		return;
	loop_remove_fd(api->source);
	loop_timer_free(api->timer);
	api->timer = NULL;
	if (api->daemon) {
		if (!api->closing)
			api_quiesce(api);
		drain(api);
		api->http.stop_daemon(api->daemon);
	} else if (api->listen_fd >= 0) {
		close(api->listen_fd);
		unlink(api->path);
	}
	free(api);
}
