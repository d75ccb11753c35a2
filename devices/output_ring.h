/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest bytes of an endless stream: when it is full, the oldest are overwritten. Positions
 * count bytes since the beginning, so that a reader can copy some out, write them without a lock,
 * and then take off what is still there of them. The caller locks.
 */
#ifndef HOLDFAST_DEVICES_OUTPUT_RING_H
#define HOLDFAST_DEVICES_OUTPUT_RING_H

#include <stddef.h>
#include <stdint.h>

struct output_ring {
	uint8_t *data;	/* owned */
	size_t size;	/* a power of two */
	uint64_t start; /* position of the oldest byte kept */
	uint64_t end;	/* position after the newest */
};

/* size: a power of two. -ENOMEM. */
int output_ring_init(struct output_ring *ring, size_t size);
void output_ring_destroy(struct output_ring *ring);

static inline size_t output_ring_used(const struct output_ring *ring)
{
	return (size_t)(ring->end - ring->start);
}

/* Returns how many bytes were lost for it: 0 or 1. */
unsigned int output_ring_put(struct output_ring *ring, uint8_t byte);
/* Copies at most size of the oldest bytes; *ret_position is where they start. */
size_t output_ring_peek(const struct output_ring *ring, void *buf, size_t size,
			uint64_t *ret_position);
/* Everything before this position is done with. */
void output_ring_take_to(struct output_ring *ring, uint64_t position);

#endif
