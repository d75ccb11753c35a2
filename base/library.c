/* SPDX-License-Identifier: Apache-2.0 */
#include "base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

int library_load(const char *name, const struct library_symbol *symbols, size_t count, void *table,
		 const char *way_out, struct error *err)
{
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return error_set(err, -ENOENT, "%s cannot be loaded (%s); %s", name, dlerror(),
				 way_out);
	for (size_t i = 0; i < count; i++) {
		void *symbol = dlsym(library, symbols[i].name);

		if (!symbol) {
			error_set(err, -ENOSYS, "%s has no %s: it is another version; %s", name,
				  symbols[i].name, way_out);
			dlclose(library);
			return -ENOSYS;
		}
		/* POSIX has dlsym() give pointers to functions so. */
		memcpy((char *)table + symbols[i].offset, &symbol, sizeof(symbol));
	}
	return 0;
}
