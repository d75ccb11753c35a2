/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A piece of physical memory that an encoder fills: for golden blobs, tests and fuzzing seeds, and
 * for anyone who wants to see what a kernel would write. Folios are handed out from the bottom up,
 * zeroed and aligned to their own size.
 */
#ifndef HOLDFAST_LUO_ABI_IMAGE_H
#define HOLDFAST_LUO_ABI_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct abi_image_folio {
	uint64_t pa;
	uint32_t order;
};

struct abi_image {
	uint64_t base;
	uint8_t *data;
	size_t size;	 /* bytes handed out so far, with gaps for alignment */
	size_t capacity; /* a fixed bound: data never moves */
	struct abi_image_folio *folios;
	size_t folio_count;
};

/* base: page-aligned. capacity: bytes. */
int abi_image_init(struct abi_image *image, uint64_t base, size_t capacity, struct error *err);
void abi_image_done(struct abi_image *image);

#define _cleanup_image_ __attribute__((cleanup(abi_image_done)))

/*
 * 2^order pages; returns their bytes, which stay where they are, and *ret_pa. NULL: the image is
 * full (with a message in err).
 */
void *abi_image_folio(struct abi_image *image, uint32_t order, uint64_t *ret_pa, struct error *err);

#endif
