/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/x86/boot.h"
#include "vmm/x86/boot_image.h"
#include "vmm/x86/layout.h"

#define HDRS_OFFSET 0x202U /* "HdrS" of the setup header */

/* What people hand over by mistake, told from its first bytes. */
static const struct {
	unsigned int offset, size;
	const char *magic, *what;
} mistakes[] = {
	{56, 4, "ARM\x64", "a kernel for arm64, not for x86-64"},
	{56, 4, "RSC\x05", "a kernel for RISC-V, not for x86-64"},
	{0, 2, "\x1f\x8b", "compressed with gzip; unpack it first (gunzip)"},
	{0, 6, "\xfd\x37zXZ", "compressed with xz; unpack it first (unxz)"},
	{0, 4, "\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first (unzstd)"},
	{0, 3, "BZh", "compressed with bzip2; unpack it first (bunzip2)"},
	{0, 6, "070701", "an initramfs (cpio archive), not a kernel"},
};

static int not_a_kernel(const struct boot_job *job, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++)
		if (mistakes[i].offset + mistakes[i].size <= job->head_size &&
		    memcmp(job->head + mistakes[i].offset, mistakes[i].magic, mistakes[i].size) ==
			    0)
			return error_set(err, -ENOEXEC, "kernel %s: %s", job->kernel.path,
					 mistakes[i].what);
	return error_set(
		err, -ENOEXEC,
		"kernel %s: not a Linux kernel: neither a bzImage (no \"HdrS\" at 0x%x) nor "
		"an ELF file",
		job->kernel.path, HDRS_OFFSET);
}

int boot_no_memory(const struct boot_job *job, uint64_t kernel_end, bool above_4g,
		   struct error *err)
{
	uint64_t kernel = ALIGN_UP(kernel_end, PAGE_BYTES);
	uint64_t need = kernel + ALIGN_UP(job->initramfs.size, PAGE_BYTES);

	if (need > RAM_LOW_MAX && above_4g && kernel <= RAM_LOW_MAX)
		need = RAM_LOW_MAX + ALIGN_UP(job->initramfs.size, PAGE_BYTES);
	else if (need > RAM_LOW_MAX)
		return error_set(
			err, -ENOMEM,
			"kernel %s: it takes %llu MiB below 4 GiB to load this kernel%s, and "
			"no guest has more than %llu MiB there",
			job->kernel.path, ALIGN_UP(need, 2 * MIB) / MIB,
			job->initramfs.size ? " and its initramfs" : "", RAM_LOW_MAX / MIB);
	return error_set(
		err, -ENOMEM,
		"kernel %s: not enough guest memory: it takes %llu MiB to load this kernel%s, "
		"the guest has %llu MiB; give it more (--memory %lluM)",
		job->kernel.path, ALIGN_UP(need, 2 * MIB) / MIB,
		job->initramfs.size ? " and its initramfs" : "", guest_ram_size(job->ram) / MIB,
		ALIGN_UP(need, 2 * MIB) / MIB);
}

int boot_put_cmdline(const struct boot_job *job, uint64_t max, struct error *err)
{
	size_t len = strlen(job->cmdline);

	max = MIN_OF(max, EBDA_ADDR - CMDLINE_ADDR - 1);
	if (len > max)
		return error_set(err, -E2BIG,
				 "kernel %s: takes a command line of at most %" PRIu64
				 " bytes, this one has %zu; shorten it",
				 job->kernel.path, max, len);
	if (guest_ram_write(job->ram, CMDLINE_ADDR, job->cmdline, len + 1) < 0)
		return error_set(err, -EFAULT, "guest memory does not reach the command line");
	return 0;
}

/* The highest page-aligned place for the initramfs inside [start, end), or 0. */
static uint64_t place_high(uint64_t size, uint64_t start, uint64_t end)
{
	uint64_t gpa;

	if (size > end)
		return 0;
	gpa = ALIGN_DOWN(end - size, PAGE_BYTES);
	return gpa >= start ? gpa : 0;
}

int boot_put_initramfs(const struct boot_job *job, uint64_t kernel_end, uint64_t limit,
		       bool above_4g, struct boot_initramfs *ret, struct error *err)
{
	const struct guest_memory_region *last =
		guest_ram_region(job->ram, guest_ram_region_count(job->ram) - 1);
	uint64_t size = job->initramfs.size, start = ALIGN_UP(kernel_end, PAGE_BYTES);
	uint64_t end = MIN_OF(limit, job->low_end), gpa;
	int r;

	*ret = (struct boot_initramfs){0};
	if (job->initramfs.fd < 0)
		return 0;
	gpa = place_high(size, start, end);
	if (gpa == 0 && above_4g && last->gpa >= RAM_HIGH_START)
		gpa = place_high(size, RAM_HIGH_START, last->gpa + last->size);
	if (gpa == 0 && end < job->low_end && size > limit - MIN_OF(limit, start))
		return error_set(
			err, -ENOMEM,
			"initramfs %s: its %llu MiB do not fit: kernel %s takes an initramfs "
			"only below 0x%" PRIx64 ", where %llu MiB are free",
			job->initramfs.path, size / MIB + 1, job->kernel.path, limit,
			(limit - MIN_OF(limit, start)) / MIB);
	if (gpa == 0)
		return boot_no_memory(job, kernel_end, above_4g, err);
	r = boot_file_load(&job->initramfs, 0, job->ram, gpa, size, err);
	if (r < 0)
		return r;
	*ret = (struct boot_initramfs){.gpa = gpa, .size = size};
	return 0;
}

static void boot_job_close(struct boot_job *job)
{
	boot_file_close(&job->kernel);
	boot_file_close(&job->initramfs);
}

int boot_load(const struct guest_ram *ram, const char *kernel, const char *initramfs,
	      const char *cmdline, uint64_t rsdp, struct boot_entry *ret, struct error *err)
{
	_cleanup_(boot_job_close) struct boot_job job = {
		.ram = ram,
		.kernel.fd = FD_NONE,
		.initramfs.fd = FD_NONE,
		.cmdline = cmdline,
		.rsdp = rsdp,
		.low_end = guest_ram_region(ram, 0)->size,
	};
	int r;

	r = boot_file_open("kernel", kernel, &job.kernel, err);
	if (r == 0 && initramfs[0] != '\0')
		r = boot_file_open("initramfs", initramfs, &job.initramfs, err);
	if (r < 0)
		return r;
	job.head_size = MIN_OF(job.kernel.size, sizeof(job.head));
	r = boot_file_read(&job.kernel, 0, job.head, job.head_size, err);
	if (r < 0)
		return r;

	if (job.head_size >= SELFMAG && memcmp(job.head, ELFMAG, SELFMAG) == 0)
		return elf_pvh_load(&job, ret, err);
	if (job.head_size >= HDRS_OFFSET + 4 && memcmp(job.head + HDRS_OFFSET, "HdrS", 4) == 0)
		return bzimage_load(&job, ret, err);
	return not_a_kernel(&job, err);
}
