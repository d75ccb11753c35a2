/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages that a guest has given away, as a bounded number of ranges. So neither saving nor
 * loading grows with guest RAM. When there are more pieces than fit, the smallest are forgotten:
 * their pages stay with the guest's memory until they are given away anew, which costs the host
 * memory and nothing else.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_BALLOON_BALLOON_RANGES_H
#define HOLDFAST_DEVICES_VIRTIO_BALLOON_BALLOON_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#define BALLOON_RANGES_MAX 4096

/* In pages. */
struct balloon_range {
	uint64_t first, count;
};

/* Sorted, with at least one page between two of them. Zero-initialised: empty. */
struct balloon_ranges {
	unsigned int count;
	struct balloon_range all[BALLOON_RANGES_MAX];
};

/* Pages that are there, or are not there, already are fine. count is not 0. */
void balloon_ranges_add(struct balloon_ranges *r, uint64_t first, uint64_t count);
void balloon_ranges_remove(struct balloon_ranges *r, uint64_t first, uint64_t count);
/* What is there from page `from` on: the first such range or the rest of it. False: nothing. */
bool balloon_ranges_next(const struct balloon_ranges *r, uint64_t from, struct balloon_range *ret);
uint64_t balloon_ranges_pages(const struct balloon_ranges *r);

#endif
