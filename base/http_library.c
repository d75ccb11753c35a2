/* SPDX-License-Identifier: Apache-2.0 */
#include "base/http_library.h"

#include "base/library.h"
#include "base/util.h"

int http_library_load(const char *name, const char *way_out, struct http_library *ret,
		      struct error *err)
{
#define OFFSET(function) {"MHD_" #function, offsetof(struct http_library, function)},
	static const struct library_symbol functions[] = {HTTP_LIBRARY_FUNCTIONS(OFFSET)};

	return library_load(name, functions, ARRAY_SIZE(functions), ret, way_out, err);
}
