/* SPDX-License-Identifier: Apache-2.0 */
/* The state that a 64-bit kernel entry stands on: Intel SDM vol. 3A, 3.4.5 and 4.5. */
#include "vmm/x86/boot_image.h"
#include "vmm/x86/layout.h"

#define PTE_PRESENT (1ULL << 0)
#define PTE_WRITE   (1ULL << 1)
#define PTE_LARGE   (1ULL << 7) /* PS: a 2 MiB page */

#define ENTRIES_PER_TABLE 512U
#define PD_TABLES	  4U

/* Flat segments, accessed, so that the CPU never writes here: 64-bit code and data. */
#define GDT_CODE64 0x00af9b000000ffffULL
#define GDT_DATA   0x00cf93000000ffffULL

static int put(const struct guest_ram *ram, uint64_t gpa, const void *data, size_t size,
	       struct error *err)
{
	if (guest_ram_write(ram, gpa, data, size) < 0)
		return error_set(err, -EFAULT, "guest memory does not reach the boot tables");
	return 0;
}

int long_mode_setup(const struct guest_ram *ram, struct error *err)
{
	uint64_t table[ENTRIES_PER_TABLE] = {PDPT_ADDR | PTE_PRESENT | PTE_WRITE};
	const uint64_t gdt[] = {
		[BOOT_CS / 8] = GDT_CODE64,
		[BOOT_DS / 8] = GDT_DATA,
	};
	int r;

	_Static_assert(sizeof(gdt) - 1 == BOOT_GDT_LIMIT, "the limit is the last byte");
	r = put(ram, GDT_ADDR, gdt, sizeof(gdt), err);
	if (r == 0)
		r = put(ram, PML4_ADDR, table, sizeof(table), err);
	for (unsigned int i = 0; i < PD_TABLES; i++)
		table[i] = (PD_ADDR + i * PAGE_BYTES) | PTE_PRESENT | PTE_WRITE;
	if (r == 0)
		r = put(ram, PDPT_ADDR, table, sizeof(table), err);
	for (unsigned int i = 0; i < PD_TABLES && r == 0; i++) {
		for (unsigned int j = 0; j < ENTRIES_PER_TABLE; j++)
			table[j] = (i * GIB + j * 2 * MIB) | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
		r = put(ram, PD_ADDR + i * PAGE_BYTES, table, sizeof(table), err);
	}
	return r;
}
