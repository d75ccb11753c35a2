/* SPDX-License-Identifier: Apache-2.0 */
/* A bzImage made up for tests: a true header, and a payload of what the test wants to be in it. */
#ifndef HOLDFAST_TESTS_ABI_FAKE_KERNEL_H
#define HOLDFAST_TESTS_ABI_FAKE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_kernel {
	const char *release; /* NULL: "7.3.4-fake" */
	const char
		*compression; /* "gzip", "xz", "zstd", "bzip2", "lzma", "lz4", "lzo"; NULL: gzip */
	unsigned int padding; /* bytes behind what is packed with lz4, as if it had got smaller */
	/* Names in the image; NULL: the default; "": none. */
	const char *kho, *luo, *memfd;
	const char *const *handlers; /* more of them, up to a NULL; NULL: none */
	const char *config;	     /* text of CONFIG_IKCONFIG; NULL: none */
	uint32_t init_size;	     /* 0: 16 MiB */
	uint16_t protocol;	     /* 0: 2.15 */
	bool small;		     /* an image of 8 KiB, for seeds */
	uint16_t xloadflags;	     /* 0: 64-bit, above 4 GiB, five-level */
};

/* Owned by the caller; ends the program when it cannot be made. */
uint8_t *fake_kernel_make(const struct fake_kernel *kernel, size_t *ret_size);

#endif
