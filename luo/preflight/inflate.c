/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/preflight/inflate.h"

#include <bzlib.h>
#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/le.h"
#include "base/util.h"

/* What the types of all these libraries can hold; a kernel is smaller. */
#define FITS_UINT(size) ((size) <= INT_MAX)

/* The dictionary of a kernel has at most 128 MiB (scripts/xz_wrap.sh). */
#define XZ_MEMORY_MAX (1 * GIB)

/* zlib.h, inflateInit2(): a gzip header is expected. */
#define GZIP_WINDOW_BITS (15 + 16)

int inflate_gzip(const uint8_t *in, size_t size, uint8_t *out, size_t max, size_t *ret_size)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in,
		      .avail_in = (uInt)size,
		      .next_out = out,
		      .avail_out = (uInt)max};
	int r;

	if (!FITS_UINT(size) || !FITS_UINT(max))
		return -EBADMSG;
	if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	r = inflate(&z, Z_FINISH);
	*ret_size = z.total_out;
	inflateEnd(&z);
	return r == Z_STREAM_END ? 0 : -EBADMSG;
}

int inflate_xz(const uint8_t *in, size_t size, uint8_t *out, size_t max, size_t *ret_size)
{
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_ret r;

	if (lzma_auto_decoder(&z, XZ_MEMORY_MAX, 0) != LZMA_OK)
		return -ENOMEM;
	z.next_in = in;
	z.avail_in = size;
	z.next_out = out;
	z.avail_out = max;
	do
		r = lzma_code(&z, LZMA_FINISH);
	while (r == LZMA_OK);
	*ret_size = max - z.avail_out;
	lzma_end(&z);
	return r == LZMA_STREAM_END ? 0 : -EBADMSG;
}

int inflate_zstd(const uint8_t *in, size_t size, uint8_t *out, size_t max, size_t *ret_size)
{
	size_t frame = ZSTD_findFrameCompressedSize(in, size), n;

	if (ZSTD_isError(frame))
		return -EBADMSG;
	n = ZSTD_decompress(out, max, in, frame);
	if (ZSTD_isError(n))
		return -EBADMSG;
	*ret_size = n;
	return 0;
}

int inflate_bzip2(const uint8_t *in, size_t size, uint8_t *out, size_t max, size_t *ret_size)
{
	unsigned int used = (unsigned int)max;

	if (!FITS_UINT(size) || !FITS_UINT(max))
		return -EBADMSG;
	if (BZ2_bzBuffToBuffDecompress((char *)out, &used, (char *)(uintptr_t)in,
				       (unsigned int)size, 0, 0) != BZ_OK)
		return -EBADMSG;
	*ret_size = used;
	return 0;
}

/* Magic, then blocks: the size of each, and its bytes. A block of no bytes ends them, and padding
 * follows (Linux lib/decompress_unlz4.c goes by the size of the image, too). */
int inflate_lz4(const uint8_t *in, size_t size, uint8_t *out, size_t max, size_t *ret_size)
{
	size_t at = sizeof(uint32_t);

	while (at + sizeof(uint32_t) <= size) {
		size_t block = le_get32(in, at);
		int n;

		at += sizeof(uint32_t);
		if (block == 0)
			return 0;
		if (block > size - at || !FITS_UINT(block) || !FITS_UINT(max - *ret_size))
			return -EBADMSG;
		n = LZ4_decompress_safe((const char *)in + at, (char *)out + *ret_size, (int)block,
					(int)(max - *ret_size));
		if (n < 0)
			return -EBADMSG;
		*ret_size += (size_t)n;
		at += block;
	}
	return size - at < sizeof(uint32_t) ? 0 : -EBADMSG;
}
