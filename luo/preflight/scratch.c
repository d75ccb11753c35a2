/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/preflight/scratch.h"

#include <stdbool.h>

#include "base/util.h"

/* The highest free, aligned place in the area, or false. */
static bool place_in(const struct kho_scratch_ser *area, const struct scratch_segment *placed,
		     size_t placed_count, struct scratch_segment *segment)
{
	uint64_t align = MAX_OF(segment->align, (uint64_t)ABI_PAGE_SIZE);
	uint64_t size = ALIGN_UP(segment->size, (uint64_t)ABI_PAGE_SIZE);
	uint64_t lowest = MAX_OF(area->addr, segment->min), end = area->addr + area->size;

	for (;;) {
		uint64_t at;
		bool moved = false;

		if (end < lowest || end - lowest < size)
			return false;
		at = ALIGN_DOWN(end - size, align);
		if (at < lowest)
			return false;
		for (size_t i = 0; i < placed_count && !moved; i++)
			if (at < placed[i].pa + placed[i].size && placed[i].pa < at + size) {
				end = placed[i].pa;
				moved = true;
			}
		if (moved)
			continue;
		segment->pa = at;
		segment->size = size;
		return true;
	}
}

size_t scratch_place(const struct kho_scratch_ser *areas, size_t area_count,
		     struct scratch_segment *segments, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bool placed = false;

		for (size_t j = 0; j < area_count && !placed; j++)
			placed = place_in(&areas[j], segments, i, &segments[i]);
		if (!placed)
			return i;
	}
	return count;
}
