/* SPDX-License-Identifier: Apache-2.0 */
/* The notes of an ELF file (System V gABI, "Note Section"): hostile bytes, walked with bounds. */
#ifndef HOLDFAST_VMM_X86_ELF_NOTES_H
#define HOLDFAST_VMM_X86_ELF_NOTES_H

#include <stdint.h>

/*
 * Finds XEN_ELFNOTE_PHYS32_ENTRY in one PT_NOTE segment (size bytes, p_align as its header says).
 * 0: *ret is the entry, a guest physical address. -ENOENT: it is not there. -EINVAL: the notes are
 * malformed.
 */
int elf_notes_find_phys32_entry(const uint8_t *notes, uint64_t size, uint64_t align, uint64_t *ret);

#endif
