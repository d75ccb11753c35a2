/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DSDT: hot plug of the slots of bus 0. devices/pci/pci_hotplug.h has the registers. The event's
 * method tells the OS of each slot that something came (Device Check) or is wanted back (Eject
 * Request): ACPI 6.5, 5.6.6.
 */
#include <stdio.h>

#include "devices/pci/pci_hotplug.h"
#include "vmm/x86/acpi_table.h"
#include "vmm/x86/aml.h"
#include "vmm/x86/layout.h"

#define SLOTS 32U

static void slot_name(unsigned int slot, char name[5])
{
	snprintf(name, 5, "S%02X_", slot & 0xff);
}

static void put_registers(struct aml *aml)
{
	static const char *const fields[] = {"HPUP", "HPDN", "HPEJ"};

	aml_io_region(aml, "HPRG", PORT_PCI_HOTPLUG, PCI_HOTPLUG_IO_SIZE);
	aml_begin_field(aml, "HPRG");
	for (unsigned int i = 0; i < 3; i++)
		aml_field_dword(aml, fields[i]);
	aml_end(aml);
}

static void put_slot(struct aml *aml, unsigned int slot)
{
	char name[5];

	slot_name(slot, name);
	aml_begin_device(aml, name);
	aml_name_integer(aml, "_ADR", (uint64_t)slot << 16);
	aml_name_integer(aml, "_SUN", slot);
	aml_begin_method(aml, "_EJ0", 1);
	aml_op(aml, AML_STORE);
	aml_integer(aml, 1ULL << slot);
	aml_path(aml, "HPEJ");
	aml_end(aml);
	aml_end(aml);
}

void acpi_begin_notify(struct aml *aml, enum aml_opcode slots, unsigned int slot,
		       const char *device)
{
	aml_begin_if(aml);
	aml_op(aml, AML_AND);
	aml_op(aml, slots);
	aml_integer(aml, 1ULL << slot);
	aml_integer(aml, 0); /* no target */
	aml_op(aml, AML_NOTIFY);
	aml_path(aml, device);
}

/* HPNT(slots, event) */
static void put_notifier(struct aml *aml)
{
	char name[5];

	aml_begin_method(aml, "HPNT", 2);
	for (unsigned int slot = 1; slot < SLOTS; slot++) {
		slot_name(slot, name);
		acpi_begin_notify(aml, AML_ARG0, slot, name);
		aml_op(aml, AML_ARG1);
		aml_end(aml);
	}
	aml_end(aml);
}

void acpi_put_take(struct aml *aml, const char *slots)
{
	aml_op(aml, AML_STORE);
	aml_path(aml, slots);
	aml_op(aml, AML_LOCAL0);
	aml_op(aml, AML_STORE);
	aml_op(aml, AML_LOCAL0);
	aml_path(aml, slots);
}

/* Tells the OS of them. */
static void put_round(struct aml *aml, const char *slots, unsigned int event)
{
	acpi_put_take(aml, slots);
	aml_path(aml, "\\_SB.PCI0.HPNT");
	aml_op(aml, AML_LOCAL0);
	aml_integer(aml, event);
}

void acpi_put_hotplug_slots(struct aml *aml)
{
	put_registers(aml);
	for (unsigned int slot = 1; slot < SLOTS; slot++)
		put_slot(aml, slot);
	put_notifier(aml);
}

/* _E: the OS clears the event's status before it runs the method (5.6.4.1). */
void acpi_put_hotplug_event(struct aml *aml)
{
	char name[5];

	snprintf(name, sizeof(name), "_E%02X", ACPI_GPE_PCI_HOTPLUG & 0xff);
	aml_begin_scope(aml, "_GPE");
	aml_begin_method(aml, name, 0);
	put_round(aml, "\\_SB.PCI0.HPUP", ACPI_DEVICE_CHECK);
	put_round(aml, "\\_SB.PCI0.HPDN", ACPI_EJECT_REQUEST);
	aml_end(aml);
	aml_end(aml);
}
