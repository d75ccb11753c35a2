/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/physmem/physmem.h"

#include <inttypes.h>
#include <string.h>

#include "base/util.h"

static int compare_ranges(const void *a, const void *b)
{
	const struct physmem_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int check_ranges(const struct physmem *mem, struct error *err)
{
	for (size_t i = 0; i < mem->range_count; i++) {
		const struct physmem_range *r = &mem->ranges[i];

		if (r->size > UINT64_MAX - r->start)
			return error_set(err, -EINVAL,
					 "%s: the range at 0x%" PRIx64 " (0x%" PRIx64
					 " bytes) passes the end of the address space",
					 mem->what, r->start, r->size);
		if (i > 0 && mem->ranges[i - 1].start + mem->ranges[i - 1].size > r->start)
			return error_set(err, -EINVAL,
					 "%s: two ranges overlap at 0x%" PRIx64
					 ": the file is damaged",
					 mem->what, r->start);
	}
	return 0;
}

int physmem_new(const struct physmem_ops *ops, void *ctx, const char *what,
		const struct physmem_range *ranges, size_t count, struct physmem **ret,
		struct error *err)
{
	struct physmem *mem = calloc(1, sizeof(*mem));
	char *name = strdup(what);
	struct physmem_range *copy = calloc(MAX_OF(count, 1U), sizeof(*copy));
	int r;

	if (!mem || !name || !copy) {
		free(mem);
		free(name);
		free(copy);
		return error_set(err, -ENOMEM, "%s: out of memory", what);
	}
	*mem = (struct physmem){.ops = ops, .what = name, .ranges = copy};
	for (size_t i = 0; i < count; i++)
		if (ranges[i].size > 0)
			copy[mem->range_count++] = ranges[i];
	qsort(copy, mem->range_count, sizeof(*copy), compare_ranges);
	r = check_ranges(mem, err);
	if (r < 0) {
		physmem_free(mem); /* ctx stays the caller's */
		return r;
	}
	mem->ctx = ctx;
	*ret = mem;
	return 0;
}

void physmem_free(struct physmem *mem)
{
	if (!mem)
		return;
	if (mem->ctx && mem->ops->free)
		mem->ops->free(mem->ctx);
	free(mem->ranges);
	free(mem->what);
	free(mem);
}

/* The range that holds pa, or NULL. */
static const struct physmem_range *find_range(const struct physmem *mem, uint64_t pa)
{
	size_t low = 0, high = mem->range_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct physmem_range *r = &mem->ranges[mid];

		if (pa < r->start)
			high = mid;
		else if (pa - r->start >= r->size)
			low = mid + 1;
		else
			return r;
	}
	return NULL;
}

bool physmem_contains(const struct physmem *mem, uint64_t pa, uint64_t len)
{
	while (len > 0) {
		const struct physmem_range *r = find_range(mem, pa);
		uint64_t there;

		if (!r)
			return false;
		there = r->size - (pa - r->start);
		if (len <= there)
			return true;
		pa += there;
		len -= there;
	}
	return true;
}

uint64_t physmem_size(const struct physmem *mem)
{
	uint64_t total = 0;

	/* Ranges do not overlap, so the sum fits. */
	for (size_t i = 0; i < mem->range_count; i++)
		total += mem->ranges[i].size;
	return total;
}

int physmem_read(const struct physmem *mem, uint64_t pa, void *buf, size_t len, struct error *err)
{
	uint8_t *to = buf;

	if (!physmem_contains(mem, pa, len))
		return error_set(err, -EFAULT,
				 "address 0x%" PRIx64 " (%zu bytes) is outside the memory", pa,
				 len);
	while (len > 0) {
		const struct physmem_range *range = find_range(mem, pa);
		size_t part = (size_t)MIN_OF(len, range->size - (pa - range->start));
		int r = mem->ops->read(mem->ctx, pa, to, part, err);

		if (r < 0)
			return r;
		pa += part;
		to += part;
		len -= part;
	}
	return 0;
}
