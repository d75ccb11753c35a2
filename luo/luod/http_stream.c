/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of events to clients. Each goes through the one buffer (events.h) at the pace at which
 * its socket takes data: a client that does not read costs what fits into its socket, and is
 * dropped when the buffer has moved on or the connection has been idle for too long.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "luo/luod/events.h"
#include "luo/luod/http_priv.h"

/* How much is asked for at once. */
#define BLOCK_SIZE 16384

static bool concerns(const struct exchange *x, const struct event *event)
{
	if (x->vm[0] && strcmp(x->vm, event->vm) != 0)
		return false;
	return !event->vm[0] || caller_may_see(&x->client->caller, event->owner);
}

/* Copies what is left of the text; true: all of it. */
static bool copy(struct exchange *x, const char *text, size_t length, char *buf, size_t max,
		 size_t *used)
{
	size_t n = MIN_OF(length - x->sent, max - *used);

	memcpy(buf + *used, text + x->sent, n);
	*used += n;
	x->sent += n;
	if (x->sent < length)
		return false;
	x->sent = 0;
	return true;
}

/* Fills buf with events; false: the client has lost some. */
static bool fill(struct exchange *x, char *buf, size_t max, size_t *used)
{
	const struct events *events = x->server->luod->events;
	const struct event *event;
	bool lost;

	while (*used < max && (event = events_after(events, x->seen, &lost))) {
		if (concerns(x, event) && !copy(x, event->text, event->length, buf, max, used))
			return true;
		x->seen = event->seq;
	}
	events_after(events, x->seen, &lost);
	return !lost;
}

static ssize_t on_read(void *opaque, uint64_t at _unused_, char *buf, size_t max)
{
	struct exchange *x = opaque;
	size_t used = 0;

	if (x->greeting[0]) {
		if (!copy(x, x->greeting, strlen(x->greeting), buf, max, &used))
			return (ssize_t)used;
		x->greeting[0] = '\0';
	}
	if (!fill(x, buf, max, &used)) {
		log_debug("http: %s reads events too slowly and is dropped",
			  x->client->caller.name);
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	if (used == 0 && x->server->luod->stopping)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (used == 0) {
		x->idle = true;
		x->idle_ns = clock_monotonic_ns();
		x->server->mhd.suspend_connection(x->connection);
	}
	return (ssize_t)used;
}

/* What goes out first: where the client goes on, or that it has to look at everything anew. */
static void greet(struct exchange *x)
{
	const struct events *events = x->server->luod->events;
	const char *last = x->server->mhd.lookup_connection_value(x->connection, MHD_HEADER_KIND,
								  "Last-Event-ID");
	char id[EVENT_ID_SIZE];
	int r = -ENOENT;

	x->seen = events_newest(events);
	if (last)
		r = events_find(events, last, &x->seen);
	events_id(events, x->seen, id);
	snprintf(x->greeting, sizeof(x->greeting), "retry: 1000\nid: %s\nevent: %s\ndata: {}\n\n",
		 id, r == 0 || !last ? "hello" : "reset");
}

enum MHD_Result stream_begin(struct exchange *x, const char *vm)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (!http_admit_lasting(x, &result))
		return result;
	/* The exchange outlives every call of on_read(). */
	response = x->server->mhd.create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE,
								on_read, x, NULL);
	if (!response)
		return MHD_NO;
	snprintf(x->vm, sizeof(x->vm), "%s", vm);
	greet(x);
	x->streaming = true;
	x->next = x->server->streams;
	x->server->streams = x;
	x->server->mhd.add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
					   "text/event-stream");
	x->server->mhd.add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	result = x->server->mhd.queue_response(x->connection, MHD_HTTP_OK, response);
	x->server->mhd.destroy_response(response);
	return result;
}

void stream_wake_all(struct http_server *server, bool keepalive)
{
	uint64_t now = clock_monotonic_ns();

	for (struct exchange *x = server->streams; x; x = x->next) {
		if (!x->idle)
			continue;
		if (keepalive && (now - x->idle_ns >= HTTP_KEEPALIVE_MS * NSEC_PER_MSEC ||
				  server->luod->stopping))
			snprintf(x->greeting, sizeof(x->greeting), ":\n\n");
		else if (events_newest(server->luod->events) == x->seen)
			continue;
		x->idle = false;
		x->server->mhd.resume_connection(x->connection);
	}
	if (server->streams)
		http_run(server);
}
