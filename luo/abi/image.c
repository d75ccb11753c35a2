/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/abi/image.h"

#include <string.h>

#include "base/util.h"
#include "luo/abi/model.h"

int abi_image_init(struct abi_image *image, uint64_t base, size_t capacity, struct error *err)
{
	*image = (struct abi_image){.base = base, .capacity = capacity};
	image->data = aligned_alloc(ABI_PAGE_SIZE, ALIGN_UP(capacity, (size_t)ABI_PAGE_SIZE));
	if (!image->data)
		return error_set(err, -ENOMEM, "image: no memory for %zu bytes", capacity);
	memset(image->data, 0, capacity);
	return 0;
}

void abi_image_done(struct abi_image *image)
{
	free(image->data);
	free(image->folios);
	*image = (struct abi_image){0};
}

void *abi_image_folio(struct abi_image *image, uint32_t order, uint64_t *ret_pa, struct error *err)
{
	uint64_t size = (uint64_t)ABI_PAGE_SIZE << order;
	uint64_t pa = ALIGN_UP(image->base + image->size, size);

	if (pa - image->base > image->capacity || size > image->capacity - (pa - image->base)) {
		error_set(err, -ENOSPC, "image: %zu bytes are too few", image->capacity);
		return NULL;
	}
	if (ABI_GROW(image->folios, image->folio_count) < 0) {
		error_set(err, -ENOMEM, "image: out of memory");
		return NULL;
	}
	image->folios[image->folio_count++] = (struct abi_image_folio){pa, order};
	image->size = (size_t)(pa - image->base + size);
	*ret_pa = pa;
	return image->data + (pa - image->base);
}
