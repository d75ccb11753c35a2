/* SPDX-License-Identifier: Apache-2.0 */
/* LUO's state: the input is memory, the blob its first page; all versions. */
#include "tests/abi/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_luo_ struct abi_luo *luo = NULL;
	struct error err = ERROR_INIT;
	struct fuzz_memory m;

	fuzz_open(&m, data, size);
	fuzz_close(&m, abi_read_luo_blob(&m.reader, FIXTURE_BASE, 0, NULL, &luo, &err), &err);
	return 0;
}
