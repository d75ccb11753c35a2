/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/util.h"
#include "luo/physmem/physmem.h"

struct buffer {
	uint64_t base;
	const uint8_t *data; /* borrowed */
};

static int buffer_read(void *ctx, uint64_t pa, void *buf, size_t len, struct error *err _unused_)
{
	const struct buffer *b = ctx;

	memcpy(buf, b->data + (pa - b->base), len);
	return 0;
}

static const struct physmem_ops buffer_ops = {.read = buffer_read, .free = free};

int physmem_open_buffer(uint64_t base, const void *data, size_t size, struct physmem **ret,
			struct error *err)
{
	struct physmem_range range = {.start = base, .size = size};
	struct buffer *b = malloc(sizeof(*b));
	int r;

	if (!b)
		return error_set(err, -ENOMEM, "buffer: out of memory");
	*b = (struct buffer){.base = base, .data = data};
	r = physmem_new(&buffer_ops, b, "buffer", &range, 1, ret, err);
	if (r < 0)
		free(b);
	return r;
}
