/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/abi/version.h"

#include <string.h>

#include "base/util.h"

/* docs/abi.md says where each line comes from. */
static const struct abi_version versions[] = {
	{1, "luo-v1", ABI_ROOT_TREE, ABI_LIST_ARRAY, ABI_LIST_ARRAY},
	{2, "luo-v2", ABI_ROOT_HEADER, ABI_LIST_ARRAY, ABI_LIST_ARRAY},
	{3, "luo-v3", ABI_ROOT_RAW, ABI_LIST_ARRAY, ABI_LIST_ARRAY},
	{4, "luo-v4", ABI_ROOT_RAW, ABI_LIST_CHAIN, ABI_LIST_ARRAY},
	{5, "luo-v5", ABI_ROOT_RAW, ABI_LIST_CHAIN, ABI_LIST_CHAIN},
};

const struct abi_version *abi_version_find(uint32_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i].number == number)
			return &versions[i];
	return NULL;
}

uint32_t abi_version_number(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);
	uint32_t number = 0;

	if (strncmp(text, prefix, len) != 0 || text[len] == '\0' || text[len] == '0')
		return 0;
	for (text += len; *text; text++) {
		if (*text < '0' || *text > '9' || number > 9999)
			return 0;
		number = number * 10 + (uint32_t)(*text - '0');
	}
	return number;
}
