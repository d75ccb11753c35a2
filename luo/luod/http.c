/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: from their first header to the answer. */
#include "luo/luod/http.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "luo/luod/http_priv.h"

/* What is sent beyond HTTP_BODY_MAX is read and dropped, so that the client comes to hear the
 * answer; but not without end. */
#define DISCARD_MAX (1024U * 1024)
#define TOO_LARGE   "the body may have 65536 bytes at most"

static struct MHD_Response *make_response(const struct http_library *mhd,
					  struct http_response *answer)
{
	char *text = STEAL_PTR(answer->text);
	size_t length = answer->length;
	struct MHD_Response *response;

	if (answer->constant)
		return mhd->create_response_from_buffer(length, (void *)(uintptr_t)answer->constant,
							MHD_RESPMEM_PERSISTENT);
	if (answer->body) {
		text = json_dumps(answer->body, JSON_COMPACT | JSON_REAL_PRECISION(10));
		length = text ? strlen(text) : 0;
	}
	response = mhd->create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(text);
	return response;
}

static enum MHD_Result send_response(struct exchange *x, struct http_response *answer,
				     const char *type, const char *allow)
{
	const struct http_library *mhd = &x->server->mhd;
	struct MHD_Response *response = make_response(mhd, answer);
	enum MHD_Result result;
	char text[16];

	if (!response)
		return MHD_NO;
	if (type)
		mhd->add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	mhd->add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	mhd->add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (answer->policy)
		mhd->add_response_header(response, "Content-Security-Policy", answer->policy);
	if (answer->location[0])
		mhd->add_response_header(response, MHD_HTTP_HEADER_LOCATION, answer->location);
	if (allow)
		mhd->add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
	if (answer->status == 429 || answer->status == 503) {
		snprintf(text, sizeof(text), "%u", HTTP_RETRY_AFTER_S);
		mhd->add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, text);
	}
	if (x->client->refused)
		mhd->add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	result = mhd->queue_response(x->connection, answer->status, response);
	mhd->destroy_response(response);
	return result;
}

static enum MHD_Result send_problem(struct exchange *x, unsigned int status, const char *slug,
				    const char *detail, const char *allow)
{
	struct http_response answer = {.status = status,
				       .body = http_problem(status, slug, detail)};
	enum MHD_Result result = send_response(x, &answer, "application/problem+json", allow);

	json_decref(answer.body);
	return result;
}

static enum MHD_Result send_error(struct exchange *x, const struct error *err)
{
	const char *slug;
	unsigned int status = http_status_of(err->code, &slug);

	return send_problem(x, status, slug, error_message(err), NULL);
}

