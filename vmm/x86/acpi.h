/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables (ACPI 6.5): RSDP, XSDT, FADT with fixed hardware (PM1, PM timer, reset register),
 * FACS, DSDT, MADT, MCFG, and SRAT where memory can be added. Built into a buffer by one function
 * with no side effect; tests give them to iasl.
 */
#ifndef HOLDFAST_VMM_X86_ACPI_H
#define HOLDFAST_VMM_X86_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/x86/layout.h"

/* What the tables promise of the devices. */
#define ACPI_SLP_TYP_S5	 5    /* SLP_TYP of \_S5: switches the machine off */
#define ACPI_RTC_CENTURY 0x32 /* CMOS register of the century */

/* The 64-bit window of the PCI host bridge, above all RAM, aligned to its size. Bytes. */
#define ACPI_PCI_MMIO64_SIZE (64ULL << 30)
uint64_t acpi_pci_mmio64_base(uint64_t memory_end);

/* The GSI of a PCI device's INTx pin (0: INTA), as _PRT has it. */
static inline unsigned int acpi_pci_intx_gsi(unsigned int device, unsigned int pin)
{
	return GSI_PCI_FIRST + (device + pin) % 4U;
}

struct acpi_params {
	uint32_t cpus;	     /* APIC id and _UID of each are its index */
	uint64_t memory_end; /* of RAM, also of what can come: the 64-bit PCI window starts above */
	bool pci;	     /* declare the PCI host bridge, its ECAM (MCFG) and windows */
	/* Memory that can be added, declared if it is any: memory devices, SRAT. The latter also
	 * says where RAM ends below 4 GiB and above it (0: there is none). */
	uint64_t grow_start, grow_end;
	uint64_t low_end, high_end;
};

/*
 * Writes all tables into buf, which will stand at guest address `addr` (a multiple of 64); the RSDP
 * is at its start. The same parameters give the same bytes. -ENOSPC: size is too small. -EINVAL: a
 * parameter out of range. On failure buf holds nothing of use.
 *
 * The MADT says that the ISA timer is on pin 2 of the IOAPIC: interrupt routing must put it there.
 */
int acpi_build(const struct acpi_params *params, uint64_t addr, void *buf, size_t size,
	       size_t *ret_used, struct error *err);

#endif
