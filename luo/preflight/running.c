/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the running kernel will write. Asked in this order, and the answer says which it was: its
 * own rodata through /proc/kcore (the names that it would write, and nothing else can be more
 * exact); its image in /boot, if that is of the same release; the table of releases whose sources
 * were read. debugfs shows LUO's blob as it is: it overrides the others.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"
#include "luo/physmem/file.h"
#include "luo/physmem/segments.h"
#include "luo/preflight/preflight.h"

#define KERNEL_IMAGE_VADDR UINT64_C(0xffffffff80000000)
#define CHUNK		   (4 * MIB)
#define NAME_MAX_LEN	   64U /* longest name; chunks overlap by it */
#define IMAGE_SPAN_MAX	   (1 * GIB)

/* Read from the sources (docs/abi.md). */
static const struct {
	const char *series;
	uint32_t kho, luo;
	const char *memfd;
} known[] = {
	{"7.2.", 4, 5, "memfd-v2"},
	{"7.3.", 4, 5, "memfd-v2"},
};

static int search_segment(int fd, const struct elf_segment *s, struct kernel_abi *abi)
{
	_cleanup_free_ uint8_t *chunk = malloc(CHUNK);
	uint64_t at = 0;

	if (!chunk)
		return -ENOMEM;
	while (at < s->size) {
		size_t size = (size_t)MIN_OF(s->size - at, CHUNK);
		int r = physmem_pread(fd, chunk, size, s->offset + at);

		if (r < 0)
			return r;
		kernel_find_abi(chunk, size, abi);
		if (size < CHUNK)
			break;
		at += size - NAME_MAX_LEN;
	}
	return 0;
}

static bool from_kcore(struct preflight *p)
{
	_cleanup_free_ struct elf_segment *segments = NULL;
	_cleanup_fd_ int fd = FD_NONE;
	struct kernel_abi abi = {0};
	char path[PATH_MAX];
	bool complete = false;
	size_t count;

	snprintf(path, sizeof(path), "%s" PHYSMEM_KCORE, p->root);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || elf_read_segments(fd, path, &segments, &count, NULL) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (segments[i].vaddr >= KERNEL_IMAGE_VADDR && segments[i].paddr != UINT64_MAX &&
		    segments[i].size <= IMAGE_SPAN_MAX)
			complete = search_segment(fd, &segments[i], &abi) == 0;
	/* What is not in a kernel that could be read is not there. */
	if (!complete)
		return false;
	p->running = abi;
	snprintf(p->running_source, sizeof(p->running_source),
		 "the names in its own memory (" PHYSMEM_KCORE ")");
	return true;
}

static bool from_image(struct preflight *p)
{
	_cleanup_kernel_ struct kernel kernel = {0};
	char path[PATH_MAX];

	if (p->request->running_kernel)
		snprintf(path, sizeof(path), "%s", p->request->running_kernel);
	else
		snprintf(path, sizeof(path), "%s/boot/vmlinuz-%s", p->root, p->release);
	if (kernel_load(path, &kernel, NULL) < 0 || strcmp(kernel.release, p->release) != 0)
		return false;
	p->running = kernel.abi;
	snprintf(p->running_source, sizeof(p->running_source), "its image %.140s", path);
	return true;
}

static bool from_table(struct preflight *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strncmp(p->release, known[i].series, strlen(known[i].series)) != 0)
			continue;
		p->running = (struct kernel_abi){.kho = known[i].kho, .luo = known[i].luo};
		snprintf(p->running.handlers[0], sizeof(p->running.handlers[0]), "%s",
			 known[i].memfd);
		p->running.handler_count = 1;
		snprintf(p->running_source, sizeof(p->running_source), "the sources of Linux %sx",
			 known[i].series);
		return true;
	}
	return false;
}

void preflight_running(struct preflight *p)
{
	if (!from_kcore(p) && !from_image(p))
		from_table(p);
	if (p->sysfs.out_luo_version)
		p->running.luo = p->sysfs.out_luo_version;
}
