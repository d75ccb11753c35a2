/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/http.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sock.h"

#define CONNECTIONS_MAX	     256
#define CONNECTION_TIMEOUT_S 60 /* longer than HTTP_WAIT_MS */

/* One request from its first header to its answer. */
struct exchange {
	struct http_server *server;
	struct MHD_Connection *connection;
	struct exchange *next; /* while it waits for a change */
	uint64_t deadline_ns;
	bool waiting, waited;
	bool too_large;
	size_t used;
	char body[HTTP_BODY_MAX];
};

struct http_server {
	struct luod *luod;
	struct MHD_Daemon *daemon;
	struct loop_source *source;
	struct loop_timer *timer;      /* timeouts of connections */
	struct loop_timer *wait_timer; /* of those who wait for a change */
	struct exchange *waiting;
};

static void run(struct http_server *server)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	MHD_run(server->daemon);
	if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES)
		loop_timer_arm(server->timer, timeout_ms * NSEC_PER_MSEC, 0);
	else
		loop_timer_disarm(server->timer);
}

static void on_epoll(void *opaque, uint32_t events _unused_)
{
	run(opaque);
}

static void on_timeout(void *opaque)
{
	run(opaque);
}

static enum MHD_Result send_response(struct MHD_Connection *connection,
				     const struct http_response *answer, bool problem)
{
	char *text = answer->body ? json_dumps(answer->body, JSON_COMPACT | JSON_REAL_PRECISION(10))
				  : NULL;
	struct MHD_Response *response = MHD_create_response_from_buffer(
		text ? strlen(text) : 0, text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (!response) {
		free(text);
		return MHD_NO;
	}
	if (text)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
					problem ? "application/problem+json" : "application/json");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (answer->location[0])
		MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, answer->location);
	result = MHD_queue_response(connection, answer->status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result send_problem(struct MHD_Connection *connection, unsigned int status,
				    const char *slug, const char *detail)
{
	struct http_response answer = {.status = status,
				       .body = http_problem(status, slug, detail)};
	enum MHD_Result result = send_response(connection, &answer, true);

	json_decref(answer.body);
	return result;
}

static enum MHD_Result send_error(struct MHD_Connection *connection, const struct error *err)
{
	const char *slug;
	unsigned int status = http_status_of(err->code, &slug);

	return send_problem(connection, status, slug, error_message(err));
}

static bool peer_is_allowed(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	uid_t uid;
	pid_t pid;

	return info && sock_peer(info->connect_fd, &uid, &pid) == 0 &&
	       (uid == 0 || uid == geteuid());
}

static int parse_body(const struct exchange *x, const struct http_route *route, json_t **ret,
		      struct error *err)
{
	json_error_t where;

	*ret = NULL;
	if (!route->has_body)
		return x->used == 0 ? 0 : error_set(err, -EINVAL, "%s takes no body", route->path);
	if (x->used == 0)
		return 0;
	*ret = json_loadb(x->body, x->used, JSON_REJECT_DUPLICATES, &where);
	if (!*ret)
		return error_set(err, -EINVAL, "body: line %d, column %d: %s", where.line,
				 where.column, where.text);
	return 0;
}

/* ?wait=N: the answer comes when luod is past revision N, or after HTTP_WAIT_MS. */
static bool must_wait(struct exchange *x)
{
	const char *wait =
		MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "wait");
	uint64_t revision;

	if (!wait || x->waited || size_parse(wait, &revision) < 0)
		return false;
	return revision >= x->server->luod->revision && !x->server->luod->stopping;
}

static void suspend(struct exchange *x)
{
	struct http_server *server = x->server;

	x->waiting = x->waited = true;
	x->deadline_ns = clock_monotonic_ns() + HTTP_WAIT_MS * NSEC_PER_MSEC;
	x->next = server->waiting;
	/* The newest is first, and has the latest deadline: the timer is set for the oldest. */
	if (!server->waiting)
		loop_timer_arm(server->wait_timer, HTTP_WAIT_MS * NSEC_PER_MSEC, 0);
	server->waiting = x;
	MHD_suspend_connection(x->connection);
}

static enum MHD_Result answer(struct exchange *x, const char *method, const char *path)
{
	struct http_request request = {.method = method, .path = path};
	struct http_response response = {.status = MHD_HTTP_OK};
	struct luod *luod = x->server->luod;
	const struct http_route *route;
	struct error err = ERROR_INIT;
	enum MHD_Result result;
	int r;

	r = http_find_route(method, path, &route, request.id);
	if (r == -EPERM)
		return send_problem(x->connection, MHD_HTTP_METHOD_NOT_ALLOWED,
				    "method-not-allowed", "the method does not go with this path");
	if (r < 0)
		return send_problem(x->connection, MHD_HTTP_NOT_FOUND, "not-found",
				    "there is no such path; see luod(8)");
	if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 && must_wait(x)) {
		suspend(x);
		return MHD_YES;
	}
	request.discard =
		MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "discard");
	r = parse_body(x, route, &request.body, &err);
	if (r == 0)
		r = route->handler(luod, &request, &response, &err);
	json_decref(request.body);
	result = r < 0 ? send_error(x->connection, &err)
		       : send_response(x->connection, &response, false);
	json_decref(response.body);
	return result;
}

