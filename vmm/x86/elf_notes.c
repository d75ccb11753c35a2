/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <string.h>

#include "base/util.h"
#include "vmm/x86/elf_notes.h"

#define XEN_NAME		 "Xen" /* with its terminator: namesz 4 */
#define XEN_ELFNOTE_PHYS32_ENTRY 18U   /* Xen public/elfnote.h */

/*
 * Moves *pos over a field of len bytes and the padding behind it, which aligns the position and not
 * the length; false where the field does not fit.
 */
static bool skip(uint64_t *pos, uint64_t size, uint64_t len, uint64_t align)
{
	if (len > size - *pos)
		return false;
	/* The last note may do without its padding. */
	*pos = MIN_OF(ALIGN_UP(*pos + len, align), size);
	return true;
}

/* The note has 4 bytes, or 8 where the kernel's build wrote a pointer. */
static int read_entry(const uint8_t *desc, uint64_t len, uint64_t *ret)
{
	uint64_t wide = 0;

	if (len != 4 && len != 8)
		return -EINVAL;
	memcpy(&wide, desc, len); /* little-endian, as this machine is */
	if (wide > UINT32_MAX)
		return -EINVAL;
	*ret = wide;
	return 0;
}

int elf_notes_find_phys32_entry(const uint8_t *notes, uint64_t size, uint64_t align, uint64_t *ret)
{
	uint64_t pos = 0, name, desc;

	align = align == 8 ? 8 : 4;
	while (size - pos >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr nhdr;

		memcpy(&nhdr, notes + pos, sizeof(nhdr));
		name = pos += sizeof(nhdr);
		if (!skip(&pos, size, nhdr.n_namesz, align))
			return -EINVAL;
		desc = pos;
		if (!skip(&pos, size, nhdr.n_descsz, align))
			return -EINVAL;
		if (nhdr.n_type == XEN_ELFNOTE_PHYS32_ENTRY && nhdr.n_namesz == sizeof(XEN_NAME) &&
		    memcmp(notes + name, XEN_NAME, sizeof(XEN_NAME)) == 0)
			return read_entry(notes + desc, nhdr.n_descsz, ret);
	}
	return -ENOENT;
}
