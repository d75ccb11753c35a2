/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the running kernel will write. Asked in this order, and the answer says which it was: its
 * own rodata through /proc/kcore (the names that it would write, and nothing else can be more
 * exact); its image in /boot, if that is of the same release; the table of releases whose sources
 * were read. debugfs shows LUO's blob as it is: it overrides the others.
 */
#include <limits.h>
#include <string.h>

#include "base/util.h"
#include "luo/physmem/file.h"
#include "luo/preflight/preflight.h"

#define PART_MAX (256 * MIB)

/* Read from the sources (docs/abi.md). */
static const struct {
	const char *series;
	uint32_t kho, luo;
	const char *memfd;
} known[] = {
	{"7.2.", 4, 5, "memfd-v2"},
	{"7.3.", 4, 5, "memfd-v2"},
};

/* One part of its image, by its name in /proc/iomem. */
static bool search_part(const struct preflight *p, const struct physmem *mem, const char *name,
			struct kernel_abi *abi)
{
	_cleanup_free_ uint8_t *data = NULL;
	struct physmem_piece piece;
	char path[PATH_MAX];
	size_t count;

	snprintf(path, sizeof(path), "%s" PHYSMEM_IOMEM, p->root);
	if (physmem_read_iomem(path, name, &piece, 1, &count, NULL) < 0 ||
	    piece.range.size > PART_MAX)
		return false;
	data = malloc(piece.range.size);
	if (!data || physmem_read(mem, piece.range.start, data, piece.range.size, NULL) < 0)
		return false;
	kernel_find_abi(data, piece.range.size, abi);
	return true;
}

/*
 * Its data: names stand in literals, those of handlers in their structures. The rest of its image
 * has pages that were freed and hold anything by now.
 */
static bool from_kcore(struct preflight *p)
{
	_cleanup_physmem_ struct physmem *mem = NULL;
	struct kernel_abi abi = {0};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s" PHYSMEM_KCORE, p->root);
	if (physmem_open_kcore(path, &mem, NULL) < 0 ||
	    !search_part(p, mem, "Kernel rodata", &abi) ||
	    !search_part(p, mem, "Kernel data", &abi))
		return false;
	/* What is not in a kernel that could be read is not there. */
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
