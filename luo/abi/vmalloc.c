/* SPDX-License-Identifier: Apache-2.0 */
/* Preserved vmalloc areas (Linux include/linux/kho/abi/kexec_handover.h, "vmalloc Preservation").
 */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/decode.h"

/* No allocation of the kernel has folios larger than this (vmalloc uses up to PMD size). */
#define VMALLOC_ORDER_MAX 18U

static int check_area(const struct abi_reader *r, const struct kho_vmalloc_ser *ser,
		      uint64_t min_size, struct error *err)
{
	uint64_t bytes = (uint64_t)ser->total_pages * ABI_PAGE_SIZE;

	if (ser->flags & ~KHO_VMALLOC_FLAGS)
		return error_set(err, -EBADMSG, "flags: 0x%x is not known", ser->flags);
	if (ser->order > VMALLOC_ORDER_MAX)
		return error_set(err, -EOVERFLOW, "order: %u", ser->order);
	if (bytes > physmem_size(r->mem))
		return error_set(err, -EOVERFLOW,
				 "total_pages: %u is more than the memory has (%" PRIu64 ")",
				 ser->total_pages, physmem_size(r->mem) / ABI_PAGE_SIZE);
	if (bytes < min_size)
		return error_set(err, -EOVERFLOW, "total_pages: %u cannot hold %" PRIu64 " bytes",
				 ser->total_pages, min_size);
	if (ser->total_pages % (1U << ser->order) != 0)
		return error_set(err, -EOVERFLOW, "total_pages: %u is no multiple of 2^%u pages",
				 ser->total_pages, ser->order);
	return 0;
}

/* One chunk's addresses; false in *more when it was not full, which ends the list in it. */
static int read_chunk(struct abi_reader *r, const struct kho_vmalloc_chunk_ser *chunk,
		      size_t expected, struct abi_vmalloc *area, struct error *err)
{
	uint64_t size = (uint64_t)ABI_PAGE_SIZE << area->order;

	for (size_t i = 0; i < KHO_VMALLOC_PER_CHUNK && chunk->phys[i] != 0; i++) {
		uint64_t pa = chunk->phys[i];

		if (area->count == expected)
			return error_set(err, -EOVERFLOW, "more than the %zu pages of total_pages",
					 expected << area->order);
		if (pa % ABI_PAGE_SIZE != 0)
			return error_set(err, -EINVAL,
					 "page %zu: address 0x%" PRIx64 " is not page-aligned",
					 area->count + 1, pa);
		if (!physmem_contains(r->mem, pa, size))
			return error_set(err, -EFAULT,
					 "page %zu: address 0x%" PRIx64 " (%" PRIu64
					 " bytes) is outside the memory",
					 area->count + 1, pa, size);
		area->pages[area->count++] = pa;
	}
	return 0;
}

int abi_read_vmalloc(struct abi_reader *r, const struct kho_vmalloc_ser *ser, uint64_t min_size,
		     struct abi_vmalloc *ret, struct error *err)
{
	size_t expected = ser->total_pages >> MIN_OF(ser->order, 31U);
	uint32_t owner = abi_reader_owner(r);
	struct kho_vmalloc_chunk_ser chunk;
	uint64_t pa = ser->first;
	int code = check_area(r, ser, min_size, err);

	*ret = (struct abi_vmalloc){.order = ser->order};
	if (code < 0)
		return code;
	ret->pages = calloc(MAX_OF(expected, 1U), sizeof(*ret->pages));
	if (!ret->pages)
		return error_set(err, -ENOMEM, "out of memory");
	for (unsigned int number = 1; pa != 0; number++) {
		code = abi_reader_take(r, owner, pa, &chunk, sizeof(chunk), err);
		if (code == 0)
			code = read_chunk(r, &chunk, expected, ret, err);
		if (code < 0) {
			error_prefix(err, "chunk %u: ", number);
			abi_vmalloc_done(ret);
			return code;
		}
		pa = chunk.next;
	}
	if (ret->count == expected)
		return 0;
	code = error_set(err, -EOVERFLOW, "%zu pages listed where total_pages is %u",
			 ret->count << ret->order, ser->total_pages);
	abi_vmalloc_done(ret);
	return code;
}

void abi_vmalloc_done(struct abi_vmalloc *area)
{
	free(area->pages);
	*area = (struct abi_vmalloc){0};
}
