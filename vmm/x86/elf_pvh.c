/* SPDX-License-Identifier: Apache-2.0 */
/* An uncompressed kernel by PVH: Xen docs/misc/pvh.pandoc, public/arch-x86/hvm/start_info.h. */
#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/x86/boot_image.h"
#include "vmm/x86/elf_notes.h"
#include "vmm/x86/layout.h"

#define PHDRS_MAX 64U	     /* vmlinux has five */
#define NOTES_MAX (64 * KIB) /* vmlinux has less than 1 KiB */

#define START_INFO_MAGIC   0x336ec578U /* "xEn3" with the 0x80 bit of the "E" set */
#define START_INFO_VERSION 1U

struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp;
	uint64_t memmap; /* from version 1 on */
	uint32_t memmap_entries, reserved;
};

struct start_info_module {
	uint64_t addr, size, cmdline, reserved;
};

struct start_info_memmap {
	uint64_t addr, size;
	uint32_t type, reserved;
};

/* What stands at PVH_INFO_ADDR. */
struct info_page {
	struct start_info info;
	struct start_info_module module;
	struct start_info_memmap memmap[MEMORY_MAP_MAX];
};

_Static_assert(sizeof(struct start_info) == 56, "hvm_start_info, version 1");
_Static_assert(sizeof(struct start_info_module) == 32, "hvm_modlist_entry");
_Static_assert(sizeof(struct start_info_memmap) == 24, "hvm_memmap_table_entry");
_Static_assert(PVH_INFO_ADDR + sizeof(struct info_page) <= ZERO_PAGE_ADDR, "one page");

struct elf_image {
	Elf64_Phdr phdrs[PHDRS_MAX];
	unsigned int count;
	uint64_t entry;
	uint64_t end; /* guest address after the last segment */
};

static int bad(const struct boot_job *job, struct error *err, const char *reason)
{
	return error_set(err, -ENOEXEC, "kernel %s: %s", job->kernel.path, reason);
}

static int read_headers(const struct boot_job *job, struct elf_image *image, struct error *err)
{
	Elf64_Ehdr ehdr;

	if (job->head_size < sizeof(ehdr))
		return bad(job, err, "cut short: the file ends inside its ELF header");
	memcpy(&ehdr, job->head, sizeof(ehdr));
	if (ehdr.e_ident[EI_CLASS] == ELFCLASS32)
		return bad(job, err, "a 32-bit ELF file; an x86-64 kernel is needed");
	if (ehdr.e_ident[EI_CLASS] != ELFCLASS64 || ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    ehdr.e_machine != EM_X86_64)
		return error_set(
			err, -ENOEXEC,
			"kernel %s: an ELF file for another architecture (machine %u), not "
			"for x86-64",
			job->kernel.path, ehdr.e_machine);
	if (ehdr.e_type != ET_EXEC && ehdr.e_type != ET_DYN)
		return bad(job, err, "an ELF file that is no program (an object or a core dump?)");
	if (ehdr.e_phentsize != sizeof(Elf64_Phdr) || ehdr.e_phnum == 0 || ehdr.e_phnum > PHDRS_MAX)
		return bad(job, err, "damaged: its ELF program headers make no sense");
	image->count = ehdr.e_phnum;
	return boot_file_read(&job->kernel, ehdr.e_phoff, image->phdrs,
			      image->count * sizeof(Elf64_Phdr), err);
}

/* All segments, before any is written: in the file, in low RAM above 1 MiB, not overlong together.
 */
static int check_segments(const struct boot_job *job, struct elf_image *image, struct error *err)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < image->count; i++) {
		const Elf64_Phdr *ph = &image->phdrs[i];

		if (ph->p_type != PT_LOAD || ph->p_memsz == 0)
			continue;
		if (ph->p_filesz > ph->p_memsz || ph->p_offset > job->kernel.size ||
		    ph->p_filesz > job->kernel.size - ph->p_offset)
			return bad(job, err, "cut short: a segment lies outside of the file");
		if (ph->p_paddr < KERNEL_ADDR || ph->p_paddr >= RAM_LOW_MAX ||
		    ph->p_memsz > RAM_LOW_MAX)
			return error_set(
				err, -ENOEXEC,
				"kernel %s: a segment wants to be at 0x%" PRIx64 " with 0x%" PRIx64
				" bytes, where no guest has memory for it",
				job->kernel.path, (uint64_t)ph->p_paddr, (uint64_t)ph->p_memsz);
		total += ph->p_memsz; /* no overflow: 64 times less than 2^32 */
		image->end = MAX_OF(image->end, ph->p_paddr + ph->p_memsz);
	}
	if (total == 0)
		return bad(job, err, "an ELF file with nothing to load");
	if (image->end > job->low_end)
		return boot_no_memory(job, image->end, false, err);
	/* Else overlapping segments could make us clear memory for hours. */
	if (total > image->end)
		return bad(job, err, "damaged: its segments overlap");
	return 0;
}

