/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of preserved pages, since kho-v2 (Linux include/linux/kho/abi/kexec_handover.h,
 * "persistent memory tracker"). A key is an order bit at 52 - order and, below it, the physical
 * address divided by the folio's size.
 */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/decode.h"

struct walk {
	struct abi_reader *reader;
	struct abi_preserved *preserved;
	uint32_t owner;
	struct error *err;
};

static int add_run(struct abi_preserved *p, uint32_t order, uint64_t pa)
{
	uint64_t size = (uint64_t)ABI_PAGE_SIZE << order;
	size_t count = p->run_count[order];
	struct abi_run *last = count > 0 ? &p->runs[order][count - 1] : NULL;

	p->folios_by_order[order]++;
	p->pages += UINT64_C(1) << order;
	if (last && pa == last->pa + last->count * size) {
		last->count++;
		return 0;
	}
	if (ABI_GROW(p->runs[order], count) < 0)
		return -ENOMEM;
	p->runs[order][count] = (struct abi_run){.pa = pa, .count = 1};
	p->run_count[order]++;
	return 0;
}

static int add_key(struct walk *w, uint64_t key)
{
	uint32_t bit, order;
	uint64_t pa;

	/* Bit 0 alone would be a folio of 2^64 bytes. */
	if (key < 2)
		return error_set(w->err, -EBADMSG, "key 0x%" PRIx64 " has no order", key);
	bit = 63U - (uint32_t)__builtin_clzll(key);
	if (bit > KHO_RADIX_ORDER0_BIT)
		return error_set(w->err, -EBADMSG, "key 0x%" PRIx64 " is too wide", key);
	order = KHO_RADIX_ORDER0_BIT - bit;
	pa = key << (ABI_PAGE_SHIFT + order); /* the order bit falls out at the top */
	if (!physmem_contains(w->reader->mem, pa, (uint64_t)ABI_PAGE_SIZE << order))
		return error_set(w->err, -EFAULT,
				 "a folio of order %u at 0x%" PRIx64 " is outside the memory",
				 order, pa);
	if (add_run(w->preserved, order, pa) < 0)
		return error_set(w->err, -ENOMEM, "out of memory");
	if (w->preserved->pages > physmem_size(w->reader->mem) / ABI_PAGE_SIZE)
		return error_set(w->err, -EOVERFLOW, "more pages than the memory has");
	return 0;
}

static int walk_leaf(struct walk *w, const uint64_t *words, uint64_t base)
{
	for (uint64_t i = 0; i < KHO_RADIX_LEAF_SIZE / 64; i++) {
		uint64_t left = words[i];

		while (left != 0) {
			uint64_t bit = (uint64_t)__builtin_ctzll(left);
			int r = add_key(w, base | (i * 64 + bit));

			if (r < 0)
				return r;
			left &= left - 1;
		}
	}
	return 0;
}

/* At most KHO_RADIX_LEVELS deep, a page of stack each. */
static int walk_node(struct walk *w, uint64_t pa, unsigned int level, uint64_t base)
{
	uint64_t words[KHO_RADIX_TABLE_SIZE];
	unsigned int shift;
	int r = abi_reader_take(w->reader, w->owner, pa, words, sizeof(words), w->err);

	if (r < 0) {
		error_prefix(w->err, "level %u: ", level);
		return r;
	}
	w->preserved->nodes++;
	if (level == 0)
		return walk_leaf(w, words, base);
	shift = (level - 1) * KHO_RADIX_TABLE_BITS + KHO_RADIX_LEAF_BITS;
	for (uint64_t i = 0; i < KHO_RADIX_TABLE_SIZE; i++) {
		if (words[i] == 0)
			continue;
		r = walk_node(w, words[i], level - 1, base | (i << shift));
		if (r < 0)
			return r;
	}
	return 0;
}

int abi_read_radix(struct abi_reader *r, uint64_t root_pa, struct abi_preserved **ret,
		   struct error *err)
{
	struct abi_preserved *preserved = calloc(1, sizeof(*preserved));
	struct walk w = {
		.reader = r, .preserved = preserved, .owner = abi_reader_owner(r), .err = err};
	int code;

	*ret = preserved;
	if (!preserved)
		return error_set(err, -ENOMEM, "preserved pages: out of memory");
	code = walk_node(&w, root_pa, KHO_RADIX_LEVELS - 1, 0);
	if (code < 0)
		error_prefix(err, "preserved pages, ");
	return code;
}
