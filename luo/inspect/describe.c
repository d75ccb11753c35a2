/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/inspect/describe.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/util.h"

#define STATE_SIZE_MAX (256 * MIB)
#define HEX_MAX	       32U /* bytes of a property that are shown in full */

static int read_all(int fd, const char *path, void **ret_data, size_t *ret_size, struct error *err)
{
	struct fdt_header header;
	size_t size, used = 0;
	uint8_t *data;

	if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
	    fdt_magic(&header) != FDT_MAGIC)
		return error_set(err, -EINVAL, "%s: not a state: it is no flattened device tree",
				 path);
	size = fdt_totalsize(&header);
	if (size > STATE_SIZE_MAX)
		return error_set(err, -EINVAL, "%s: not a state: %zu bytes", path, size);
	data = malloc(size);
	if (!data)
		return error_set(err, -ENOMEM, "%s: no memory for %zu bytes", path, size);
	while (used < size) {
		ssize_t n = pread(fd, data + used, size - used, (off_t)used);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	*ret_data = data;
	*ret_size = used;
	return 0;
}

int describe_load(const char *path, void **ret_data, struct state_blob *ret, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	int r;

	*ret_data = NULL;
	*ret = (struct state_blob){0};
	if (fd < 0)
		return error_sys(err, -errno, "%s: cannot open", path);
	r = read_all(fd, path, ret_data, &size, err);
	if (r < 0)
		return r;
	r = state_blob_open(*ret_data, size, ret, err);
	if (r == 0)
		return 0;
	error_prefix(err, "%s: ", path);
	if (r == -EBADMSG || r == -EPROTONOSUPPORT)
		*ret = (struct state_blob){.fdt = *ret_data, .size = size};
	return r;
}

static bool is_text(const char *data, int len)
{
	if (len < 2 || data[len - 1] != '\0' || strlen(data) + 1 != (size_t)len)
		return false;
	for (int i = 0; i < len - 1; i++)
		if (!isprint((unsigned char)data[i]))
			return false;
	return true;
}

static void to_hex(const uint8_t *data, int len, char *buf)
{
	for (int i = 0; i < len; i++)
		snprintf(buf + i * 2, 3, "%02x", data[i]);
}

static void print_property(const char *name, const void *data, int len, int depth, FILE *out)
{
	char hex[HEX_MAX * 2 + 1] = "";

	fprintf(out, "%*s%-20s ", depth * 2, "", name);
	if (is_text(data, len))
		fprintf(out, "\"%s\"\n", (const char *)data);
	else if (len == 4)
		fprintf(out, "%" PRIu32 " (0x%" PRIx32 ")\n", fdt32_ld(data), fdt32_ld(data));
	else if (len == 8)
		fprintf(out, "%" PRIu64 " (0x%" PRIx64 ")\n", fdt64_ld(data), fdt64_ld(data));
	else if (len == 0)
		fputs("(empty)\n", out);
	else {
		to_hex(data, (int)MIN_OF((unsigned int)len, HEX_MAX), hex);
		fprintf(out, "%d bytes: %s%s\n", len, hex,
			(unsigned int)len > HEX_MAX ? "..." : "");
	}
}

static void print_node(const void *fdt, int node, int depth, FILE *out)
{
	int prop, child;

	if (depth > STATE_DEPTH_MAX)
		return;
	fdt_for_each_property_offset(prop, fdt, node)
	{
		const char *name;
		int len;
		const void *data = fdt_getprop_by_offset(fdt, prop, &name, &len);

		if (data)
			print_property(name, data, len, depth, out);
	}
	fdt_for_each_subnode(child, fdt, node)
	{
		const char *name = fdt_get_name(fdt, child, NULL);

		fprintf(out, "%s%*s%s\n", depth == 0 ? "\n" : "", depth * 2, "", name ? name : "?");
		print_node(fdt, child, depth + 1, out);
	}
}

void describe_print(const struct state_blob *blob, FILE *out)
{
	fprintf(out, "state of %zu bytes\n", blob->size);
	print_node(blob->fdt, 0, 0, out);
}

/* Integers up to 32 bits are numbers, larger ones hexadecimal strings: no reader loses bits. */
static json_t *property_json(const void *data, int len)
{
	char hex[HEX_MAX * 2 + 1] = "", number[32];

	if (is_text(data, len))
		return json_string(data);
	if (len == 4)
		return json_integer(fdt32_ld(data));
	if (len == 8) {
		snprintf(number, sizeof(number), "0x%" PRIx64, fdt64_ld(data));
		return json_string(number);
	}
	to_hex(data, (int)MIN_OF((unsigned int)len, HEX_MAX), hex);
	return json_pack("{s:i,s:s,s:I}", "size", len, "begin", hex, "crc32",
			 (json_int_t)crc32_z(0, data, (size_t)len));
}

static json_t *node_json(const void *fdt, int node, int depth)
{
	json_t *properties = json_object(), *children = json_array();
	const char *name = fdt_get_name(fdt, node, NULL);
	int prop, child;

	fdt_for_each_property_offset(prop, fdt, node)
	{
		const char *key;
		int len;
		const void *data = fdt_getprop_by_offset(fdt, prop, &key, &len);

		if (data)
			json_object_set_new(properties, key, property_json(data, len));
	}
	fdt_for_each_subnode(child, fdt, node)
	{
		if (depth <= STATE_DEPTH_MAX)
			json_array_append_new(children, node_json(fdt, child, depth + 1));
	}
	return json_pack("{s:s,s:o,s:o}", "name", name ? name : "?", "properties", properties,
			 "children", children);
}

static json_t *root_string(const void *fdt, const char *name)
{
	int len;
	const char *text = fdt_getprop(fdt, 0, name, &len);

	return json_string(text && is_text(text, len) ? text : "");
}

json_t *describe_to_json(const struct state_blob *blob)
{
	json_t *objects = json_array();
	int node;

	fdt_for_each_subnode(node, blob->fdt, 0)
	{
		json_array_append_new(objects, node_json(blob->fdt, node, 1));
	}
	return json_pack("{s:o,s:o,s:I,s:o}", "compatible", root_string(blob->fdt, "compatible"),
			 "writer", root_string(blob->fdt, "writer"), "size", (json_int_t)blob->size,
			 "objects", objects);
}
