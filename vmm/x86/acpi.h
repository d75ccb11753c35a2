/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables (ACPI 6.5): RSDP, XSDT, FADT with fixed hardware (PM1, PM timer, reset register),
 * FACS, DSDT, MADT, MCFG. Built into a buffer by one function with no side effect; tests give them
 * to iasl.
 */
#ifndef HOLDFAST_VMM_X86_ACPI_H
#define HOLDFAST_VMM_X86_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct acpi_params {
	uint32_t cpus;
	uint64_t memory_end; /* end of the highest RAM region: the 64-bit PCI window starts above */
};

/*
 * Writes all tables into buf, which will stand at guest address `addr`; the RSDP is at its start.
 * -ENOSPC: size is too small.
 */
int acpi_build(const struct acpi_params *params, uint64_t addr, void *buf, size_t size,
	       size_t *ret_used, struct error *err);

#endif
