/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "base/util.h"
#include "luo/physmem/file.h"
#include "luo/physmem/segments.h"

/* x86-64 maps the kernel's image above this address (Linux Documentation/arch/x86/x86_64/mm.rst);
 * that segment shows RAM a second time. */
#define KERNEL_IMAGE_VADDR UINT64_C(0xffffffff80000000)
/* What /proc/kcore writes where a segment is no RAM (vmalloc, vmemmap). */
#define NO_PADDR UINT64_MAX

/*
 * The kernel fills in p_paddr itself, so a randomised direct map needs no care here. Kernels before
 * 4.13 write 0 for every segment: they have no KHO either.
 */
static bool is_direct_map(const struct elf_segment *s)
{
	return s->paddr != NO_PADDR && s->vaddr < KERNEL_IMAGE_VADDR;
}

int physmem_open_kcore(const char *path, struct physmem **ret, struct error *err)
{
	_cleanup_free_ struct elf_segment *segments = NULL;
	_cleanup_free_ struct physmem_piece *pieces = NULL;
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t count, used = 0;
	int r;

	if (fd < 0)
		return error_sys(err, -errno,
				 "%s: cannot open (needs root and CONFIG_PROC_KCORE, and is closed "
				 "by lockdown)",
				 path);
	r = elf_read_segments(fd, path, &segments, &count, err);
	if (r < 0)
		return r;
	pieces = calloc(MAX_OF(count, 1U), sizeof(*pieces));
	if (!pieces)
		return error_set(err, -ENOMEM, "%s: out of memory", path);
	for (size_t i = 0; i < count; i++) {
		if (!is_direct_map(&segments[i]))
			continue;
		pieces[used].range.start = segments[i].paddr;
		pieces[used].range.size = segments[i].size;
		pieces[used++].offset = segments[i].offset;
	}
	if (used == 0)
		return error_set(err, -ENODATA, "%s: shows no segment of the direct map", path);
	return physmem_new_file(steal_fd(&fd), path, pieces, used, ret, err);
}
