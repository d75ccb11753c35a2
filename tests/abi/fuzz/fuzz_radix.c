/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of preserved pages: the input is memory, the root its first page. */
#include "tests/abi/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_preserved_ struct abi_preserved *preserved = NULL;
	struct error err = ERROR_INIT;
	struct fuzz_memory m;
	uint32_t order;
	int r;

	fuzz_open(&m, data, size);
	r = abi_read_radix(&m.reader, FIXTURE_BASE, &preserved, &err);
	/* What is in the tree is found in it. */
	for (uint32_t i = 0; preserved && i <= KHO_ORDER_MAX; i++)
		for (size_t j = 0; j < preserved->run_count[i]; j++)
			if (!abi_preserved_find(preserved, preserved->runs[i][j].pa, &order))
				abort();
	fuzz_close(&m, r, &err);
	return 0;
}
