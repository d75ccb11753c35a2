/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DSDT: memory that is added while the OS runs, a memory device (ACPI 6.5, 9.11) for each slot of
 * devices/memory_hotplug.h. The event's method tells the OS of each slot that has got memory
 * (Device Check: 5.6.6).
 */
#include <stdio.h>

#include "base/util.h"
#include "devices/memory_hotplug.h"
#include "vmm/x86/acpi_table.h"
#include "vmm/x86/aml.h"
#include "vmm/x86/layout.h"

#define STA_ENABLED 0x0fU /* present, enabled, shown, working: 6.3.7 */
/* Of a QWord address space descriptor: 6.4.3.5.1. */
#define QWORD_FIRST  14U
#define QWORD_LAST   22U
#define QWORD_LENGTH 38U

/* A number: the two halves of the controller's register, and where in the descriptor it belongs. */
static const struct number {
	const char *low, *high, *field;
	unsigned int offset;
} numbers[] = {
	{"RFLO", "RFHI", "CFST", QWORD_FIRST},
	{"RLLO", "RLHI", "CLST", QWORD_LAST},
	{"RSLO", "RSHI", "CLEN", QWORD_LENGTH},
};

static void device_name(unsigned int slot, char name[5])
{
	snprintf(name, 5, "MM%02X", slot & 0xff);
}

static void put_registers(struct aml *aml, unsigned int slot)
{
	aml_io_region(aml, "MREG",
		      (uint16_t)(PORT_MEMORY_HOTPLUG + slot * MEMORY_HOTPLUG_SLOT_SIZE),
		      MEMORY_HOTPLUG_SLOT_SIZE);
	aml_begin_field(aml, "MREG");
	for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++) {
		aml_field_dword(aml, numbers[i].low);
		aml_field_dword(aml, numbers[i].high);
	}
	aml_end(aml);
}

/* The descriptor is made once, of any range, and filled in by the method. */
static void put_descriptor(struct aml *aml)
{
	struct aml_resources res = {.used = 0};

	aml_res_memory64(&res, 0, 0xfff);
	aml_name_resources(aml, "RBUF", &res);
	for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++) {
		aml_op(aml, AML_CREATE_QWORD_FIELD);
		aml_path(aml, "RBUF");
		aml_integer(aml, numbers[i].offset);
		aml_path(aml, numbers[i].field);
	}
	aml_begin_method(aml, "_CRS", 0);
	/* field = high << 32 | low */
	for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++) {
		aml_op(aml, AML_OR);
		aml_op(aml, AML_SHIFT_LEFT);
		aml_path(aml, numbers[i].high);
		aml_integer(aml, 32);
		aml_integer(aml, 0); /* no target */
		aml_path(aml, numbers[i].low);
		aml_path(aml, numbers[i].field);
	}
	aml_op(aml, AML_RETURN);
	aml_path(aml, "RBUF");
	aml_end(aml);
}

static void put_status(struct aml *aml)
{
	aml_begin_method(aml, "_STA", 0);
	aml_begin_if(aml);
	aml_op(aml, AML_LOR);
	aml_path(aml, "RSLO");
	aml_path(aml, "RSHI");
	aml_op(aml, AML_RETURN);
	aml_integer(aml, STA_ENABLED);
	aml_end(aml);
	aml_op(aml, AML_RETURN);
	aml_integer(aml, 0);
	aml_end(aml);
}

static void put_device(struct aml *aml, unsigned int slot)
{
	char name[5];

	device_name(slot, name);
	aml_begin_device(aml, name);
	aml_name(aml, "_HID");
	aml_eisa_id(aml, "PNP0C80");
	aml_name_integer(aml, "_UID", slot);
	put_registers(aml, slot);
	put_descriptor(aml);
	put_status(aml);
	aml_end(aml);
}

void acpi_put_memory_devices(struct aml *aml)
{
	aml_io_region(aml, "MADR", PORT_MEMORY_HOTPLUG + MEMORY_HOTPLUG_ADDED, 4);
	aml_begin_field(aml, "MADR");
	aml_field_dword(aml, "MADD");
	aml_end(aml);
	for (unsigned int slot = 0; slot < MEMORY_HOTPLUG_SLOTS; slot++)
		put_device(aml, slot);
}

/* Which slots, which are told now, and the OS is; see acpi_put_hotplug_event(). */
void acpi_put_memory_event(struct aml *aml)
{
	char name[5], path[16];

	snprintf(name, sizeof(name), "_E%02X", ACPI_GPE_MEMORY_HOTPLUG & 0xff);
	aml_begin_scope(aml, "_GPE");
	aml_begin_method(aml, name, 0);
	acpi_put_take(aml, "\\_SB.MADD");
	for (unsigned int slot = 0; slot < MEMORY_HOTPLUG_SLOTS; slot++) {
		device_name(slot, name);
		snprintf(path, sizeof(path), "\\_SB.%s", name);
		acpi_begin_notify(aml, AML_LOCAL0, slot, path);
		aml_integer(aml, ACPI_DEVICE_CHECK);
		aml_end(aml);
	}
	aml_end(aml);
	aml_end(aml);
}
