/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd, loaded when there is an API to serve and not before: it brings a TLS library and
 * what that needs. In a vmm, which never uses those, all of it together would be more than half of
 * its memory; and in a luod it would be loaded before the first guest is resumed.
 */
#ifndef HOLDFAST_BASE_HTTP_LIBRARY_H
#define HOLDFAST_BASE_HTTP_LIBRARY_H

#include <microhttpd.h>

#include "base/error.h"

/* The interface that microhttpd.h describes. */
#define HTTP_LIBRARY_NAME "libmicrohttpd.so.12"

/* What is used of it, without the prefix MHD_. */
#define HTTP_LIBRARY_FUNCTIONS(f)                                                              \
	f(add_response_header) f(create_response_from_buffer) f(create_response_from_callback) \
		f(destroy_response) f(get_connection_info) f(get_daemon_info) f(get_timeout)   \
			f(lookup_connection_value) f(queue_response) f(quiesce_daemon)         \
				f(resume_connection) f(run) f(start_daemon) f(stop_daemon)     \
					f(suspend_connection)

#define HTTP_LIBRARY_FIELD(name) __typeof__(MHD_##name) *name;
struct http_library {
	HTTP_LIBRARY_FUNCTIONS(HTTP_LIBRARY_FIELD)
};

/* See library_load(). */
int http_library_load(const char *name, const char *way_out, struct http_library *ret,
		      struct error *err);

#endif
