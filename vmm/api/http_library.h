/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd, loaded when a VM gets an API socket and not before: it brings a TLS library and
 * what that needs, which nobody here uses, and together they are more than half of the memory of a
 * vmm that serves no API.
 */
#ifndef HOLDFAST_VMM_API_HTTP_LIBRARY_H
#define HOLDFAST_VMM_API_HTTP_LIBRARY_H

#include <microhttpd.h>

#include "base/error.h"

/* The interface that microhttpd.h describes. */
#define HTTP_LIBRARY_NAME "libmicrohttpd.so.12"

/* What is used of it, without the prefix MHD_. */
#define HTTP_LIBRARY_FUNCTIONS(f)                                                              \
	f(add_response_header) f(create_response_from_buffer) f(destroy_response)              \
		f(get_daemon_info) f(get_timeout) f(lookup_connection_value) f(queue_response) \
			f(quiesce_daemon) f(resume_connection) f(run) f(start_daemon)          \
				f(stop_daemon) f(suspend_connection)

#define HTTP_LIBRARY_FIELD(name) __typeof__(MHD_##name) *name;
struct http_library {
	HTTP_LIBRARY_FUNCTIONS(HTTP_LIBRARY_FIELD)
};

/* Loads it by that name; it stays until the process ends. Errors name the library, the reason and
 * the way out. */
int http_library_load(const char *name, struct http_library *ret, struct error *err);

#endif
