/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compressions of Linux kernels, each by its own library. Not by one that reads all of them:
 * what it needs for archives is 40 MiB of libraries, which luod would carry into every initrd and
 * load before it resumes the first guest.
 */
#ifndef HOLDFAST_LUO_PREFLIGHT_INFLATE_H
#define HOLDFAST_LUO_PREFLIGHT_INFLATE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Decompresses at most max bytes of in to out; what is behind the end of the stream is not looked
 * at. Returns 0 and *ret_size, or -EBADMSG: the stream is damaged or does not fit (then *ret_size
 * is what came before that is known, if anything); -ENOMEM. Any thread.
 */
typedef int inflate_fn(const uint8_t *in, size_t size, uint8_t *out, size_t max, size_t *ret_size);

inflate_fn inflate_gzip;  /* RFC 1952, its checksum too */
inflate_fn inflate_xz;	  /* The .xz File Format, and the older LZMA_alone */
inflate_fn inflate_zstd;  /* RFC 8878 */
inflate_fn inflate_bzip2; /* one stream */
inflate_fn inflate_lz4;	  /* LZ4 Frame Format Description, "Legacy frame" */

#endif
