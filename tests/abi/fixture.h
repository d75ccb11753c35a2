/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hand-over to test with: a model, and the memory that the encoder made of it. The guests' own
 * pages lie in a range of their own that reads as zeros, so that an image stays small.
 */
#ifndef HOLDFAST_TESTS_ABI_FIXTURE_H
#define HOLDFAST_TESTS_ABI_FIXTURE_H

#include "luo/abi/decode.h"
#include "luo/abi/encode.h"

#define FIXTURE_BASE	  UINT64_C(0x100000)
#define FIXTURE_CAPACITY  (1024U * 1024U)
#define FIXTURE_DATA	  UINT64_C(0x40000000)
#define FIXTURE_DATA_SIZE UINT64_C(0x40000000)

struct fixture {
	struct abi_image image;
	struct physmem *mem;
	uint64_t fdt_pa;
};

/*
 * The model of the golden blobs (tests/golden/abi): two sessions. "vm:web1" has a state memfd of
 * two pages (token 0), 5 MiB of RAM in two folios of 2 MiB and one of 1 MiB (token 0x100), and a
 * file of a handler that nobody knows (token 0x300). "luod" has one page (token 0). One FLB.
 */
struct abi_kho *fixture_model(uint32_t kho_version, uint32_t luo_version, uint32_t memfd_version);
/* A model with an empty LUO state of that version, for tests that fill it themselves. */
struct abi_kho *fixture_empty(uint32_t kho_version, uint32_t luo_version);
struct abi_session *fixture_add_session(struct abi_kho *kho, const char *name);
struct abi_file *fixture_add_file(struct abi_session *session, const char *compatible,
				  uint64_t token);
/* folios of 2^order pages from pa and index on. */
void fixture_add_extent(struct abi_file *file, uint64_t index, uint64_t pa, uint64_t folios,
			uint32_t order);

/* Encodes; every failure ends the program (cmocka's assert works in tests only). */
void fixture_open(struct fixture *f, const struct abi_kho *kho, size_t capacity);
/* Memory from bytes that somebody else made (a golden blob, a fuzzer's input); borrowed. */
struct physmem *fixture_memory(const void *data, size_t size);
void fixture_close(struct fixture *f);
/* The byte behind a physical address in the image. */
uint8_t *fixture_at(struct fixture *f, uint64_t pa);

/* Reads everything; the first error, or 0. kho may stay NULL. */
int fixture_read(const struct physmem *mem, uint64_t fdt_pa, struct abi_kho **kho,
		 struct error *err);

#endif
