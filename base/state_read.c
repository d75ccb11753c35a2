/* SPDX-License-Identifier: Apache-2.0 */
#include <libfdt.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/devicetree.h"
#include "base/state.h"
#include "base/util.h"

/* The checksum covers the blob with its own cell zero; computed in three pieces so that nothing is
 * copied. */
static uint32_t blob_checksum(const void *fdt, size_t size, const void *cell)
{
	static const uint8_t zero[sizeof(fdt32_t)];
	const uint8_t *start = fdt;
	size_t before = (size_t)((const uint8_t *)cell - start);
	uLong crc = crc32_z(0, start, before);

	crc = crc32_z(crc, zero, sizeof(zero));
	return (uint32_t)crc32_z(crc, start + before + sizeof(zero), size - before - sizeof(zero));
}

static int check_root(const void *fdt, size_t size, struct error *err)
{
	const void *cell, *compatible;
	int len;

	compatible = fdt_getprop(fdt, 0, "compatible", &len);
	if (!compatible || len <= 0 || strnlen(compatible, (size_t)len) == (size_t)len)
		return error_set(err, -EINVAL, "state: not a holdfast state: no compatible string");
	if (strcmp(compatible, STATE_COMPATIBLE) != 0)
		return error_set(
			err, -EPROTONOSUPPORT,
			"state: format \"%s\" is not the one this program reads (\"%s\"): use the "
			"version of holdfast that wrote it, or a newer one",
			(const char *)compatible, STATE_COMPATIBLE);
	cell = fdt_getprop(fdt, 0, "checksum", &len);
	if (!cell || len != sizeof(fdt32_t))
		return error_set(err, -EINVAL, "state: no checksum");
	if (blob_checksum(fdt, size, cell) != fdt32_ld(cell))
		return error_set(err, -EBADMSG, "state: checksum mismatch: the state is damaged");
	return 0;
}

int state_blob_open(const void *data, size_t size, struct state_blob *ret, struct error *err)
{
	int r = devicetree_check(data, size, err);

	if (r < 0) {
		error_prefix(err, "state: ");
		return r;
	}
	r = check_root(data, fdt_totalsize(data), err);
	if (r < 0)
		return r;
	*ret = (struct state_blob){.fdt = data, .size = fdt_totalsize(data)};
	return 0;
}

void state_reader_root(struct state_reader *r, const struct state_blob *blob)
{
	*r = (struct state_reader){.blob = blob, .node = 0};
}

static void reader_at(const struct state_reader *parent, int node, struct state_reader *ret)
{
	*ret = (struct state_reader){.blob = parent->blob, .node = node};
	/* Only for messages: a path that is too long is cut. */
	if (snprintf(ret->path, sizeof(ret->path), "%s/%s", parent->path, state_reader_name(ret)) <
	    0)
		ret->path[0] = '\0';
}

const char *state_reader_name(const struct state_reader *r)
{
	const char *name = fdt_get_name(r->blob->fdt, r->node, NULL);

	return name ? name : "?";
}

int state_reader_child(struct state_reader *r, const char *name, struct state_reader *ret)
{
	int node;

	fdt_for_each_subnode(node, r->blob->fdt, r->node)
	{
		/* fdt_subnode_offset() would also take "uart" for "uart@3f8". */
		const char *found = fdt_get_name(r->blob->fdt, node, NULL);

		if (found && strcmp(found, name) == 0) {
			reader_at(r, node, ret);
			return 0;
		}
	}
	return -ENOENT;
}

bool state_reader_next_child(struct state_reader *r, int *node, struct state_reader *ret)
{
	*node = *node == 0 ? fdt_first_subnode(r->blob->fdt, r->node)
			   : fdt_next_subnode(r->blob->fdt, *node);
	if (*node < 0)
		return false;
	reader_at(r, *node, ret);
	return true;
}

unsigned int state_reader_child_count(const struct state_reader *r)
{
	unsigned int count = 0;
	int node;

	fdt_for_each_subnode(node, r->blob->fdt, r->node) count++;
	return count;
}

