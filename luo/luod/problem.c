/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as problem documents (RFC 9457), and the table of routes read. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "luo/luod/http.h"

static const struct {
	int code;
	unsigned int status;
	const char *slug;
} statuses[] = {
	{EINVAL, 400, "invalid-request"},
	{EBADMSG, 400, "invalid-request"},
	{EACCES, 403, "forbidden"},
	{ENOENT, 404, "not-found"},
	{EEXIST, 409, "exists"},
	{EBUSY, 409, "busy"},
	{EALREADY, 409, "wrong-phase"},
	{ENOTCONN, 409, "not-connected"},
	{EPERM, 409, "not-preservable"},
	{ENOTEMPTY, 409, "preserved-memory"},
	{EAGAIN, 409, "busy"},
	{EMSGSIZE, 413, "too-large"},
	{ENODEV, 503, "no-live-update"},
	{EOPNOTSUPP, 503, "no-live-update"},
	{ENOSPC, 503, "no-room"},
	{ENOMEM, 503, "no-room"},
	{ESHUTDOWN, 503, "ending"},
	{EUSERS, 503, "overloaded"},
	{ENOEXEC, 500, "vmm-not-startable"},
};

unsigned int http_status_of(int code, const char **slug)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (statuses[i].code == -code) {
			*slug = statuses[i].slug;
			return statuses[i].status;
		}
	}
	*slug = "internal";
	return 500;
}

static const char *title_of(unsigned int status)
{
	switch (status) {
	case 400:
		return "The request is not valid";
	case 403:
		return "Not allowed";
	case 404:
		return "There is no such thing";
	case 405:
		return "The method does not go with this resource";
	case 409:
		return "Not in the present state";
	case 413:
		return "The request is too large";
	case 429:
		return "Too many requests";
	case 503:
		return "This host cannot do it now";
	default:
		return "It failed";
	}
}

json_t *http_problem(unsigned int status, const char *slug, const char *detail)
{
	char type[64], text[ERROR_MESSAGE_MAX];

	snprintf(type, sizeof(type), "urn:holdfast:problem:%s", slug);
	registry_set_text(text, sizeof(text), detail);
	return json_pack("{s:s, s:s, s:i, s:s}", "type", type, "title", title_of(status), "status",
			 (int)status, "detail", text);
}

/* Whether path is of the route's form; what stands for {id} goes to id. */
static bool match(const char *form, const char *path, char id[LUO_VM_ID_MAX + 1])
{
	static const char variable[] = "{id}";

	id[0] = '\0';
	while (*form && *path) {
		size_t len;

		if (strncmp(form, variable, sizeof(variable) - 1) != 0) {
			if (*form++ != *path++)
				return false;
			continue;
		}
		len = strcspn(path, "/");
		if (len == 0 || len > LUO_VM_ID_MAX)
			return false;
		memcpy(id, path, len);
		id[len] = '\0';
		form += sizeof(variable) - 1;
		path += len;
	}
	return !*form && !*path;
}

static bool method_fits(const struct http_route *route, const char *method)
{
	return strcmp(route->method, method) == 0 ||
	       (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

int http_find_route(const char *method, const char *path, const struct http_route **ret,
		    char id[LUO_VM_ID_MAX + 1], char allow[64])
{
	size_t used = 0;

	allow[0] = '\0';
	for (unsigned int i = 0; i < http_route_count; i++) {
		const struct http_route *route = &http_routes[i];

		if (!match(route->path, path, id))
			continue;
		if (method_fits(route, method)) {
			*ret = route;
			return 0;
		}
		used += (size_t)snprintf(allow + used, 64 - used, "%s%s%s", used ? ", " : "",
					 route->method,
					 strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
	}
	return used ? -EPERM : -ENOENT;
}
