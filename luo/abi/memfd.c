/* SPDX-License-Identifier: Apache-2.0 */
/* Preserved memfds (Linux include/linux/kho/abi/memfd.h). */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/decode.h"
#include "luo/abi/version.h"

/* The list of folios, read a page at a time and merged into extents as it goes. */
struct folio_list {
	struct abi_reader *reader;
	const struct abi_preserved *preserved; /* may be NULL */
	struct abi_memfd *memfd;
	uint64_t file_pages;
	uint32_t owner;
	bool pending; /* a folio whose size is known only with the next one */
	uint64_t number;
	uint64_t pa, index;
	uint32_t flags;
};

static int add_extent(struct abi_memfd *m, const struct abi_extent *folio)
{
	struct abi_extent *last = m->extent_count > 0 ? &m->extents[m->extent_count - 1] : NULL;

	m->folios_by_order[folio->order]++;
	m->pages += UINT64_C(1) << folio->order;
	if (last && m->extents_left_out == 0 && last->order == folio->order &&
	    last->flags == folio->flags &&
	    folio->index == last->index + (last->folios << last->order) &&
	    folio->pa == last->pa + ((last->folios << last->order) << ABI_PAGE_SHIFT)) {
		last->folios++;
		return 0;
	}
	if (m->extent_count == ABI_EXTENTS_MAX) {
		m->extents_left_out++;
		return 0;
	}
	if (ABI_GROW(m->extents, m->extent_count) < 0)
		return -ENOMEM;
	m->extents[m->extent_count++] = *folio;
	return 0;
}

/* The list has no sizes. Where the tree of preserved pages does not tell, the folio is as large as
 * its alignment and the room up to the next one allow. */
static uint32_t infer_order(uint64_t pa, uint64_t room)
{
	uint32_t order = 0;

	while (order < KHO_ORDER_MAX && (UINT64_C(2) << order) <= room &&
	       pa % ((uint64_t)ABI_PAGE_SIZE << (order + 1)) == 0)
		order++;
	return order;
}

static int finish_folio(struct folio_list *l, uint64_t next_index, bool last, struct error *err)
{
	struct abi_extent folio = {.index = l->index, .pa = l->pa, .folios = 1, .flags = l->flags};
	uint64_t room = next_index - l->index;

	l->pending = false;
	if (!l->preserved || !abi_preserved_find(l->preserved, l->pa, &folio.order)) {
		folio.order = infer_order(l->pa, room);
		if (l->preserved)
			l->memfd->folios_not_preserved++;
	}
	/* The last one may be larger than what the file needs. */
	if (!last && UINT64_C(1) << folio.order > room)
		return error_set(err, -EEXIST,
				 "folio %" PRIu64 ": its %" PRIu64
				 " pages overlap the next folio in the file",
				 l->number, UINT64_C(1) << folio.order);
	if (!physmem_contains(l->reader->mem, l->pa, (uint64_t)ABI_PAGE_SIZE << folio.order))
		return error_set(err, -EFAULT,
				 "folio %" PRIu64 ": address 0x%" PRIx64 " is outside the memory",
				 l->number, l->pa);
	if (add_extent(l->memfd, &folio) < 0)
		return error_set(err, -ENOMEM, "folio %" PRIu64 ": out of memory", l->number);
	return 0;
}

static int add_folio(struct folio_list *l, const struct memfd_folio_ser *ser, uint64_t number,
		     struct error *err)
{
	uint64_t pfn = ser->pfn_flags & ((UINT64_C(1) << MEMFD_FOLIO_PFN_BITS) - 1);
	uint32_t flags = (uint32_t)(ser->pfn_flags >> MEMFD_FOLIO_PFN_BITS);

	/* The kernel skips such an entry. */
	if (pfn == 0)
		return 0;
	if (ser->index >= l->file_pages)
		return error_set(err, -EOVERFLOW,
				 "folio %" PRIu64 ", index: %" PRIu64
				 " lies behind the file's %" PRIu64 " pages",
				 number, ser->index, l->file_pages);
	if (l->pending && ser->index <= l->index)
		return error_set(err, -EEXIST,
				 "folio %" PRIu64 ", index: %" PRIu64 " after %" PRIu64, number,
				 ser->index, l->index);
	if (flags & ~(MEMFD_FOLIO_DIRTY | MEMFD_FOLIO_UPTODATE))
		return error_set(err, -EBADMSG, "folio %" PRIu64 ", flags: 0x%x is not known",
				 number, flags);
	if (l->pending) {
		int r = finish_folio(l, ser->index, false, err);

		if (r < 0)
			return r;
	}
	l->pending = true;
	l->number = number;
	l->pa = pfn << ABI_PAGE_SHIFT;
	l->index = ser->index;
	l->flags = flags;
	return 0;
}

