/* SPDX-License-Identifier: Apache-2.0 */
/* Two files that claim the same memory: the second one to be retrieved would fail. */
#include <inttypes.h>

#include "base/util.h"
#include "luo/abi/decode.h"

struct piece {
	uint64_t start, end;
	size_t session, file;
};

static int compare_pieces(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static size_t count_extents(const struct abi_luo *luo)
{
	size_t count = 0;

	for (size_t i = 0; i < luo->session_count; i++)
		for (size_t j = 0; j < luo->sessions[i].file_count; j++)
			if (luo->sessions[i].files[j].memfd)
				count += luo->sessions[i].files[j].memfd->extent_count;
	return count;
}

static void collect(const struct abi_luo *luo, struct piece *pieces)
{
	for (size_t i = 0; i < luo->session_count; i++)
		for (size_t j = 0; j < luo->sessions[i].file_count; j++) {
			const struct abi_memfd *m = luo->sessions[i].files[j].memfd;

			for (size_t k = 0; m && k < m->extent_count; k++) {
				const struct abi_extent *e = &m->extents[k];

				*pieces++ = (struct piece){
					e->pa, e->pa + ((e->folios << e->order) << ABI_PAGE_SHIFT),
					i, j};
			}
		}
}

int abi_check_overlaps(const struct abi_luo *luo, struct error *err)
{
	size_t count = count_extents(luo);
	_cleanup_free_ struct piece *pieces = calloc(MAX_OF(count, 1U), sizeof(*pieces));

	if (!pieces)
		return error_set(err, -ENOMEM, "files: out of memory");
	collect(luo, pieces);
	qsort(pieces, count, sizeof(*pieces), compare_pieces);
	for (size_t i = 1; i < count; i++) {
		const struct piece *a = &pieces[i - 1], *b = &pieces[i];

		if (a->end > b->start)
			return error_set(err, -EEXIST,
					 "session %zu \"%s\", file %zu: its memory at 0x%" PRIx64
					 " is that of session %zu \"%s\", file %zu too",
					 b->session + 1, luo->sessions[b->session].name,
					 b->file + 1, b->start, a->session + 1,
					 luo->sessions[a->session].name, a->file + 1);
	}
	return 0;
}
