/* SPDX-License-Identifier: Apache-2.0 */
/* The golden blobs: one for each version that the encoder writes. */
#ifndef HOLDFAST_TESTS_ABI_GOLDEN_H
#define HOLDFAST_TESTS_ABI_GOLDEN_H

#include <stdint.h>

struct golden {
	const char *file; /* in tests/golden/abi */
	uint32_t kho, luo, memfd;
};

static const struct golden golden_blobs[] = {
	{"kho1-luo1-memfd1.bin", 1, 1, 1}, {"kho2-luo1-memfd2.bin", 2, 1, 2},
	{"kho3-luo2-memfd2.bin", 3, 2, 2}, {"kho3-luo3-memfd2.bin", 3, 3, 2},
	{"kho4-luo4-memfd2.bin", 4, 4, 2}, {"kho4-luo5-memfd2.bin", 4, 5, 2},
};

#endif
