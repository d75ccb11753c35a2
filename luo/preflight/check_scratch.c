/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel and initrd must fit into the memory that KHO keeps free. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "luo/preflight/preflight.h"
#include "luo/preflight/scratch.h"

/* Linux arch/x86/kernel/kexec-bzimage64.c: MIN_*. */
#define MIN_PURGATORY UINT64_C(0x3000)
#define MIN_BOOTPARAM UINT64_C(0x3000)
#define MIN_KERNEL    UINT64_C(0x100000)
#define MIN_INITRD    UINT64_C(0x1000000)
/* Generous: purgatory has some 20 KiB, the parameters a page, the command line and the EFI map. */
#define PURGATORY_SIZE	(64 * KIB)
#define PARAMETERS_SIZE (64 * KIB)

/* How an initrd begins, and the option that unpacks it (Linux lib/decompress.c). */
static const struct {
	const char *magic;
	size_t size;
	const char *option;
} initrd_formats[] = {
	{"070701", 6, NULL},
	{"070702", 6, NULL},
	{"\x1f\x8b", 2, "CONFIG_RD_GZIP"},
	{"\xfd\x37\x7a\x58\x5a\0", 6, "CONFIG_RD_XZ"},
	{"\x28\xb5\x2f\xfd", 4, "CONFIG_RD_ZSTD"},
	{"\x02\x21\x4c\x18", 4, "CONFIG_RD_LZ4"},
	{"BZh", 3, "CONFIG_RD_BZIP2"},
	{"\x5d\0\0", 3, "CONFIG_RD_LZMA"},
	{"\x89\x4c\x5a", 3, "CONFIG_RD_LZO"},
};

static void check_format(struct preflight *p, const char *object, const uint8_t *head, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(initrd_formats); i++) {
		const char *option = initrd_formats[i].option;

		if (size < initrd_formats[i].size ||
		    memcmp(head, initrd_formats[i].magic, initrd_formats[i].size) != 0)
			continue;
		if (option && kernel_config_tristate(p->next.config, option) == 'n')
			report_way_out(
				report_add(p->report, SEVERITY_ERROR, "initrd-compression", object,
					   "that kernel cannot unpack it: it is built without "
					   "%s",
					   option),
				"compress it in another way, or use a kernel with %s", option);
		return;
	}
	report_way_out(report_add(p->report, SEVERITY_WARNING, "initrd-format", object,
				  "it begins like no archive that the kernel unpacks"),
		       "make it again (update-initramfs, dracut)");
}

/* Its size; 0: none, or not readable (a finding). */
static uint64_t check_initrd(struct preflight *p)
{
	_cleanup_fd_ int fd = FD_NONE;
	uint8_t head[8];
	char object[160];
	struct stat st;
	ssize_t n;

	if (!p->request->initrd || !p->request->initrd[0])
		return 0;
	snprintf(object, sizeof(object), "initrd %.140s", p->request->initrd);
	fd = open(p->request->initrd, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
		report_way_out(report_add(p->report, SEVERITY_ERROR, "initrd-unreadable", object,
					  "%s",
					  fd < 0 ? strerror(errno) : "it is no file, or empty"),
			       "name a file that can be read");
		return 0;
	}
	n = pread(fd, head, sizeof(head), 0);
	check_format(p, object, head, n > 0 ? (size_t)n : 0);
	return (uint64_t)st.st_size;
}

static uint64_t largest_area(const struct inspect_sysfs *sysfs)
{
	uint64_t largest = 0;

	for (size_t i = 0; i < sysfs->scratch_count; i++)
		largest = MAX_OF(largest, sysfs->scratch[i].size);
	return largest;
}

static void place(struct preflight *p, uint64_t initrd_size)
{
	struct scratch_segment segments[] = {
		{.what = "the table of scratch areas",
		 .size = p->sysfs.scratch_count * sizeof(struct kho_scratch_ser),
		 .align = 64 * KIB},
		{.what = "the purgatory", .size = PURGATORY_SIZE, .min = MIN_PURGATORY},
		{.what = "its parameters", .size = PARAMETERS_SIZE, .min = MIN_BOOTPARAM},
		{.what = "the kernel",
		 .size = p->next.init_size,
		 .align = p->next.kernel_alignment,
		 .min = MAX_OF(p->next.pref_address, MIN_KERNEL)},
		{.what = "the initrd", .size = initrd_size, .min = MIN_INITRD},
	};
	size_t count = ARRAY_SIZE(segments) - (initrd_size == 0), placed;
	uint64_t wanted = ALIGN_UP(p->next.init_size + initrd_size + 16 * MIB, 16 * MIB) / MIB;
	char need[32], have[32], initrd[32];

	placed = scratch_place(p->sysfs.scratch, p->sysfs.scratch_count, segments, count);
	if (placed == count) {
		report_add(p->report, SEVERITY_INFO, "scratch-fit", p->object,
			   "kernel (%s) and initrd (%s) fit into the scratch areas",
			   inspect_size(p->next.init_size, need),
			   inspect_size(initrd_size, initrd));
		return;
	}
	report_way_out(
		report_add(p->report, SEVERITY_ERROR, "scratch-too-small", p->object,
			   "%s needs %s in one piece, and the %zu scratch areas of KHO have no "
			   "such room left (the largest has %s)",
			   segments[placed].what, inspect_size(segments[placed].size, need),
			   p->sysfs.scratch_count, inspect_size(largest_area(&p->sysfs), have)),
		"use a smaller initrd, or cold-boot this host once with a larger global area: "
		"kho_scratch=16M,%" PRIu64 "M,256M",
		wanted);
}

void check_scratch(struct preflight *p)
{
	uint64_t initrd_size = check_initrd(p);

	if (!p->next_header)
		return;
	if (p->sysfs.scratch_count == 0) {
		report_way_out(
			report_add(p->report, SEVERITY_WARNING, "scratch-unknown", "this host",
				   "the scratch areas of KHO are not shown: whether kernel and "
				   "initrd fit cannot be told"),
			"run as root with debugfs mounted: mount -t debugfs none "
			"/sys/kernel/debug");
		return;
	}
	place(p, initrd_size);
}
