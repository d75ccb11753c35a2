/* SPDX-License-Identifier: Apache-2.0 */
/* A whole hand-over: the input is memory, the KHO root its first page. */
#include "tests/abi/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct error err = ERROR_INIT;
	struct fuzz_memory m;

	fuzz_open(&m, data, size);
	fuzz_close(&m, fixture_read(m.mem, FIXTURE_BASE, &kho, &err), &err);
	return 0;
}
