/* SPDX-License-Identifier: Apache-2.0 */
/* A preserved memfd: the first byte tells the version, the rest is memory with it at its start. */
#include "tests/abi/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct abi_memfd *memfd = NULL;
	struct error err = ERROR_INIT;
	struct fuzz_memory m;
	int r;

	if (size == 0)
		return 0;
	fuzz_open(&m, data + 1, size - 1);
	r = abi_read_memfd(&m.reader, data[0] & 1 ? "memfd-v1" : "memfd-v2", FIXTURE_BASE, NULL,
			   &memfd, &err);
	abi_memfd_free(memfd);
	fuzz_close(&m, r, &err);
	return 0;
}
