/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server of luod: libmicrohttpd in our loop, on a UNIX socket and, when configured, on
 * TCP with TLS and client certificates. It knows no resource: what there is stands in routes.c.
 *
 * A slow, hostile or vanished client costs a connection for a bounded time and nothing else: no
 * call here blocks, and nobody waits for a client.
 */
#ifndef HOLDFAST_LUOD_HTTP_H
#define HOLDFAST_LUOD_HTTP_H

#include <jansson.h>

#include "luo/luod/access.h"
#include "luo/luod/luod.h"

/* A body may have this much; more is answered with 413. */
#define HTTP_BODY_MAX 65536
/* How long a client may wait for a change (?wait=REVISION). */
#define HTTP_WAIT_MS 25000U
/* A request must have arrived in whole after this. */
#define HTTP_REQUEST_MS 30000U
/* A stream of events says something at least this often. */
#define HTTP_KEEPALIVE_MS 15000U
/* Connections, in all and of one user that is not root; more of one user are told 429. */
#define HTTP_CONNECTIONS_MAX	  1024U
#define HTTP_CONNECTIONS_PER_USER 64U
/* Requests that wait for a change and streams, of one user and in all: 429, 503. */
#define HTTP_LASTING_PER_USER 32U
#define HTTP_LASTING_MAX      512U
/* What a client that is told 429 or 503 should wait. */
#define HTTP_RETRY_AFTER_S 2U

struct exchange;

struct http_request {
	const char *method;
	const char *path;
	char id[LUO_VM_ID_MAX + 1]; /* what stood for {id} in the path; "" else */
	const struct caller *caller;
	json_t *body;		   /* borrowed; NULL when there was none */
	struct exchange *exchange; /* for http_query() and http_finish() */
};

struct http_response {
	unsigned int status;
	json_t *body; /* owned; NULL for none */
	/* Instead of body: text that lives as long as the process, or is owned. */
	const char *constant;
	char *text;
	size_t length;
	const char *type;   /* of constant and text */
	const char *policy; /* Content-Security-Policy, NULL for none */
	char location[128]; /* Location: header, "" for none */
	bool stream;	    /* events; of one VM if stream_vm is not "" */
	char stream_vm[LUO_VM_ID_MAX + 1];
};

/* A handler returns this when the answer comes later, by http_finish(). */
#define HTTP_PENDING 1

/*
 * Answers, or returns a negative errno with err set: then the client gets a problem document
 * (RFC 9457) with the status that goes with the errno.
 */
typedef int http_handler(struct luod *luod, const struct http_request *request,
			 struct http_response *response, struct error *err);

struct http_route {
	const char *method; /* a GET route also answers HEAD */
	const char *path;   /* "{id}" stands for one segment */
	enum access access;
	bool has_body;
	http_handler *handler;
};

extern const struct http_route http_routes[];
extern const unsigned int http_route_count;

/*
 * Finds the route and takes {id} out of the path. -ENOENT: no such path. -EPERM: there is, but not
 * with this method; allow has those that there are then, as the header has it.
 */
int http_find_route(const char *method, const char *path, const struct http_route **ret,
		    char id[LUO_VM_ID_MAX + 1], char allow[64]);

/* A problem document; its type is stable: "urn:holdfast:problem:<slug>". */
json_t *http_problem(unsigned int status, const char *slug, const char *detail);
/* The status and slug for an errno. */
unsigned int http_status_of(int code, const char **slug);

/* A value of the query, NULL when it is not given. Borrowed. */
const char *http_query(const struct http_request *request, const char *name);

/*
 * The answer of a handler that returned HTTP_PENDING; code as its return value. body is taken.
 * *slot is set to NULL should the client or the server go away before: nothing is called then.
 */
void http_set_slot(struct exchange *x, struct exchange **slot);
void http_finish(struct exchange *x, int code, unsigned int status, json_t *body,
		 const struct error *err);

/* Listens on the API's UNIX socket: clients can connect, and wait. */
int http_server_new(struct luod *luod, struct http_server **ret, struct error *err);
/*
 * Begins to answer, there and over TLS. It loads the libraries for it, which takes longer than all
 * that luod does to have a guest resumed. Once it has succeeded it does nothing more. After an
 * error the server can only be freed.
 */
int http_server_start(struct http_server *server, struct error *err);
void http_server_free(struct http_server *server); /* NULL is fine */
/* luod->revision went up: those who wait for it are answered, streams are fed. */
void http_server_wake(struct http_server *server);

#endif