const char *http_query(const struct http_request *request, const char *name)
{
	return request->exchange->server->mhd.lookup_connection_value(request->exchange->connection,
								      MHD_GET_ARGUMENT_KIND, name);
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

/* Of this user, and of all. */
static bool too_many_lasting(const struct exchange *x, bool *all)
{
	const struct http_server *server = x->server;
	const struct caller *caller = &x->client->caller;
	unsigned int count = 0;

	*all = server->lasting >= HTTP_LASTING_MAX;
	for (const struct exchange *o = server->waiting; o; o = o->next)
		count += strcmp(o->client->caller.name, caller->name) == 0;
	for (const struct exchange *o = server->streams; o; o = o->next)
		count += strcmp(o->client->caller.name, caller->name) == 0;
	return *all || (caller->role != ROLE_ADMIN && count >= HTTP_LASTING_PER_USER);
}

bool http_admit_lasting(struct exchange *x, enum MHD_Result *ret)
{
	bool all;

	if (!too_many_lasting(x, &all)) {
		x->lasting = true;
		x->server->lasting++;
		return true;
	}
	if (all)
		*ret = send_problem(x, 503, "overloaded",
				    "too many clients wait for changes; try again later", NULL);
	else
		*ret = send_problem(x, 429, "too-many-requests",
				    "too many requests of this user wait for changes; end some",
				    NULL);
	return false;
}

/* ?wait=N: the answer comes when luod is past revision N, or after HTTP_WAIT_MS. */
static bool must_wait(struct exchange *x)
{
	const char *wait = x->server->mhd.lookup_connection_value(x->connection,
								  MHD_GET_ARGUMENT_KIND, "wait");
	uint64_t revision;

	if (!wait || x->waited || size_parse(wait, &revision) < 0)
		return false;
	return revision >= x->server->luod->revision && !x->server->luod->stopping;
}

static enum MHD_Result wait_for_change(struct exchange *x)
{
	struct http_server *server = x->server;
	enum MHD_Result refused;

	if (!http_admit_lasting(x, &refused))
		return refused;
	x->waiting = x->waited = true;
	x->wait_ns = clock_monotonic_ns() + HTTP_WAIT_MS * NSEC_PER_MSEC;
	x->next = server->waiting;
	/* The newest is first, and has the latest deadline: the timer is set for the oldest. */
	if (!server->waiting)
		loop_timer_arm(server->wait_timer, HTTP_WAIT_MS * NSEC_PER_MSEC, 0);
	server->waiting = x;
	x->server->mhd.suspend_connection(x->connection);
	return MHD_YES;
}

static enum MHD_Result answer_with(struct exchange *x, int code, struct http_response *response,
				   const struct error *err)
{
	enum MHD_Result result;

	if (code < 0)
		result = send_error(x, err);
	else if (response->stream)
		result = stream_begin(x, response->stream_vm);
	else
		result = send_response(x, response,
				       response->type	? response->type
				       : response->body ? "application/json"
							: NULL,
				       NULL);
	json_decref(response->body);
	free(response->text);
	*response = (struct http_response){0};
	return result;
}

static enum MHD_Result call_handler(struct exchange *x, const struct http_route *route,
				    struct http_request *request)
{
	struct http_response response = {.status = MHD_HTTP_OK};
	struct error err = ERROR_INIT;
	int r;

	r = parse_body(x, route, &request->body, &err);
	if (r == 0)
		r = route->handler(x->server->luod, request, &response, &err);
	json_decref(request->body);
	if (r != HTTP_PENDING)
		return answer_with(x, r, &response, &err);
	x->pending = true;
	x->next = x->server->pending;
	x->server->pending = x;
	x->server->mhd.suspend_connection(x->connection);
	return MHD_YES;
}

static enum MHD_Result answer(struct exchange *x, const char *method, const char *path)
{
	struct http_request request = {
		.method = method, .path = path, .caller = &x->client->caller, .exchange = x};
	const struct http_route *route;
	char allow[64];
	int r;

	if (x->finished)
		return answer_with(x, x->code, &x->late, &x->late_error);
	r = http_find_route(method, path, &route, request.id, allow);
	if (r == -EPERM)
		return send_problem(x, MHD_HTTP_METHOD_NOT_ALLOWED, "method-not-allowed",
				    "the method does not go with this path", allow);
	if (r < 0)
		return send_problem(x, MHD_HTTP_NOT_FOUND, "not-found",
				    "there is no such path; see luod(8)", NULL);
	if (!caller_may_use(request.caller, route->access))
		return send_problem(x, MHD_HTTP_FORBIDDEN, "forbidden",
				    "this is not for you; docs/api/README.md tells who may do what",
				    NULL);
	if (strcmp(route->method, MHD_HTTP_METHOD_GET) == 0 && must_wait(x))
		return wait_for_change(x);
	return call_handler(x, route, &request);
}

/*
 * A page of somebody else in a user's browser must not reach this API: one that sends says where
 * it comes from, and on the UNIX socket (by way of a forwarded port) a name in Host that is no
 * local one is a page whose server's name was made to mean this host.
 */
static bool is_foreign_page(const struct exchange *x)
{
	const char *origin = x->server->mhd.lookup_connection_value(x->connection, MHD_HEADER_KIND,
								    MHD_HTTP_HEADER_ORIGIN);
	const char *host = x->server->mhd.lookup_connection_value(x->connection, MHD_HEADER_KIND,
								  MHD_HTTP_HEADER_HOST);
	const char *from = origin ? strstr(origin, "://") : NULL;

	if (origin && (!from || !host || strcasecmp(from + 3, host) != 0))
		return true;
	return !x->client->tls && host && strchr(host, '.') && strncmp(host, "127.", 4) != 0;
}

static enum MHD_Result take_body(struct exchange *x, const char *data, size_t *size)
{
	char *grown;

	if (x->client->deadline_ns && clock_monotonic_ns() > x->client->deadline_ns)
		return MHD_NO;
	if (*size > HTTP_BODY_MAX - x->used)
		x->too_large = true;
	x->used += *size;
	if (x->too_large) {
		*size = 0;
		return x->used > DISCARD_MAX ? MHD_NO : MHD_YES;
	}
	grown = realloc(x->body, x->used);
	if (!grown)
		return MHD_NO;
	memcpy(grown + x->used - *size, data, *size);
	x->body = grown;
	*size = 0;
	return MHD_YES;
}

static struct exchange *exchange_new(struct http_server *server, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		server->mhd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct exchange *x = info && info->socket_context ? calloc(1, sizeof(*x)) : NULL;

	if (!x)
		return NULL;
	x->server = server;
	x->connection = connection;
	x->client = info->socket_context;
	if (x->client->tls && !x->client->known)
		tls_identify(server, connection, &x->client->caller);
	x->client->known = true;
	return x;
}

/* What is much too large is told before it is sent. */
static enum MHD_Result begin(struct exchange *x)
{
	const char *length = x->server->mhd.lookup_connection_value(x->connection, MHD_HEADER_KIND,
								    MHD_HTTP_HEADER_CONTENT_LENGTH);

	if (!length || strtoull(length, NULL, 10) <= DISCARD_MAX)
		return MHD_YES;
	return send_problem(x, 413, "too-large", TOO_LARGE, NULL);
}

enum MHD_Result http_on_request(void *opaque, struct MHD_Connection *connection, const char *url,
				const char *method, const char *version _unused_,
				const char *upload, size_t *upload_size, void **state)
{
	struct http_listener *listener = opaque;
	struct exchange *x = *state;

	if (!x) {
		x = exchange_new(listener->server, connection);
		*state = x;
		return x ? begin(x) : MHD_NO;
	}
	if (*upload_size > 0)
		return take_body(x, upload, upload_size);
	x->client->deadline_ns = 0;
	if (x->client->refused)
		return send_problem(x, 429, "too-many-requests",
				    "too many connections of this user; close some", NULL);
	if (x->client->caller.role == ROLE_NONE)
		return send_problem(x, MHD_HTTP_FORBIDDEN, "forbidden",
				    "the subject of this certificate has no role here", NULL);
	if (is_foreign_page(x))
		return send_problem(x, MHD_HTTP_FORBIDDEN, "forbidden",
				    "a page of another origin may not ask", NULL);
	if (x->too_large)
		return send_problem(x, 413, "too-large", TOO_LARGE, NULL);
	return answer(x, method, url);
}

static void unlink_from(struct exchange **link, struct exchange *x)
{
	while (*link && *link != x)
		link = &(*link)->next;
	if (*link)
		*link = x->next;
}

static void end_lasting(struct exchange *x)
{
	if (x->lasting)
		x->server->lasting--;
	x->lasting = false;
}

void http_on_completed(void *opaque _unused_, struct MHD_Connection *connection _unused_,
		       void **state, enum MHD_RequestTerminationCode code _unused_)
{
	struct exchange *x = *state;

	if (!x)
		return;
	if (x->waiting)
		unlink_from(&x->server->waiting, x);
	if (x->pending)
		unlink_from(&x->server->pending, x);
	if (x->streaming)
		unlink_from(&x->server->streams, x);
	end_lasting(x);
	if (x->slot)
		*x->slot = NULL;
	json_decref(x->late.body);
	/* The next request of this connection has its own time. */
	x->client->deadline_ns = clock_monotonic_ns() + HTTP_REQUEST_MS * NSEC_PER_MSEC;
	free(x->body);
	free(x);
	*state = NULL;
}

void http_set_slot(struct exchange *x, struct exchange **slot)
{
	x->slot = slot;
	*slot = x;
}

void http_finish(struct exchange *x, int code, unsigned int status, json_t *body,
		 const struct error *err)
{
	unlink_from(&x->server->pending, x);
	x->finished = true;
	x->pending = false;
	x->code = code;
	x->late = (struct http_response){.status = status, .body = body};
	if (code < 0)
		x->late_error = *err;
	if (x->slot)
		*x->slot = NULL;
	x->slot = NULL;
	x->server->mhd.resume_connection(x->connection);
	loop_timer_arm(x->server->timer, 0, 0);
}

/* Resumes those whose deadline is at or before until_ns. */
static void wake_until(struct http_server *server, uint64_t until_ns)
{
	struct exchange **link = &server->waiting;
	uint64_t oldest_ns = 0;

	while (*link) {
		struct exchange *x = *link;

		if (x->wait_ns > until_ns) {
			oldest_ns = x->wait_ns;
			link = &x->next;
			continue;
		}
		*link = x->next;
		x->waiting = false;
		end_lasting(x);
		x->server->mhd.resume_connection(x->connection);
	}
	if (oldest_ns)
		loop_timer_arm(server->wait_timer, oldest_ns - until_ns, 0);
}

void http_wake_waiting(struct http_server *server, uint64_t until_ns)
{
	if (!server->waiting)
		return;
	wake_until(server, until_ns);
	http_run(server);
}

void http_end_all(struct http_server *server)
{
	struct error err = ERROR_INIT;

	error_set(&err, -ESHUTDOWN, "luod is ending");
	while (server->pending)
		http_finish(server->pending, -ESHUTDOWN, 0, NULL, &err);
	wake_until(server, UINT64_MAX);
}
