/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86/boot_image.h"
#include "vmm/x86/layout.h"

static void add(struct memory_map *map, uint64_t addr, uint64_t end, uint32_t type)
{
	map->entries[map->count++] =
		(struct memory_map_entry){.addr = addr, .size = end - addr, .type = type};
}

/*
 * The ACPI tables are "reserved" and not "ACPI reclaimable": the FACS is among them, which an OS
 * must never take for itself (ACPI 6.5, 5.2.10). The ECAM must be reserved, else Linux does not
 * believe the MCFG table.
 */
void memory_map_build(const struct guest_ram *ram, struct memory_map *ret)
{
	const struct guest_memory_region *low = guest_ram_region(ram, 0), *last;

	last = guest_ram_region(ram, guest_ram_region_count(ram) - 1);
	ret->count = 0;
	add(ret, 0, EBDA_ADDR, MEMORY_MAP_RAM);
	add(ret, EBDA_ADDR, 0xa0000, MEMORY_MAP_RESERVED);
	add(ret, ACPI_TABLES_ADDR, ACPI_TABLES_END, MEMORY_MAP_RESERVED);
	add(ret, KERNEL_ADDR, low->size, MEMORY_MAP_RAM);
	add(ret, PCI_ECAM_ADDR, PCI_ECAM_ADDR + PCI_ECAM_SIZE, MEMORY_MAP_RESERVED);
	/* One page for the identity map and three for the TSS, both KVM's. */
	add(ret, KVM_IDENTITY_ADDR, KVM_TSS_ADDR + 3 * PAGE_BYTES, MEMORY_MAP_RESERVED);
	if (last != low)
		add(ret, RAM_HIGH_START, last->gpa + last->size, MEMORY_MAP_RAM);
}
