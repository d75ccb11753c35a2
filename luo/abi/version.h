/* SPDX-License-Identifier: Apache-2.0 */
/* Which version of LUO's ABI keeps its parts in which shape: the one table that the decoder and the
 * encoder go by. */
#ifndef HOLDFAST_LUO_ABI_VERSION_H
#define HOLDFAST_LUO_ABI_VERSION_H

#include <stddef.h>
#include <stdint.h>

enum abi_root_shape {
	ABI_ROOT_TREE,	 /* device tree with nodes for sessions and FLBs */
	ABI_ROOT_HEADER, /* device tree that points to a header */
	ABI_ROOT_RAW,	 /* header with the compatible string in front, no device tree */
};

enum abi_list_shape {
	ABI_LIST_ARRAY, /* one array of fixed size */
	ABI_LIST_CHAIN, /* linked blocks of one page */
};

struct abi_version {
	uint32_t number;
	const char *compatible;
	enum abi_root_shape root;
	enum abi_list_shape sessions;
	enum abi_list_shape files;
};

#define ABI_LUO_VERSION_MAX 5U
#define ABI_KHO_VERSION_MAX 4U

/* NULL: not known. */
const struct abi_version *abi_version_find(uint32_t number);
/* "luo-v5" -> 5; 0: not of the form PREFIX<number>, or a number that fits no version. */
uint32_t abi_version_number(const char *text, const char *prefix);

#endif
