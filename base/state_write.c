/* SPDX-License-Identifier: Apache-2.0 */
#include <libfdt.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/state.h"
#include "base/util.h"
#include "base/version.h"

struct state_writer {
	void *buf; /* owned */
	size_t max_size;
	unsigned int depth;
	int code;	 /* first failure */
	char where[128]; /* and where it happened */
};

/* The first error is the one that explains; later ones only follow from it. */
static void writer_fail(struct state_writer *w, int code, const char *name)
{
	if (w->code)
		return;
	w->code = code;
	snprintf(w->where, sizeof(w->where), "%s", name);
}

static void put_result(struct state_writer *w, int fdt_result, const char *name)
{
	if (fdt_result == 0)
		return;
	writer_fail(w, fdt_result == -FDT_ERR_NOSPACE ? -ENOSPC : -EINVAL, name);
}

int state_writer_new(size_t max_size, struct state_writer **ret, struct error *err)
{
	struct state_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return error_set(err, -ENOMEM, "state: out of memory");
	w->max_size = max_size;
	w->buf = calloc(1, max_size);
	if (!w->buf) {
		free(w);
		return error_set(err, -ENOMEM, "state: no memory for %zu bytes", max_size);
	}
	put_result(w, fdt_create(w->buf, (int)MIN_OF(max_size, (size_t)INT32_MAX)), "/");
	put_result(w, fdt_finish_reservemap(w->buf), "/");
	put_result(w, fdt_begin_node(w->buf, ""), "/");
	state_put_string(w, "compatible", STATE_COMPATIBLE);
	state_put_string(w, "writer", "holdfast " HOLDFAST_VERSION);
	state_put_u32(w, "checksum", 0);
	*ret = w;
	return 0;
}

void state_writer_free(struct state_writer *w)
{
	if (!w)
		return;
	free(w->buf);
	free(w);
}

void state_begin(struct state_writer *w, const char *node)
{
	if (w->code)
		return;
	if (strlen(node) >= STATE_NODE_NAME_MAX || w->depth + 1 >= STATE_DEPTH_MAX) {
		writer_fail(w, -EINVAL, node);
		return;
	}
	w->depth++;
	put_result(w, fdt_begin_node(w->buf, node), node);
}

void state_end(struct state_writer *w)
{
	if (w->code)
		return;
	if (w->depth == 0) {
		writer_fail(w, -EINVAL, "end of a node that was not begun");
		return;
	}
	w->depth--;
	put_result(w, fdt_end_node(w->buf), "/");
}

void state_put_u32(struct state_writer *w, const char *name, uint32_t value)
{
	if (!w->code)
		put_result(w, fdt_property_u32(w->buf, name, value), name);
}

void state_put_u64(struct state_writer *w, const char *name, uint64_t value)
{
	if (!w->code)
		put_result(w, fdt_property_u64(w->buf, name, value), name);
}

void state_put_string(struct state_writer *w, const char *name, const char *value)
{
	state_put_bytes(w, name, value, strlen(value) + 1);
}

void state_put_bytes(struct state_writer *w, const char *name, const void *data, size_t size)
{
	if (w->code)
		return;
	if (size > INT32_MAX)
		writer_fail(w, -ENOSPC, name);
	else
		put_result(w, fdt_property(w->buf, name, data, (int)size), name);
}

void state_put_u64s(struct state_writer *w, const char *name, const uint64_t *values, size_t count)
{
	void *place;

	if (w->code)
		return;
	if (count > INT32_MAX / sizeof(fdt64_t)) {
		writer_fail(w, -ENOSPC, name);
		return;
	}
	put_result(w,
		   fdt_property_placeholder(w->buf, name, (int)(count * sizeof(fdt64_t)), &place),
		   name);
	if (w->code)
		return;
	for (size_t i = 0; i < count; i++)
		fdt64_st((char *)place + i * sizeof(fdt64_t), values[i]);
}

static int writer_close(struct state_writer *w)
{
	if (!w->code && w->depth != 0)
		writer_fail(w, -EINVAL, "a node was not ended");
	if (!w->code)
		put_result(w, fdt_end_node(w->buf), "/");
	if (!w->code)
		put_result(w, fdt_finish(w->buf), "/");
	return w->code;
}

int state_writer_finish(struct state_writer *w, const void **ret_blob, size_t *ret_size,
			struct error *err)
{
	uint32_t size;
	int r = writer_close(w);

	if (r == -ENOSPC)
		return error_set(err, r, "state: %s does not fit into %zu bytes", w->where,
				 w->max_size);
	if (r < 0)
		return error_set(err, r, "state: cannot write %s (a bug in holdfast)", w->where);
	size = fdt_totalsize(w->buf);
	r = fdt_setprop_inplace_u32(w->buf, 0, "checksum", (uint32_t)crc32_z(0, w->buf, size));
	if (r < 0)
		return error_set(err, -EINVAL, "state: cannot write the checksum: %s",
				 fdt_strerror(r));
	*ret_blob = w->buf;
	*ret_size = size;
	return 0;
}
