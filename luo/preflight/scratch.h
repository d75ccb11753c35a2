/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where kexec_file_load(2) would put the next kernel's pieces: with KHO on, only into the scratch
 * areas, each piece in one of them (Linux kernel/kexec_file.c, arch/x86/kernel/kexec-bzimage64.c).
 */
#ifndef HOLDFAST_LUO_PREFLIGHT_SCRATCH_H
#define HOLDFAST_LUO_PREFLIGHT_SCRATCH_H

#include "luo/abi/layout.h"

struct scratch_segment {
	const char *what;
	uint64_t size;	/* bytes */
	uint64_t align; /* bytes, a power of two; at least a page */
	uint64_t min;	/* lowest address */
	uint64_t pa;	/* out: where it goes */
};

/*
 * Places the segments in order, each as high as possible in the first area that takes it. Returns
 * the number of segments that found a place: less than count means that segments[that] did not.
 */
size_t scratch_place(const struct kho_scratch_ser *areas, size_t area_count,
		     struct scratch_segment *segments, size_t count);

#endif