static int read_folio_page(struct folio_list *l, uint64_t pa, uint64_t *number, uint64_t count,
			   struct error *err)
{
	struct memfd_folio_ser folios[ABI_PAGE_SIZE / sizeof(struct memfd_folio_ser)];
	int r = abi_reader_take(l->reader, l->owner, pa, folios, sizeof(folios), err);

	if (r < 0)
		error_prefix(err, "folios: ");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folios) && *number < count; i++)
		r = add_folio(l, &folios[i], ++*number, err);
	return r;
}

static int read_folios(struct abi_reader *r, const struct abi_vmalloc *area,
		       const struct abi_preserved *preserved, struct abi_memfd *memfd,
		       struct error *err)
{
	struct folio_list list = {.reader = r,
				  .preserved = preserved,
				  .memfd = memfd,
				  .owner = abi_reader_owner(r),
				  .file_pages = (memfd->size + ABI_PAGE_SIZE - 1) / ABI_PAGE_SIZE};
	uint64_t number = 0;

	for (size_t i = 0; i < area->count; i++)
		for (uint64_t page = 0; page < UINT64_C(1) << area->order; page++) {
			int code;

			if (number == memfd->folios)
				break;
			code = read_folio_page(&list, area->pages[i] + page * ABI_PAGE_SIZE,
					       &number, memfd->folios, err);
			if (code < 0)
				return code;
		}
	return list.pending ? finish_folio(&list, list.file_pages, true, err) : 0;
}

/* Fills everything but the folios, and checks it. */
static int read_header(struct abi_reader *r, uint64_t pa, struct abi_memfd *m,
		       struct kho_vmalloc_ser *folios, struct error *err)
{
	struct memfd_v2_ser v2 = {0};
	struct memfd_v1_ser v1;
	uint64_t pages;
	int code;

	if (m->version == 1) {
		code = abi_reader_take(r, abi_reader_owner(r), pa, &v1, sizeof(v1), err);
		if (code == 0)
			v2 = (struct memfd_v2_ser){.pos = v1.pos,
						   .size = v1.size,
						   .nr_folios = v1.nr_folios,
						   .folios = v1.folios};
	} else {
		code = abi_reader_take(r, abi_reader_owner(r), pa, &v2, sizeof(v2), err);
	}
	if (code < 0)
		return code;
	m->pos = v2.pos;
	m->size = v2.size;
	m->seals = v2.seals;
	m->flags = v2.flags;
	m->folios = v2.nr_folios;
	*folios = v2.folios;
	if (m->seals & ~MEMFD_SEALS_KNOWN)
		return error_set(err, -EBADMSG, "seals: 0x%x has some that are not known",
				 m->seals);
	if (m->flags != 0)
		return error_set(err, -EBADMSG, "flags: 0x%x is not known", m->flags);
	pages = m->size / ABI_PAGE_SIZE + (m->size % ABI_PAGE_SIZE != 0);
	if (m->size > INT64_MAX || m->pos > INT64_MAX)
		return error_set(err, -EOVERFLOW, "size or pos: more than a file can have");
	if (m->folios > pages)
		return error_set(err, -EOVERFLOW,
				 "nr_folios: %" PRIu64 " in a file of %" PRIu64 " pages", m->folios,
				 pages);
	if (m->folios > physmem_size(r->mem) / ABI_PAGE_SIZE)
		return error_set(err, -EOVERFLOW,
				 "nr_folios: %" PRIu64 " is more than the memory has pages",
				 m->folios);
	return 0;
}

int abi_read_memfd(struct abi_reader *r, const char *compatible, uint64_t pa,
		   const struct abi_preserved *preserved, struct abi_memfd **ret, struct error *err)
{
	struct abi_memfd *memfd;
	struct kho_vmalloc_ser folios = {0};
	struct abi_vmalloc area = {0};
	uint32_t version = abi_version_number(compatible, MEMFD_COMPATIBLE_PREFIX);
	int code;

	if (version != 1 && version != 2)
		return error_set(err, -EPROTONOSUPPORT, "\"%s\" is not known", compatible);
	memfd = *ret = calloc(1, sizeof(*memfd));
	if (!memfd)
		return error_set(err, -ENOMEM, "out of memory");
	memfd->version = version;
	code = read_header(r, pa, memfd, &folios, err);
	if (code < 0 || memfd->folios == 0)
		return code;
	code = abi_read_vmalloc(r, &folios, memfd->folios * sizeof(struct memfd_folio_ser), &area,
				err);
	if (code < 0) {
		error_prefix(err, "folios, ");
		return code;
	}
	code = read_folios(r, &area, preserved, memfd, err);
	abi_vmalloc_done(&area);
	return code;
}
