/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors one by one: the golden model as luo-v5 in kho-v4 (or an older version), one field changed,
 * and the exact message that must come out. Each page's address is known:
 */
#ifndef HOLDFAST_TESTS_ABI_POKE_H
#define HOLDFAST_TESTS_ABI_POKE_H

#include "tests/abi/fixture.h"

/* kho-v4, luo-v5, memfd-v2. */
enum {
	V5_FDT = 0x100000,
	V5_METADATA = 0x101000,
	V5_LUO = 0x102000,
	V5_SESSIONS = 0x103000,
	V5_FILES1 = 0x104000,
	V5_MEMFD1 = 0x105000,
	V5_CHUNK1 = 0x106000,
	V5_FOLIOS1 = 0x107000,
	V5_MEMFD2 = 0x108000,
	V5_CHUNK2 = 0x109000,
	V5_FOLIOS2 = 0x10a000,
	V5_FILES2 = 0x10b000,
	V5_MEMFD3 = 0x10c000,
	V5_FLBS = 0x10f000,
	V5_RADIX_ROOT = 0x110000,
	V5_RADIX_LEVEL1 = 0x114000,
	V5_RADIX_LEAF = 0x115000,
};

/* kho-v2, luo-v1, memfd-v2. */
enum {
	V1_LUO = 0x101000,
	V1_SESSIONS = 0x110000,
	V1_FILES1 = 0x120000,
};

#define OUTSIDE UINT64_C(0x7000000000)

struct poke {
	uint64_t pa;
	uint64_t value;
	size_t size; /* 1, 2, 4 or 8 bytes of value; 0: `value` bytes of 'A' */
	int code;
	const char *message;
};

/* Applies each poke to a fresh image of these versions; fails with what did not match. */
void poke_all(const struct poke *pokes, size_t count, uint32_t kho, uint32_t luo, uint32_t memfd);
/* The model, poked or not by the caller, must give this. */
void poke_expect(struct fixture *f, int code, const char *message);

#endif
