/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/encode.h"

/* An area that grows by a page, and its list of chunks, as the kernel builds it: a new chunk is
 * linked as soon as the last one is full, even if it stays empty. */
struct area {
	struct abi_image *image;
	struct kho_vmalloc_ser *ser;
	struct kho_vmalloc_chunk_ser *chunk;
	size_t in_chunk;
	struct memfd_folio_ser *page;
	size_t in_page;
};

static int next_chunk(struct area *a, struct error *err)
{
	uint64_t pa;
	struct kho_vmalloc_chunk_ser *chunk = abi_image_folio(a->image, 0, &pa, err);

	if (!chunk)
		return -ENOSPC;
	if (a->chunk)
		a->chunk->next = pa;
	else
		a->ser->first = pa;
	a->chunk = chunk;
	a->in_chunk = 0;
	return 0;
}

static int next_page(struct area *a, struct error *err)
{
	uint64_t pa;

	a->page = abi_image_folio(a->image, 0, &pa, err);
	if (!a->page)
		return -ENOSPC;
	a->in_page = 0;
	a->ser->total_pages++;
	a->chunk->phys[a->in_chunk++] = pa;
	return a->in_chunk == KHO_VMALLOC_PER_CHUNK ? next_chunk(a, err) : 0;
}

static int write_folio(struct area *a, const struct abi_extent *e, uint64_t number,
		       struct error *err)
{
	uint64_t pages = number << e->order;
	int r;

	if (!a->page || a->in_page == ABI_PAGE_SIZE / sizeof(*a->page)) {
		r = next_page(a, err);
		if (r < 0)
			return r;
	}
	a->page[a->in_page++] = (struct memfd_folio_ser){
		.pfn_flags = ((e->pa >> ABI_PAGE_SHIFT) + pages) | (uint64_t)e->flags
									   << MEMFD_FOLIO_PFN_BITS,
		.index = e->index + pages,
	};
	return 0;
}

static int write_folios(struct abi_image *image, const struct abi_memfd *memfd,
			struct kho_vmalloc_ser *ser, uint64_t *ret_count, struct error *err)
{
	struct area a = {.image = image, .ser = ser};
	int r = next_chunk(&a, err);

	*ret_count = 0;
	for (size_t i = 0; r == 0 && i < memfd->extent_count; i++)
		for (uint64_t j = 0; r == 0 && j < memfd->extents[i].folios; j++) {
			r = write_folio(&a, &memfd->extents[i], j, err);
			(*ret_count)++;
		}
	return r;
}

int abi_write_memfd(struct abi_image *image, const struct abi_memfd *memfd, uint64_t *ret_pa,
		    struct error *err)
{
	struct memfd_v2_ser v2 = {.pos = memfd->pos,
				  .size = memfd->size,
				  .seals = memfd->seals,
				  .flags = memfd->flags};
	void *to;
	uint64_t count = 0;
	/* VM_ALLOC: what vcalloc() makes. */
	struct kho_vmalloc_ser area = {.flags = 1};
	int r = 0;

	if (memfd->version != 1 && memfd->version != 2)
		return error_set(err, -EPROTONOSUPPORT, "memfd-v%u is not known", memfd->version);
	to = abi_image_folio(image, 0, ret_pa, err);
	if (!to)
		return -ENOSPC;
	if (memfd->extent_count > 0) {
		r = write_folios(image, memfd, &area, &count, err);
		v2.folios = area;
	}
	if (r < 0)
		return r;
	v2.nr_folios = count;
	if (memfd->version == 2) {
		memcpy(to, &v2, sizeof(v2));
	} else {
		struct memfd_v1_ser v1 = {.pos = v2.pos,
					  .size = v2.size,
					  .nr_folios = v2.nr_folios,
					  .folios = v2.folios};

		memcpy(to, &v1, sizeof(v1));
	}
	return 0;
}
