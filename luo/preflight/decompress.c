/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of a bzImage: the compressed kernel, and behind it its size in four bytes. */
#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "base/util.h"
#include "luo/preflight/bzimage.h"

/* No kernel is this large; a payload that says so is damaged, or made to hurt. */
#define IMAGE_MAX (512 * MIB)

static const struct {
	const char *name;
	const char *magic;
	size_t size;
	bool readable;
} algorithms[] = {
	{"gzip", "\x1f\x8b", 2, true},
	{"xz", "\xfd\x37\x7a\x58\x5a\0", 6, true},
	{"lz4", "\x02\x21\x4c\x18", 4, true}, /* the legacy frame */
	{"zstd", "\x28\xb5\x2f\xfd", 4, true},
	{"bzip2", "BZh", 3, true},
	{"lzma", "\x5d\0\0", 3, true},
	{"lzo", "\x89\x4c\x5a\x4f", 4, false}, /* libarchive would start an external program */
};

static int find_algorithm(const uint8_t *payload, const char *path, const char **ret,
			  struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
		if (memcmp(payload, algorithms[i].magic, algorithms[i].size) != 0)
			continue;
		if (!algorithms[i].readable)
			return error_set(
				err, -EOPNOTSUPP,
				"%s: compressed with %s, which cannot be looked into: use a "
				"kernel with gzip, xz, lz4, zstd, bzip2 or lzma",
				path, algorithms[i].name);
		*ret = algorithms[i].name;
		return 0;
	}
	return error_set(err, -EBADMSG,
			 "%s: damaged: its payload begins like no compression the kernel uses",
			 path);
}

/* What libarchive gives, at most max bytes. Its complaint about the end is *complaint, if any. */
static int read_stream(struct archive *a, uint8_t *out, size_t max, size_t *ret_size,
		       const char **complaint)
{
	struct archive_entry *entry;

	*ret_size = 0;
	if (archive_read_next_header(a, &entry) != ARCHIVE_OK) {
		*complaint = archive_error_string(a);
		return -EBADMSG;
	}
	while (*ret_size < max) {
		la_ssize_t n = archive_read_data(a, out + *ret_size, max - *ret_size);

		if (n < 0) {
			*complaint = archive_error_string(a);
			return -EBADMSG;
		}
		if (n == 0)
			break;
		*ret_size += (size_t)n;
	}
	return 0;
}

static struct archive *open_stream(const uint8_t *payload, size_t size)
{
	struct archive *a = archive_read_new();

	if (!a)
		return NULL;
	/* Each by name: filter_all would also bring in external programs. */
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_format_raw(a);
	if (archive_read_open_memory(a, payload, size) != ARCHIVE_OK) {
		archive_read_free(a);
		return NULL;
	}
	return a;
}

/* libarchive does not look at the checksum that ends a gzip stream (RFC 1952, 2.3.1). */
static int check_gzip(const uint8_t *payload, size_t size, const char *path,
		      const struct bzimage *image, struct error *err)
{
	const uint8_t *crc = payload + size - 8;
	uint32_t expected =
		crc[0] | (uint32_t)crc[1] << 8 | (uint32_t)crc[2] << 16 | (uint32_t)crc[3] << 24;

	if (crc32_z(0, image->image, image->image_size) != expected)
		return error_set(
			err, -EBADMSG,
			"%s: damaged: its payload does not match its checksum: copy it again",
			path);
	return 0;
}

static int inflate_payload(const uint8_t *payload, size_t size, size_t expected, const char *path,
			   struct bzimage *image, struct error *err)
{
	const char *complaint = NULL;
	struct archive *a = open_stream(payload, size);
	size_t got = 0;

	image->image = malloc(expected);
	if (!a || !image->image) {
		archive_read_free(a);
		return error_set(err, -ENOMEM, "%s: no memory for %zu bytes", path, expected);
	}
	read_stream(a, image->image, expected, &got, &complaint);
	image->image_size = got;
	if (got < expected)
		error_set(err, -EBADMSG,
			  "%s: damaged: its payload gives %zu of %zu bytes%s%s: copy it again",
			  path, got, expected, complaint ? ": " : "", complaint ? complaint : "");
	archive_read_free(a);
	return got < expected ? -EBADMSG : 0;
}

int bzimage_decompress(const uint8_t *data, const char *path, struct bzimage *image,
		       struct error *err)
{
	const uint8_t *payload = data + image->payload_offset, *tail;
	size_t payload_size = image->payload_size;
	uint32_t expected;
	int r = find_algorithm(payload, path, &image->compression, err);

	if (r < 0)
		return r;
	/* gzip's own trailer ends with the size; to the others the kernel's build appends it. */
	tail = payload + payload_size - sizeof(expected);
	expected = tail[0] | (uint32_t)tail[1] << 8 | (uint32_t)tail[2] << 16 |
		   (uint32_t)tail[3] << 24;
	if (expected > IMAGE_MAX || expected < KIB)
		return error_set(err, -EBADMSG,
				 "%s: damaged: its payload says that it holds %u bytes", path,
				 expected);
	if (strcmp(image->compression, "gzip") != 0)
		payload_size -= sizeof(expected);
	r = inflate_payload(payload, payload_size, expected, path, image, err);
	if (r == 0 && strcmp(image->compression, "gzip") == 0)
		r = check_gzip(payload, payload_size, path, image, err);
	return r;
}
