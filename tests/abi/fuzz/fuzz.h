/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of the hand-over ABI share: the input as memory at FIXTURE_BASE, in whole pages.
 */
#ifndef HOLDFAST_TESTS_ABI_FUZZ_H
#define HOLDFAST_TESTS_ABI_FUZZ_H

#include <string.h>

#include "base/util.h"
#include "tests/abi/fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_memory {
	uint8_t *bytes;
	struct physmem *mem;
	struct abi_reader reader;
};

static inline void fuzz_open(struct fuzz_memory *m, const uint8_t *data, size_t size)
{
	size_t whole = ALIGN_UP(MAX_OF(size, 1U), (size_t)ABI_PAGE_SIZE);

	/* Not a byte more than the pages: what reads behind them is seen. */
	m->bytes = calloc(1, whole);
	if (!m->bytes)
		abort();
	if (size > 0)
		memcpy(m->bytes, data, size);
	m->mem = fixture_memory(m->bytes, whole);
	abi_reader_init(&m->reader, m->mem);
}

/* A refusal has words. */
static inline void fuzz_close(struct fuzz_memory *m, int result, const struct error *err)
{
	if (result < 0 && err->message[0] == '\0')
		abort();
	abi_reader_done(&m->reader);
	physmem_free(m->mem);
	free(m->bytes);
}

#endif
