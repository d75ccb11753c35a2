/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding a hand-over in memory that nobody points into: the KHO root is a page that begins with a
 * device tree of compatible "kho-v<n>", and on x86 the next kernel is told of it by a setup_data of
 * type SETUP_KEXEC_KHO (Linux uapi asm/setup_data.h), which the loaded image carries.
 */
#ifndef HOLDFAST_LUO_ABI_SCAN_H
#define HOLDFAST_LUO_ABI_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "luo/physmem/physmem.h"

struct abi_root_place {
	uint64_t fdt_pa;
	/* A setup_data that names this root was found: its scratch areas' table. */
	bool handed_over;
	uint64_t scratch_pa;
	uint64_t scratch_size;
};

/* More roots than any series of kexecs leaves behind; later ones are not kept. */
#define ABI_ROOTS_MAX 64U

struct abi_scan {
	struct abi_root_place roots[ABI_ROOTS_MAX];
	size_t root_count;
	uint64_t scanned;    /* bytes */
	uint64_t unreadable; /* bytes of these that could not be read, and were taken for zero */
	bool complete;	     /* false: the limit, or `stop`, ended it */
};

/* Return true to end the scan: this root is the one. */
typedef bool abi_scan_fn(void *opaque, const struct abi_root_place *place);

/*
 * Reads the memory from its start, at most `limit` bytes. stop may be NULL. Single pages that
 * cannot be read (-EFAULT) are counted; any other failure to read ends the scan with its error, and
 * what was found before stays.
 */
int abi_scan(const struct physmem *mem, uint64_t limit, abi_scan_fn *stop, void *opaque,
	     struct abi_scan *ret, struct error *err);

#endif
