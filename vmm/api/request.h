/* SPDX-License-Identifier: Apache-2.0 */
/* One request on its way through the API: private to vmm/api/. */
#ifndef HOLDFAST_VMM_API_REQUEST_H
#define HOLDFAST_VMM_API_REQUEST_H

#include "base/http_library.h"
#include "vmm/api/server.h"

struct api_request {
	struct api *api;
	struct api_request *next, **link; /* all requests of the server */
	struct MHD_Connection *connection;
	uint64_t deadline_ns; /* to have arrived in whole */

	char *body; /* owned */
	size_t body_size;
	size_t body_seen; /* bytes that came, kept or not */

	bool started;	/* was handed to its route */
	bool suspended; /* the connection waits for the answer */
	bool answered;	/* the fields below are set */
	unsigned int status;
	json_t *document;     /* owned; NULL: an empty answer */
	const char *constant; /* instead: a document as text that lives as long as the process */
	bool is_problem;
	const char *allow; /* for 405; NULL else */
};

struct api {
	struct loop *loop;		   /* borrowed */
	const struct api_backend *backend; /* borrowed */
	void *opaque;
	struct http_library http;
	struct MHD_Daemon *daemon;
	int listen_fd; /* owned; the daemon accepts on it until it is quiesced */
	int epoll_fd;  /* borrowed from the daemon */
	struct loop_source *source;
	struct loop_timer *timer; /* owned */
	struct api_request *requests;
	bool closing;
	char path[PATH_MAX];
};

/* Sets the answer once; the connection goes on if it was waiting. Takes document. */
void api_answer(struct api_request *req, unsigned int status, json_t *document);

/* The same for a text that lives as long as the process. */
void api_answer_constant(struct api_request *req, const char *text);

/*
 * The answer is a problem document (RFC 9457): kind is the last part of its type URI,
 * "urn:holdfast:problem:<kind>", and stable.
 */
void api_problem(struct api_request *req, unsigned int status, const char *kind, const char *title,
		 const char *fmt, ...) _printf_(5, 6);
/* The problem that an error of the backend is. */
void api_problem_of_error(struct api_request *req, int code, const struct error *err);

/* Finds the route and performs it: the request is answered now or later. */
void api_dispatch(struct api_request *req, const char *method, const char *url);

#endif