static void reader_fail(struct state_reader *r, int code, const char *name, const char *why)
{
	if (r->code)
		return;
	r->code = code;
	error_set(&r->error, code, "state %s: %s: %s", r->path, name, why);
}

static const void *reader_prop(struct state_reader *r, const char *name, size_t *ret_size)
{
	const void *prop;
	int len;

	if (r->code)
		return NULL;
	prop = fdt_getprop(r->blob->fdt, r->node, name, &len);
	if (!prop || len < 0) {
		reader_fail(r, -EINVAL, name, "missing");
		return NULL;
	}
	r->taken++;
	*ret_size = (size_t)len;
	return prop;
}

static const void *reader_exact(struct state_reader *r, const char *name, size_t size)
{
	size_t len;
	const void *prop = reader_prop(r, name, &len);

	if (prop && len != size) {
		reader_fail(r, -EINVAL, name, "wrong length");
		return NULL;
	}
	return prop;
}

bool state_has(const struct state_reader *r, const char *name)
{
	return fdt_getprop(r->blob->fdt, r->node, name, NULL) != NULL;
}

uint32_t state_get_u32(struct state_reader *r, const char *name)
{
	const void *prop = reader_exact(r, name, sizeof(fdt32_t));

	return prop ? fdt32_ld(prop) : 0;
}

uint64_t state_get_u64(struct state_reader *r, const char *name)
{
	const void *prop = reader_exact(r, name, sizeof(fdt64_t));

	return prop ? fdt64_ld(prop) : 0;
}

uint32_t state_get_u32_max(struct state_reader *r, const char *name, uint32_t max)
{
	uint32_t value = state_get_u32(r, name);

	if (value > max) {
		reader_fail(r, -ERANGE, name, "out of range");
		return 0;
	}
	return value;
}

bool state_get_bool(struct state_reader *r, const char *name)
{
	return state_get_u32_max(r, name, 1) == 1;
}

void state_get_bytes(struct state_reader *r, const char *name, void *buf, size_t size)
{
	const void *prop = reader_exact(r, name, size);

	if (prop)
		memcpy(buf, prop, size);
	else
		memset(buf, 0, size);
}

const void *state_get_blob(struct state_reader *r, const char *name, size_t max, size_t *ret_size)
{
	size_t len = 0;
	const void *prop = reader_prop(r, name, &len);

	if (prop && len > max) {
		reader_fail(r, -ERANGE, name, "too long");
		prop = NULL;
	}
	*ret_size = prop ? len : 0;
	return prop;
}

const char *state_get_string(struct state_reader *r, const char *name, size_t max)
{
	size_t len;
	const char *text = state_get_blob(r, name, max, &len);

	if (!text)
		return "";
	if (len == 0 || strnlen(text, len) != len - 1) {
		reader_fail(r, -EINVAL, name, "not one terminated string");
		return "";
	}
	return text;
}

void state_get_u64s(struct state_reader *r, const char *name, uint64_t *values, size_t count)
{
	const char *prop = reader_exact(r, name, count * sizeof(fdt64_t));

	for (size_t i = 0; i < count; i++)
		values[i] =
			prop ? fdt64_ld((const fdt64_t *)(const void *)(prop + i * sizeof(fdt64_t)))
			     : 0;
}

void state_require(struct state_reader *r, bool ok, const char *fmt, ...)
{
	va_list ap;

	if (ok || r->code)
		return;
	r->code = -EINVAL;
	va_start(ap, fmt);
	error_vset(&r->error, -EINVAL, fmt, ap);
	va_end(ap);
	error_prefix(&r->error, "state %s: ", r->path);
}

static unsigned int count_properties(const struct state_reader *r)
{
	unsigned int count = 0;
	int prop;

	fdt_for_each_property_offset(prop, r->blob->fdt, r->node) count++;
	return count;
}

int state_reader_done(struct state_reader *r, struct error *err)
{
	if (!r->code && r->taken != count_properties(r)) {
		r->code = -EINVAL;
		error_set(&r->error, r->code,
			  "state %s: has %u properties where this version knows %u: written by a "
			  "newer "
			  "holdfast?",
			  r->path, count_properties(r), r->taken);
	}
	if (r->code && err)
		*err = r->error;
	return r->code;
}
