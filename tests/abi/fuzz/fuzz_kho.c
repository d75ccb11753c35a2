/* SPDX-License-Identifier: Apache-2.0 */
/* The KHO root: the input is its device tree. */
#include "tests/abi/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_kho_ struct abi_kho *kho = NULL;
	/* A copy of its own size, so that nothing behind the end is read unseen. */
	_cleanup_free_ uint8_t *copy = malloc(MAX_OF(size, 1U));
	struct error err = ERROR_INIT;

	if (!copy)
		return 0;
	if (size > 0)
		memcpy(copy, data, size);
	if (abi_parse_kho(copy, size, &kho, &err) < 0 && err.message[0] == '\0')
		abort();
	return 0;
}
