/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/abi/scan.h"

#include <libfdt.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/layout.h"
#include "luo/abi/tree.h"
#include "luo/abi/version.h"

#define CHUNK_SIZE (1024U * 1024U)
/* Setup data is 8-byte aligned at least and may cross a page: `type` and `len` as one word. */
#define SETUP_WORD  (UINT64_C(32) << 32 | KHO_SETUP_DATA_TYPE)
#define SETUP_WORDS (sizeof(struct kho_setup_data) / sizeof(uint64_t))
/* Areas: one in low memory, one global, one for each node. */
#define SCRATCH_SIZE_MAX (1026U * sizeof(struct kho_scratch_ser))

/* Setup data that looks right; its root may be found before or after it. */
struct hint {
	uint64_t fdt_pa, scratch_pa, scratch_size;
};

struct search {
	struct abi_scan *result;
	abi_scan_fn *stop;
	void *opaque;
	struct hint hints[ABI_ROOTS_MAX];
	size_t hint_count;
	bool stopped;
};

static bool is_root(const uint8_t *page)
{
	char compatible[32];

	return fdt_magic(page) == FDT_MAGIC && abi_tree_check(page, KHO_FDT_SIZE, NULL) == 0 &&
	       abi_tree_compatible(page, 0, compatible, sizeof(compatible), NULL) == 0 &&
	       abi_version_number(compatible, KHO_COMPATIBLE_PREFIX) != 0;
}

static void apply_hints(const struct search *s, struct abi_root_place *root)
{
	for (size_t i = 0; i < s->hint_count; i++) {
		if (s->hints[i].fdt_pa != root->fdt_pa)
			continue;
		root->handed_over = true;
		root->scratch_pa = s->hints[i].scratch_pa;
		root->scratch_size = s->hints[i].scratch_size;
	}
}

static void add_root(struct search *s, uint64_t pa)
{
	struct abi_scan *scan = s->result;

	if (scan->root_count == ABI_ROOTS_MAX)
		return;
	scan->roots[scan->root_count] = (struct abi_root_place){.fdt_pa = pa};
	scan->root_count++;
	if (s->stop && s->stop(s->opaque, &scan->roots[scan->root_count - 1]))
		s->stopped = true;
}

static void add_hint(struct search *s, const struct kho_setup_data *data)
{
	if (s->hint_count == ABI_ROOTS_MAX || data->fdt_addr == 0 ||
	    data->fdt_addr % ABI_PAGE_SIZE != 0 || data->fdt_size != KHO_FDT_SIZE ||
	    data->scratch_size == 0 || data->scratch_size > SCRATCH_SIZE_MAX ||
	    data->scratch_size % sizeof(struct kho_scratch_ser) != 0)
		return;
	s->hints[s->hint_count++] =
		(struct hint){data->fdt_addr, data->scratch_addr, data->scratch_size};
}

static void search_chunk(struct search *s, uint64_t pa, const uint8_t *data, size_t size)
{
	const uint64_t *words = (const uint64_t *)(const void *)data;
	size_t count = size / sizeof(uint64_t);

	for (size_t at = 0; at + ABI_PAGE_SIZE <= size && !s->stopped; at += ABI_PAGE_SIZE)
		if (is_root(data + at))
			add_root(s, pa + at);
	for (size_t i = 1; i + SETUP_WORDS - 1 <= count; i++) {
		struct kho_setup_data setup;

		if (words[i] != SETUP_WORD)
			continue;
		memcpy(&setup, &words[i - 1], sizeof(setup));
		add_hint(s, &setup);
	}
}

/*
 * /dev/mem refuses a whole read for one page that the kernel does not map. Such a page is taken for
 * zero, and counted unless the chunk before had it too.
 */
static int read_chunk(struct search *s, const struct physmem *mem, uint64_t pa, uint8_t *chunk,
		      size_t size, bool first, struct error *err)
{
	int r = physmem_read(mem, pa, chunk, size, err);

	if (r != -EFAULT)
		return r;
	for (size_t at = 0; at < size; at += ABI_PAGE_SIZE) {
		size_t part = MIN_OF(size - at, (size_t)ABI_PAGE_SIZE);

		r = physmem_read(mem, pa + at, chunk + at, part, err);
		if (r < 0 && r != -EFAULT)
			return r;
		if (r == -EFAULT) {
			memset(chunk + at, 0, part);
			s->result->unreadable += at > 0 || first ? part : 0;
		}
	}
	if (err)
		error_clear(err);
	return 0;
}

/*
 * Chunks overlap by the length of a setup_data, so that one across the border is seen; a root is a
 * page and cannot lie across it.
 */
static int search_range(struct search *s, const struct physmem *mem,
			const struct physmem_range *range, uint64_t limit, uint8_t *chunk,
			struct error *err)
{
	uint64_t start = ALIGN_UP(range->start, (uint64_t)ABI_PAGE_SIZE);
	uint64_t end = range->start + range->size;
	bool first = true;

	while (start < end && s->result->scanned < limit && !s->stopped) {
		size_t size = (size_t)MIN_OF(end - start, (uint64_t)CHUNK_SIZE);
		int r = read_chunk(s, mem, start, chunk, size, first, err);

		if (r < 0)
			return r;
		first = false;
		search_chunk(s, start, chunk, size);
		if (size < CHUNK_SIZE) {
			s->result->scanned += size;
			return 0;
		}
		s->result->scanned += CHUNK_SIZE - ABI_PAGE_SIZE;
		start += CHUNK_SIZE - ABI_PAGE_SIZE;
	}
	return 0;
}

/* The page that two chunks share is looked at twice. */
static void drop_doubles(struct abi_scan *scan)
{
	size_t kept = 0;

	for (size_t i = 0; i < scan->root_count; i++)
		if (kept == 0 || scan->roots[kept - 1].fdt_pa != scan->roots[i].fdt_pa)
			scan->roots[kept++] = scan->roots[i];
	scan->root_count = kept;
}

int abi_scan(const struct physmem *mem, uint64_t limit, abi_scan_fn *stop, void *opaque,
	     struct abi_scan *ret, struct error *err)
{
	_cleanup_free_ uint8_t *chunk = aligned_alloc(ABI_PAGE_SIZE, CHUNK_SIZE);
	_cleanup_free_ struct search *s = calloc(1, sizeof(*s));
	int r = 0;

	*ret = (struct abi_scan){0};
	if (!chunk || !s)
		return error_set(err, -ENOMEM, "scan: out of memory");
	*s = (struct search){.result = ret, .stop = stop, .opaque = opaque};
	for (size_t i = 0; r == 0 && i < mem->range_count; i++)
		r = search_range(s, mem, &mem->ranges[i], limit, chunk, err);
	ret->complete = r == 0 && !s->stopped && ret->scanned < limit;
	drop_doubles(ret);
	for (size_t i = 0; i < ret->root_count; i++)
		apply_hints(s, &ret->roots[i]);
	return r;
}