static enum MHD_Result on_request(void *opaque, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version _unused_,
				  const char *upload, size_t *upload_size, void **state)
{
	struct exchange *x = *state;

	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x)
			return MHD_NO;
		x->server = opaque;
		x->connection = connection;
		*state = x;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		if (*upload_size > sizeof(x->body) - x->used) {
			x->too_large = true;
		} else if (!x->too_large) {
			memcpy(x->body + x->used, upload, *upload_size);
			x->used += *upload_size;
		}
		*upload_size = 0;
		return MHD_YES;
	}
	if (!peer_is_allowed(connection))
		return send_problem(connection, MHD_HTTP_FORBIDDEN, "forbidden",
				    "only root and luod's own user may use this socket");
	if (x->too_large)
		return send_problem(connection, 413, "too-large",
				    "the body may have 65536 bytes at most");
	return answer(x, method, url);
}

static void unlink_waiting(struct exchange *x)
{
	struct exchange **link = &x->server->waiting;

	while (*link && *link != x)
		link = &(*link)->next;
	if (*link)
		*link = x->next;
	x->waiting = false;
}

static void on_completed(void *opaque _unused_, struct MHD_Connection *connection _unused_,
			 void **state, enum MHD_RequestTerminationCode code _unused_)
{
	struct exchange *x = *state;

	if (!x)
		return;
	if (x->waiting)
		unlink_waiting(x);
	free(x);
	*state = NULL;
}

/* Resumes those whose deadline is at or before until_ns. */
static void wake_until(struct http_server *server, uint64_t until_ns)
{
	struct exchange **link = &server->waiting;
	uint64_t oldest_ns = 0;

	while (*link) {
		struct exchange *x = *link;

		if (x->deadline_ns > until_ns) {
			oldest_ns = x->deadline_ns;
			link = &x->next;
			continue;
		}
		*link = x->next;
		x->waiting = false;
		MHD_resume_connection(x->connection);
	}
	if (oldest_ns)
		loop_timer_arm(server->wait_timer, oldest_ns - until_ns, 0);
	run(server);
}

static void on_wait_timeout(void *opaque)
{
	wake_until(opaque, clock_monotonic_ns());
}

void http_server_wake(struct http_server *server)
{
	if (server->waiting)
		wake_until(server, UINT64_MAX);
}

static _printf_(2, 0) void log_from_mhd(void *opaque _unused_, const char *fmt, va_list ap)
{
	struct error text = ERROR_INIT;

	error_vset(&text, 0, fmt, ap);
	log_debug("http: %s", text.message);
}

static int start_daemon(struct http_server *server, int listen_fd, struct error *err)
{
	const union MHD_DaemonInfo *info;

	server->daemon =
		MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
				 NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER,
				 log_from_mhd, NULL, MHD_OPTION_LISTEN_SOCKET, listen_fd,
				 MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CONNECTIONS_MAX,
				 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)CONNECTION_TIMEOUT_S,
				 MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
	if (!server->daemon)
		return error_set(err, -EIO, "HTTP server: cannot start on %s",
				 server->luod->options.api_socket);
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return error_set(err, -EIO, "HTTP server: libmicrohttpd was built without epoll");
	return loop_add_fd(server->luod->loop, info->epoll_fd, EPOLLIN, on_epoll, server,
			   &server->source, err);
}

int http_server_new(struct luod *luod, struct http_server **ret, struct error *err)
{
	struct http_server *server = calloc(1, sizeof(*server));
	int listen_fd = FD_NONE, r;

	if (!server)
		return error_set(err, -ENOMEM, "HTTP server: out of memory");
	server->luod = luod;
	r = loop_timer_new(luod->loop, on_timeout, server, &server->timer, err);
	if (r == 0)
		r = loop_timer_new(luod->loop, on_wait_timeout, server, &server->wait_timer, err);
	if (r == 0)
		r = sock_listen(luod->options.api_socket, SOCK_STREAM, &listen_fd, err);
	if (r == 0)
		r = start_daemon(server, listen_fd, err);
	if (r < 0) {
		/* The daemon, where there is one, owns the socket. */
		if (!server->daemon)
			close_fdp(&listen_fd);
		http_server_free(server);
		return r;
	}
	*ret = server;
	return 0;
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	while (server->waiting) {
		struct exchange *x = server->waiting;

		unlink_waiting(x);
		MHD_resume_connection(x->connection);
	}
	loop_remove_fd(server->source);
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	loop_timer_free(server->timer);
	loop_timer_free(server->wait_timer);
	free(server);
}
