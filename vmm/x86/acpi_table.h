/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that build ACPI tables share. For acpi*.c only. */
#ifndef HOLDFAST_VMM_X86_ACPI_TABLE_H
#define HOLDFAST_VMM_X86_ACPI_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/x86/acpi.h"
#include "vmm/x86/aml.h"

#define _packed_ __attribute__((packed))

/* DESCRIPTION_HEADER: ACPI 6.5, 5.2.6. */
struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} _packed_;

#define ACPI_OEM_ID "HLDFST"

/* Signature, length, revision and our names; the rest of the table is to follow. */
void acpi_header_init(struct acpi_header *header, const char *signature, size_t length,
		      unsigned int revision);
/* The byte that makes the sum of all len bytes 0. */
uint8_t acpi_checksum(const void *data, size_t len);

/* Each writes a whole table, header and checksum included, and gives its length. -ENOSPC. */
int acpi_build_dsdt(const struct acpi_params *params, uint8_t *buf, size_t size, size_t *ret_used);
int acpi_build_fadt(uint32_t facs, uint32_t dsdt, uint8_t *buf, size_t size, size_t *ret_used);
int acpi_build_madt(const struct acpi_params *params, uint8_t *buf, size_t size, size_t *ret_used);
int acpi_build_srat(const struct acpi_params *params, uint8_t *buf, size_t size, size_t *ret_used);

/* What an OS is told of a device (5.6.6). */
#define ACPI_DEVICE_CHECK  1U
#define ACPI_EJECT_REQUEST 3U

/* acpi_hotplug.c: what belongs into the host bridge's scope, and the event's method. */
void acpi_put_hotplug_slots(struct aml *aml);
void acpi_put_hotplug_event(struct aml *aml);
/* In a method: reads a register of slots into Local0, and says that it has by writing it back. */
void acpi_put_take(struct aml *aml, const char *slots);
/* If that bit is set in slots, the OS is told of the device: what, is to follow, and aml_end(). */
void acpi_begin_notify(struct aml *aml, enum aml_opcode slots, unsigned int slot,
		       const char *device);

/* acpi_memory.c: what belongs into \_SB, and the event's method. */
void acpi_put_memory_devices(struct aml *aml);
void acpi_put_memory_event(struct aml *aml);

#endif
