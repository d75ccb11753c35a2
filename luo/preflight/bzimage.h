/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel as kexec_file_load(2) takes it: bzImage, x86 boot protocol 2.12 or later (Linux
 * Documentation/arch/x86/boot.rst), its payload decompressed (inflate.h).
 */
#ifndef HOLDFAST_LUO_PREFLIGHT_BZIMAGE_H
#define HOLDFAST_LUO_PREFLIGHT_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct bzimage {
	char release[128];	 /* "7.3.4-holdfast (holdfast@...) #1 ..." up to the first space */
	const char *compression; /* "lz4", "xz", ...: a literal */
	uint32_t kernel_size;	 /* bytes of the protected-mode part */
	uint32_t init_size;	 /* bytes of memory that it needs at once */
	uint32_t kernel_alignment; /* bytes */
	uint64_t pref_address;
	uint32_t cmdline_size;	 /* the longest command line, without a terminator */
	uint32_t payload_offset; /* in the file */
	uint32_t payload_size;
	bool xlf_kernel_64, xlf_above_4g, xlf_5level;
	uint8_t *image; /* the decompressed kernel, owned */
	size_t image_size;
};

/*
 * Reads the header only. -ENOEXEC: no bzImage, or one that kexec_file_load refuses. -EINVAL:
 * truncated. data is not kept.
 */
int bzimage_parse(const uint8_t *data, size_t size, const char *path, struct bzimage *ret,
		  struct error *err);
/*
 * Decompresses the payload of the file that was parsed into image->image. -EOPNOTSUPP: an algorithm
 * that is not read (lzo). -EBADMSG: damaged, or shorter than it says.
 */
int bzimage_decompress(const uint8_t *data, const char *path, struct bzimage *image,
		       struct error *err);
void bzimage_done(struct bzimage *image);

#define _cleanup_bzimage_ __attribute__((cleanup(bzimage_done)))

#endif
