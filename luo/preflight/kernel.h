/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel's image says about itself: its release, its configuration if it carries one
 * (CONFIG_IKCONFIG), and the ABI versions whose names are in it.
 */
#ifndef HOLDFAST_LUO_PREFLIGHT_KERNEL_H
#define HOLDFAST_LUO_PREFLIGHT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define KERNEL_HANDLERS_MAX 16U
/* An FLB of the handlers in iommu/kernel, which are off unless the command line has
 * HANDLERS_SWITCH. Those of others have no such name. */
#define HANDLERS_WITH_SWITCH "holdfast-iommu-v"
#define HANDLERS_SWITCH	     "liveupdate_devices=on"

/* A compatible string with its number cut off: "memfd-v" and 2. */
struct kernel_abi {
	uint32_t kho, luo; /* 0: not in the image */
	/* File handlers and FLBs that are built in: "memfd-v2", ... */
	char handlers[KERNEL_HANDLERS_MAX][48];
	size_t handler_count;
};

struct kernel {
	char release[128];
	struct kernel_abi abi;
	char *config; /* owned text; NULL: it carries none */
	/* Of a bzImage; zero for the running kernel. */
	uint64_t kernel_size, init_size, kernel_alignment, pref_address;
	uint32_t cmdline_size;
	bool five_level; /* can be entered with five-level page tables */
	const char *compression;
};

/*
 * From a bzImage. Errors as bzimage_parse() and bzimage_decompress(); -EOPNOTSUPP leaves what the
 * header tells. The caller calls kernel_done() in any case.
 */
int kernel_load(const char *path, struct kernel *ret, struct error *err);
void kernel_done(struct kernel *kernel);

#define _cleanup_kernel_ __attribute__((cleanup(kernel_done)))

/* Looks for ABI names in bytes (an image, or a piece of the running kernel); adds to *abi. */
void kernel_find_abi(const uint8_t *data, size_t size, struct kernel_abi *abi);
/* A handler by its name without the number ("memfd-v"); 0: not there. */
uint32_t kernel_handler_version(const struct kernel_abi *abi, const char *prefix);

/* 'y', 'm', or 'n' when the configuration does not have it on; '?' without a configuration. */
char kernel_config_tristate(const char *config, const char *option);
/* A string option without its quotes, in buf; false when it is not set. */
bool kernel_config_string(const char *config, const char *option, char *buf, size_t size);

/* Reads a file whole, at most max bytes. The caller frees *ret. */
int kernel_read_file(const char *path, size_t max, uint8_t **ret, size_t *ret_size,
		     struct error *err);

#endif
