/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a Linux kernel: a bzImage by the 64-bit boot protocol (Linux
 * Documentation/arch/x86/boot.rst, "64-bit Boot Protocol") or an uncompressed ELF by PVH (Xen
 * docs/misc/pvh.pandoc; note XEN_ELFNOTE_PHYS32_ENTRY). Writes guest memory only; registers are
 * given back as a description, so that nothing here knows KVM.
 */
#ifndef HOLDFAST_VMM_X86_BOOT_H
#define HOLDFAST_VMM_X86_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/guest_memory.h"

/*
 * The GDT that boot_load() leaves at GDT_ADDR for a 64-bit entry, flat segments: selectors as the
 * boot protocol wants them (__BOOT_CS, __BOOT_DS), and the table's limit.
 */
#define BOOT_CS	       0x10
#define BOOT_DS	       0x18
#define BOOT_GDT_LIMIT 31

/* How vCPU 0 must start. */
struct boot_entry {
	bool long_mode; /* true: 64-bit with paging as in layout.h; false: 32-bit flat, paging off
			   (PVH) */
	uint64_t rip;
	uint64_t rsi; /* zero page (long mode), else 0 */
	uint64_t rbx; /* hvm_start_info (PVH), else 0 */
};

/*
 * Loads kernel, initramfs ("" for none) and command line, builds zero page or start info with the
 * e820 map, GDT and page tables. The image is hostile until checked. Errors name the file: too
 * short, no kernel, wrong architecture, a 32-bit kernel, not enough memory (with how much would
 * do), initramfs that does not fit, command line longer than the kernel takes. rsdp: guest address
 * of the ACPI root pointer. May be called again after a reset, while no vCPU runs; after a failure
 * guest memory holds a part of the image and must not be run.
 *
 * -ENOEXEC: no kernel that can be loaded, or damaged; -ENOMEM: not enough guest memory; -E2BIG:
 * command line too long; else what open(2) or pread(2) said.
 */
int boot_load(const struct guest_ram *ram, const char *kernel, const char *initramfs,
	      const char *cmdline, uint64_t rsdp, struct boot_entry *ret, struct error *err);

#endif
