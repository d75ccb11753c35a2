/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of a bzImage: the compressed kernel, and behind it its size in four bytes. */
#include <inttypes.h>
#include <string.h>

#include "base/le.h"
#include "base/util.h"
#include "luo/preflight/bzimage.h"
#include "luo/preflight/inflate.h"

/* No kernel is this large; a payload that says so is damaged, or made to hurt. */
#define IMAGE_MAX (512 * MIB)

static const struct algorithm {
	const char *name;
	const char *magic;
	size_t size;
	inflate_fn *inflate; /* NULL: not read */
} algorithms[] = {
	{"gzip", "\x1f\x8b", 2, inflate_gzip},
	{"xz", "\xfd\x37\x7a\x58\x5a\0", 6, inflate_xz},
	{"lz4", "\x02\x21\x4c\x18", 4, inflate_lz4}, /* the legacy frame */
	{"zstd", "\x28\xb5\x2f\xfd", 4, inflate_zstd},
	{"bzip2", "BZh", 3, inflate_bzip2},
	{"lzma", "\x5d\0\0", 3, inflate_xz},
	{"lzo", "\x89\x4c\x5a\x4f", 4, NULL},
};

static int find_algorithm(const uint8_t *payload, const char *path, const struct algorithm **ret,
			  struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
		if (memcmp(payload, algorithms[i].magic, algorithms[i].size) != 0)
			continue;
		if (!algorithms[i].inflate)
			return error_set(
				err, -EOPNOTSUPP,
				"%s: compressed with %s, which cannot be looked into: use a "
				"kernel with gzip, xz, lz4, zstd, bzip2 or lzma",
				path, algorithms[i].name);
		*ret = &algorithms[i];
		return 0;
	}
	return error_set(err, -EBADMSG,
			 "%s: damaged: its payload begins like no compression the kernel uses",
			 path);
}

static int inflate_payload(const struct algorithm *algorithm, const uint8_t *payload, size_t size,
			   size_t expected, const char *path, struct bzimage *image,
			   struct error *err)
{
	int r;

	image->image = malloc(expected);
	r = image->image
		    ? algorithm->inflate(payload, size, image->image, expected, &image->image_size)
		    : -ENOMEM;
	if (r == -ENOMEM)
		return error_set(err, r, "%s: no memory for %zu bytes", path, expected);
	if (image->image_size < expected)
		return error_set(err, -EBADMSG,
				 "%s: damaged: its payload gives %zu of %zu bytes: copy it again",
				 path, image->image_size, expected);
	if (r < 0)
		return error_set(err, r,
				 "%s: damaged: its payload does not match its checksum, or does "
				 "not end where it should: copy it again",
				 path);
	return 0;
}

int bzimage_decompress(const uint8_t *data, const char *path, struct bzimage *image,
		       struct error *err)
{
	const uint8_t *payload = data + image->payload_offset;
	size_t payload_size = image->payload_size;
	const struct algorithm *algorithm;
	uint32_t expected;
	int r = find_algorithm(payload, path, &algorithm, err);

	if (r < 0)
		return r;
	image->compression = algorithm->name;
	/* gzip's own trailer ends with the size; to the others the kernel's build appends it. */
	expected = le_get32(payload, payload_size - sizeof(expected));
	if (expected > IMAGE_MAX || expected < KIB)
		return error_set(err, -EBADMSG,
				 "%s: damaged: its payload says that it holds %u bytes", path,
				 expected);
	if (algorithm->inflate != inflate_gzip)
		payload_size -= sizeof(expected);
	return inflate_payload(algorithm, payload, payload_size, expected, path, image, err);
}
