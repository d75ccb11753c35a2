/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two kinds of kernel image share: the files, where they go in guest memory, and the map
 * of it that the guest is told. For boot.c, bzimage.c and elf_pvh.c; nobody else includes this.
 */
#ifndef HOLDFAST_VMM_X86_BOOT_IMAGE_H
#define HOLDFAST_VMM_X86_BOOT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "vmm/guest_memory.h"
#include "vmm/x86/boot.h"

#define PAGE_BYTES 4096ULL

/* ---- Files (boot_file.c). ---- */

struct boot_file {
	const char *role; /* "kernel" or "initramfs": how messages begin */
	const char *path; /* borrowed */
	int fd;		  /* owned; FD_NONE: no such file was asked for */
	uint64_t size;
};

/* Only regular files that are not empty; never blocks on a FIFO. */
int boot_file_open(const char *role, const char *path, struct boot_file *ret, struct error *err);
void boot_file_close(struct boot_file *file);

/* Exactly len bytes at offset. -ENOEXEC: the file ends before. */
int boot_file_read(const struct boot_file *file, uint64_t offset, void *buf, uint64_t len,
		   struct error *err);
/* The same, straight into guest memory at gpa, which must be RAM (-EFAULT). */
int boot_file_load(const struct boot_file *file, uint64_t offset, const struct guest_ram *ram,
		   uint64_t gpa, uint64_t len, struct error *err);

/* ---- The job. ---- */

/* As much of the kernel file as tells what it is and holds the setup header whole. */
#define BOOT_HEAD_SIZE 4096U

struct boot_job {
	const struct guest_ram *ram;
	struct boot_file kernel;
	struct boot_file initramfs;
	const char *cmdline;
	uint64_t rsdp;
	uint64_t low_end; /* end of RAM below the hole */
	uint8_t head[BOOT_HEAD_SIZE];
	size_t head_size;
};

/* Each loads everything and fills *ret; the image is hostile. */
int bzimage_load(const struct boot_job *job, struct boot_entry *ret, struct error *err);
int elf_pvh_load(const struct boot_job *job, struct boot_entry *ret, struct error *err);

/*
 * Puts the command line at CMDLINE_ADDR. max: bytes the kernel takes without the terminator.
 * -E2BIG.
 */
int boot_put_cmdline(const struct boot_job *job, uint64_t max, struct error *err);

struct boot_initramfs {
	uint64_t gpa, size; /* 0, 0: none */
};

/*
 * Loads the initramfs as high as it may stand: below `limit` and the hole, above `kernel_end`; else
 * above 4 GiB if the kernel takes it there. -ENOMEM says what would do.
 */
int boot_put_initramfs(const struct boot_job *job, uint64_t kernel_end, uint64_t limit,
		       bool above_4g, struct boot_initramfs *ret, struct error *err);

/*
 * -ENOMEM with the memory that would do: the kernel ends at kernel_end, the initramfs follows it
 * or, if it may, stands above 4 GiB.
 */
int boot_no_memory(const struct boot_job *job, uint64_t kernel_end, bool above_4g,
		   struct error *err);

/* ---- The memory map (memory_map.c). ---- */

/* Numbers of the e820 map (ACPI 6.5, table 15.4) and of Xen's hvm_memmap_table_entry alike. */
#define MEMORY_MAP_RAM	    1U
#define MEMORY_MAP_RESERVED 2U
#define MEMORY_MAP_MAX	    8U

struct memory_map {
	unsigned int count;
	struct memory_map_entry {
		uint64_t addr, size;
		uint32_t type;
	} entries[MEMORY_MAP_MAX];
};

/* By address, without overlaps. */
void memory_map_build(const struct guest_ram *ram, struct memory_map *ret);

/* ---- Long mode (long_mode.c). ---- */

/* GDT and identity page tables where layout.h has them. */
int long_mode_setup(const struct guest_ram *ram, struct error *err);

#endif
