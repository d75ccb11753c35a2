/* SPDX-License-Identifier: Apache-2.0 */
/* A folder that stands for a host: /proc and /sys as far as we read them, and memory to go with it.
 */
#ifndef HOLDFAST_TESTS_ABI_HOST_TREE_H
#define HOLDFAST_TESTS_ABI_HOST_TREE_H

#include "tests/abi/fixture.h"

struct host_tree {
	char root[64];
};

void host_tree_make(struct host_tree *t);
void host_tree_remove(struct host_tree *t);
/* Makes the folders on the way. */
void host_tree_put(const struct host_tree *t, const char *path, const void *data, size_t size);
void host_tree_put_text(const struct host_tree *t, const char *path, const char *text);
void host_tree_link(const struct host_tree *t, const char *path, const char *target);
/* "<root><path>" in a buffer that lives until the next call. */
const char *host_tree_path(const struct host_tree *t, const char *path);
/*
 * The fixture's memory as an ELF core, as /proc/kcore (kcore true: with a direct map's addresses)
 * or as a dump. The range for guests' pages is a hole in the file.
 */
void host_tree_put_memory(const struct host_tree *t, const char *path, struct fixture *f,
			  bool kcore);

#endif