static int find_entry(const struct boot_job *job, struct elf_image *image, struct error *err)
{
	for (unsigned int i = 0; i < image->count; i++) {
		const Elf64_Phdr *ph = &image->phdrs[i];
		_cleanup_free_ uint8_t *notes = NULL;
		int r;

		if (ph->p_type != PT_NOTE || ph->p_filesz == 0)
			continue;
		if (ph->p_filesz > NOTES_MAX)
			return bad(job, err, "damaged: its ELF notes are too long");
		notes = malloc(ph->p_filesz);
		if (!notes)
			return error_set(err, -ENOMEM, "kernel %s: out of memory",
					 job->kernel.path);
		r = boot_file_read(&job->kernel, ph->p_offset, notes, ph->p_filesz, err);
		if (r < 0)
			return r;
		r = elf_notes_find_phys32_entry(notes, ph->p_filesz, ph->p_align, &image->entry);
		if (r == 0)
			return 0;
		if (r != -ENOENT)
			return bad(job, err, "damaged: its ELF notes make no sense");
	}
	return bad(
		job, err,
		"an ELF file without a PVH entry; build the kernel with CONFIG_PVH=y, or use its "
		"bzImage");
}

/* The entry must be code from the file. */
static int check_entry(const struct boot_job *job, const struct elf_image *image, struct error *err)
{
	for (unsigned int i = 0; i < image->count; i++) {
		const Elf64_Phdr *ph = &image->phdrs[i];

		if (ph->p_type == PT_LOAD && image->entry >= ph->p_paddr &&
		    image->entry - ph->p_paddr < ph->p_filesz)
			return 0;
	}
	return error_set(err, -ENOEXEC,
			 "kernel %s: damaged: its PVH entry 0x%" PRIx64
			 " is in none of its segments",
			 job->kernel.path, image->entry);
}

static int load_segments(const struct boot_job *job, const struct elf_image *image,
			 struct error *err)
{
	for (unsigned int i = 0; i < image->count; i++) {
		const Elf64_Phdr *ph = &image->phdrs[i];
		uint8_t *to;
		int r;

		if (ph->p_type != PT_LOAD || ph->p_memsz == 0)
			continue;
		to = guest_ram_ptr(job->ram, ph->p_paddr, ph->p_memsz);
		if (!to)
			return error_set(err, -EFAULT,
					 "kernel %s: a segment at 0x%" PRIx64
					 " is not in guest memory",
					 job->kernel.path, (uint64_t)ph->p_paddr);
		r = boot_file_read(&job->kernel, ph->p_offset, to, ph->p_filesz, err);
		if (r < 0)
			return r;
		/* After a reset the memory is not zero any more. */
		memset(to + ph->p_filesz, 0, ph->p_memsz - ph->p_filesz);
	}
	return 0;
}

static int put_start_info(const struct boot_job *job, const struct boot_initramfs *initramfs,
			  struct error *err)
{
	struct info_page page = {
		.info = {.magic = START_INFO_MAGIC,
			 .version = START_INFO_VERSION,
			 .cmdline = CMDLINE_ADDR,
			 .rsdp = job->rsdp,
			 .memmap = PVH_INFO_ADDR + offsetof(struct info_page, memmap)},
	};
	struct memory_map map;

	if (initramfs->size > 0) {
		page.info.nr_modules = 1;
		page.info.modlist = PVH_INFO_ADDR + offsetof(struct info_page, module);
		page.module.addr = initramfs->gpa;
		page.module.size = initramfs->size;
	}
	memory_map_build(job->ram, &map);
	page.info.memmap_entries = map.count;
	for (unsigned int i = 0; i < map.count; i++)
		page.memmap[i] = (struct start_info_memmap){.addr = map.entries[i].addr,
							    .size = map.entries[i].size,
							    .type = map.entries[i].type};
	if (guest_ram_write(job->ram, PVH_INFO_ADDR, &page, sizeof(page)) < 0)
		return error_set(err, -EFAULT, "guest memory does not reach the PVH start info");
	return 0;
}

int elf_pvh_load(const struct boot_job *job, struct boot_entry *ret, struct error *err)
{
	struct elf_image image = {0};
	struct boot_initramfs initramfs;
	int r;

	r = read_headers(job, &image, err);
	if (r == 0)
		r = check_segments(job, &image, err);
	if (r == 0)
		r = find_entry(job, &image, err);
	if (r == 0)
		r = check_entry(job, &image, err);
	/* An ELF kernel does not say how much it takes: what Linux does. */
	if (r == 0)
		r = boot_put_cmdline(job, VM_CMDLINE_MAX - 1, err);
	/* Linux's PVH entry keeps 32 bits of a module's address. */
	if (r == 0)
		r = boot_put_initramfs(job, image.end, RAM_LOW_MAX, false, &initramfs, err);
	if (r == 0)
		r = load_segments(job, &image, err);
	if (r == 0)
		r = put_start_info(job, &initramfs, err);
	if (r < 0)
		return r;
	*ret = (struct boot_entry){.rip = image.entry, .rbx = PVH_INFO_ADDR};
	return 0;
}
