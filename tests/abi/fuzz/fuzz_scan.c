/* SPDX-License-Identifier: Apache-2.0 */
/* Finding roots: the input is memory. */
#include "luo/abi/scan.h"
#include "tests/abi/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_physmem_ struct physmem *mem = NULL;
	_cleanup_free_ struct abi_scan *scan = malloc(sizeof(*scan));
	struct error err = ERROR_INIT;

	if (size == 0 || !scan || physmem_open_buffer(FIXTURE_BASE, data, size, &mem, &err) < 0)
		return 0;
	if (abi_scan(mem, UINT64_MAX, NULL, NULL, scan, &err) < 0)
		abort();
	for (size_t i = 0; i < scan->root_count; i++)
		if (!physmem_contains(mem, scan->roots[i].fdt_pa, 1))
			abort();
	return 0;
}
