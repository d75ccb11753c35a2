/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/balloon/balloon_ranges.h"

#include <string.h>

#include "base/util.h"

static uint64_t end_of(const struct balloon_range *range)
{
	return range->first + range->count;
}

/* The first range that ends at `page` or after it. */
static unsigned int find(const struct balloon_ranges *r, uint64_t page)
{
	unsigned int low = 0, high = r->count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (end_of(&r->all[middle]) < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Replaces `old` ranges from index on by `new` ones, whose values the caller sets. */
static void splice(struct balloon_ranges *r, unsigned int index, unsigned int old, unsigned int new)
{
	memmove(&r->all[index + new], &r->all[index + old],
		(r->count - index - old) * sizeof(r->all[0]));
	r->count += new - old;
}

static unsigned int smallest(const struct balloon_ranges *r)
{
	unsigned int found = 0;

	for (unsigned int i = 1; i < r->count; i++) {
		if (r->all[i].count < r->all[found].count)
			found = i;
	}
	return found;
}

/* One more range before index. Where there is no room, the smallest of all makes it. */
static void insert(struct balloon_ranges *r, unsigned int index, const struct balloon_range *range)
{
	if (r->count == BALLOON_RANGES_MAX) {
		unsigned int victim = smallest(r);

		if (r->all[victim].count >= range->count)
			return;
		splice(r, victim, 1, 0);
		if (victim < index)
			index--;
	}
	splice(r, index, 0, 1);
	r->all[index] = *range;
}

void balloon_ranges_add(struct balloon_ranges *r, uint64_t first, uint64_t count)
{
	struct balloon_range range = {first, count};
	unsigned int index = find(r, first), next = index;

	for (; next < r->count && r->all[next].first <= end_of(&range); next++) {
		uint64_t end = MAX_OF(end_of(&range), end_of(&r->all[next]));

		range.first = MIN_OF(range.first, r->all[next].first);
		range.count = end - range.first;
	}
	if (next == index) {
		insert(r, index, &range);
		return;
	}
	splice(r, index, next - index, 1);
	r->all[index] = range;
}

void balloon_ranges_remove(struct balloon_ranges *r, uint64_t first, uint64_t count)
{
	uint64_t end = first + count;
	unsigned int index = find(r, first + 1), next;

	if (index < r->count && r->all[index].first < first) {
		struct balloon_range *cut = &r->all[index++];
		struct balloon_range rest = {end, end_of(cut) - end};
		bool inside = end_of(cut) > end;

		cut->count = first - cut->first;
		if (inside) {
			insert(r, index, &rest);
			return;
		}
	}
	for (next = index; next < r->count && end_of(&r->all[next]) <= end; next++)
		;
	splice(r, index, next - index, 0);
	if (index < r->count && r->all[index].first < end) {
		r->all[index].count = end_of(&r->all[index]) - end;
		r->all[index].first = end;
	}
}

bool balloon_ranges_next(const struct balloon_ranges *r, uint64_t from, struct balloon_range *ret)
{
	unsigned int index = find(r, from + 1);

	if (index == r->count)
		return false;
	ret->first = MAX_OF(from, r->all[index].first);
	ret->count = end_of(&r->all[index]) - ret->first;
	return true;
}

uint64_t balloon_ranges_pages(const struct balloon_ranges *r)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < r->count; i++)
		pages += r->all[i].count;
	return pages;
}
