/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/abi/reader.h"

#include <inttypes.h>
#include <string.h>

#include "base/util.h"

void abi_reader_init(struct abi_reader *r, const struct physmem *mem)
{
	*r = (struct abi_reader){.mem = mem};
}

void abi_reader_done(struct abi_reader *r)
{
	free(r->claims);
	r->claims = NULL;
}

uint32_t abi_reader_owner(struct abi_reader *r)
{
	return ++r->owners;
}

/* Where key is, or the free place where it belongs (Fibonacci hashing, linear probing). */
static struct abi_claim *claim_slot(struct abi_claim *claims, size_t capacity, uint64_t key)
{
	size_t at = (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (capacity - 1);

	while (claims[at].key != 0 && claims[at].key != key)
		at = (at + 1) & (capacity - 1);
	return &claims[at];
}

static int claims_make_room(struct abi_reader *r)
{
	size_t capacity = r->claim_capacity == 0 ? 64 : r->claim_capacity * 2;
	struct abi_claim *grown;

	if (r->claim_count * 2 < r->claim_capacity)
		return 0;
	grown = calloc(capacity, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	for (size_t i = 0; i < r->claim_capacity; i++)
		if (r->claims[i].key != 0)
			*claim_slot(grown, capacity, r->claims[i].key) = r->claims[i];
	free(r->claims);
	r->claims = grown;
	r->claim_capacity = capacity;
	return 0;
}

static int claim_page(struct abi_reader *r, uint32_t owner, uint64_t pa, struct error *err)
{
	struct abi_claim *slot;

	if (claims_make_room(r) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	slot = claim_slot(r->claims, r->claim_capacity, (pa >> ABI_PAGE_SHIFT) + 1);
	if (slot->key != 0 && slot->owner == owner)
		return error_set(err, -ELOOP, "comes back to 0x%" PRIx64 ": a cycle", pa);
	if (slot->key != 0)
		return error_set(err, -EEXIST,
				 "address 0x%" PRIx64 " is used by another structure already", pa);
	slot->key = (pa >> ABI_PAGE_SHIFT) + 1;
	slot->owner = owner;
	r->claim_count++;
	return 0;
}

int abi_reader_take(struct abi_reader *r, uint32_t owner, uint64_t pa, void *buf, size_t len,
		    struct error *err)
{
	int ret;

	if (pa % ABI_PAGE_SIZE != 0)
		return error_set(err, -EINVAL, "address 0x%" PRIx64 " is not page-aligned", pa);
	ret = physmem_read(r->mem, pa, buf, len, err);
	if (ret < 0)
		return ret;
	for (uint64_t offset = 0; offset < len; offset += ABI_PAGE_SIZE) {
		ret = claim_page(r, owner, pa + offset, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int abi_take_name(char *to, const char *from, size_t size, const char *what, struct error *err)
{
	size_t len = strnlen(from, size);

	memset(to, 0, size);
	if (len == size)
		return error_set(err, -EBADMSG, "%s: no terminator within %zu bytes", what, size);
	if (len == 0)
		return error_set(err, -EBADMSG, "%s: empty", what);
	memcpy(to, from, len);
	return 0;
}
