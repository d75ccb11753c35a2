/* SPDX-License-Identifier: Apache-2.0 */
/* Device trees of the kernel's hand-over: checked, and with integers in the host's byte order. */
#ifndef HOLDFAST_LUO_ABI_TREE_H
#define HOLDFAST_LUO_ABI_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Checks header and structure. available: bytes at fdt. -EBADMSG: no device tree, or a broken one.
 */
int abi_tree_check(const void *fdt, size_t available, struct error *err);
/* The root's or a node's compatible, at most size - 1 bytes. -EBADMSG: none, or unterminated. */
int abi_tree_compatible(const void *fdt, int node, char *buf, size_t size, struct error *err);
/* A property of exactly 8 bytes. -ENOENT: not there. -EBADMSG: another length. */
int abi_tree_u64(const void *fdt, int node, const char *name, uint64_t *ret, struct error *err);

/* Writing: a string property, as fdt_property(). */
int abi_tree_put_string(void *fdt, const char *name, const char *value);

/* fdt_finish(), and zeros behind the tree, where the sequential writer leaves its strings. */
int abi_tree_finish(void *fdt, size_t size);

#endif
