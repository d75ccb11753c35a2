/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/api/http_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"

#define WAY_OUT "install it, or leave out --api-socket"

int http_library_load(const char *name, struct http_library *ret, struct error *err)
{
#define OFFSET(function) {"MHD_" #function, offsetof(struct http_library, function)},
	static const struct {
		const char *name;
		size_t offset;
	} functions[] = {HTTP_LIBRARY_FUNCTIONS(OFFSET)};
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return error_set(err, -ENOENT, "%s cannot be loaded (%s); " WAY_OUT, name,
				 dlerror());
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *function = dlsym(library, functions[i].name);

		if (!function) {
			error_set(err, -ENOSYS, "%s has no %s: it is another version; " WAY_OUT,
				  name, functions[i].name);
			dlclose(library);
			return -ENOSYS;
		}
		/* POSIX has dlsym() give pointers to functions so. */
		memcpy((char *)ret + functions[i].offset, &function, sizeof(function));
	}
	return 0;
}
