/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/output_ring.h"

#include <string.h>

#include "base/util.h"

int output_ring_init(struct output_ring *ring, size_t size)
{
	*ring = (struct output_ring){.data = malloc(size), .size = size};
	return ring->data ? 0 : -ENOMEM;
}

void output_ring_destroy(struct output_ring *ring)
{
	free(ring->data);
	*ring = (struct output_ring){0};
}

unsigned int output_ring_put(struct output_ring *ring, uint8_t byte)
{
	ring->data[ring->end++ & (ring->size - 1)] = byte;
	if (output_ring_used(ring) <= ring->size)
		return 0;
	ring->start++;
	return 1;
}

size_t output_ring_peek(const struct output_ring *ring, void *buf, size_t size,
			uint64_t *ret_position)
{
	size_t at = ring->start & (ring->size - 1);
	size_t count = MIN_OF(size, output_ring_used(ring));
	size_t first = MIN_OF(count, ring->size - at);

	memcpy(buf, ring->data + at, first);
	memcpy((uint8_t *)buf + first, ring->data, count - first);
	*ret_position = ring->start;
	return count;
}

void output_ring_take_to(struct output_ring *ring, uint64_t position)
{
	if (position > ring->start)
		ring->start = MIN_OF(position, ring->end);
}
