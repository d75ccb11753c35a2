/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Libraries that are loaded when they are needed and not before: what a program is linked with is
 * loaded, and costs memory, in every process of it, and before its first line of code.
 */
#ifndef HOLDFAST_BASE_LIBRARY_H
#define HOLDFAST_BASE_LIBRARY_H

#include <stddef.h>

#include "base/error.h"

struct library_symbol {
	const char *name;
	size_t offset; /* of the pointer to it in the table that is filled */
};

/*
 * Loads the library of that name (dlopen(3)) and puts the address of each symbol into table; it
 * stays until the process ends. -ENOENT: it cannot be loaded. -ENOSYS: it lacks one of them.
 * Errors name the library, the reason and way_out. Any thread.
 */
int library_load(const char *name, const struct library_symbol *symbols, size_t count, void *table,
		 const char *way_out, struct error *err);

#endif
