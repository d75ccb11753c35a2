/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server of luod: libmicrohttpd in our loop, on a UNIX socket that only root and luod's
 * own user may use. It knows no resource: what there is stands in routes.c.
 */
#ifndef HOLDFAST_LUOD_HTTP_H
#define HOLDFAST_LUOD_HTTP_H

#include <jansson.h>

#include "luo/luod/luod.h"

/* A body may have this much; more is answered with 413. */
#define HTTP_BODY_MAX 65536
/* How long a client may wait for a change (?wait=REVISION). */
#define HTTP_WAIT_MS 25000U

struct http_request {
	const char *method;
	const char *path;
	char id[LUO_VM_ID_MAX + 1]; /* what stood for {id} in the path; "" else */
	const char *discard;	    /* ?discard=..., NULL when not given */
	json_t *body;		    /* borrowed; NULL when there was none */
};

struct http_response {
	unsigned int status;
	json_t *body;	    /* owned; NULL for none */
	char location[128]; /* Location: header, "" for none */
};

/*
 * Answers, or returns a negative errno with err set: then the client gets a problem document
 * (RFC 9457) with the status that goes with the errno.
 */
typedef int http_handler(struct luod *luod, const struct http_request *request,
			 struct http_response *response, struct error *err);

struct http_route {
	const char *method;
	const char *path; /* "{id}" stands for one segment */
	bool has_body;
	http_handler *handler;
};

extern const struct http_route http_routes[];
extern const unsigned int http_route_count;

/*
 * Finds the route and takes {id} out of the path. -ENOENT: no such path. -EPERM: there is, but not
 * with this method.
 */
int http_find_route(const char *method, const char *path, const struct http_route **ret,
		    char id[LUO_VM_ID_MAX + 1]);

/* A problem document; its type is stable: "urn:holdfast:problem:<slug>". */
json_t *http_problem(unsigned int status, const char *slug, const char *detail);
/* The status and slug for an errno. */
unsigned int http_status_of(int code, const char **slug);

int http_server_new(struct luod *luod, struct http_server **ret, struct error *err);
void http_server_free(struct http_server *server); /* NULL is fine */
/* luod->revision went up: those who wait for it are answered. */
void http_server_wake(struct http_server *server);

#endif
