/* SPDX-License-Identifier: Apache-2.0 */
/* DSDT: what the guest cannot find out by asking the hardware. */
#include <errno.h>
#include <stdio.h>

#include "base/util.h"
#include "vmm/x86/acpi_table.h"
#include "vmm/x86/aml.h"
#include "vmm/x86/layout.h"

#define DSDT_REVISION 2 /* 64-bit integers: ACPI 6.5, 5.2.11.1 */
#define PCI_DEVICES   32U
#define PCI_PINS      4U

/* PCI Firmware Specification 3.3, 4.5.1: _OSC of a host bridge. */
static const uint8_t osc_uuid[16] = {0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
				     0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};
#define OSC_BAD_UUID	 0x04
#define OSC_BAD_REVISION 0x08
#define OSC_MASKED	 0x10
/* The PCIe capability structure; hot plug stays with ACPI, AER and PME with nobody. */
#define OSC_GRANTED 0x10

static void put_hid(struct aml *aml, const char *eisa_id)
{
	aml_name(aml, "_HID");
	aml_eisa_id(aml, eisa_id);
}

/* SLP_TYPa and SLP_TYPb (7.4.2); the fixed power button needs no object. */
static void put_s5(struct aml *aml)
{
	aml_name(aml, "_S5");
	aml_begin_package(aml, 4);
	aml_integer(aml, ACPI_SLP_TYP_S5);
	aml_integer(aml, ACPI_SLP_TYP_S5);
	aml_integer(aml, 0);
	aml_integer(aml, 0);
	aml_end(aml);
}

/* One object for each _UID of the MADT. */
static void put_cpus(struct aml *aml, uint32_t cpus)
{
	for (uint32_t i = 0; i < cpus; i++) {
		char name[12];

		snprintf(name, sizeof(name), "C%03X", i);
		aml_begin_device(aml, name);
		aml_name(aml, "_HID");
		aml_string(aml, "ACPI0007");
		aml_name_integer(aml, "_UID", i);
		aml_end(aml);
	}
}

static void put_isa_device(struct aml *aml, const char *name, const char *eisa_id, uint16_t port,
			   uint8_t ports, unsigned int irq)
{
	struct aml_resources res = {.used = 0};

	aml_begin_device(aml, name);
	put_hid(aml, eisa_id);
	aml_name_integer(aml, "_UID", 0);
	aml_res_io(&res, port, ports);
	aml_res_irq(&res, irq);
	aml_crs(aml, &res);
	aml_end(aml);
}

/* Every device's INTx pins over four GSIs, level and active low as PCI has them (6.2.13). */
static void put_prt(struct aml *aml)
{
	aml_name(aml, "_PRT");
	aml_begin_package(aml, PCI_DEVICES * PCI_PINS);
	for (unsigned int dev = 0; dev < PCI_DEVICES; dev++)
		for (unsigned int pin = 0; pin < PCI_PINS; pin++) {
			aml_begin_package(aml, 4);
			aml_integer(aml, (uint64_t)dev << 16 | 0xffff);
			aml_integer(aml, pin);
			aml_integer(aml, 0);
			aml_integer(aml, acpi_pci_intx_gsi(dev, pin));
			aml_end(aml);
		}
	aml_end(aml);
}

static void put_dword_field(struct aml *aml, unsigned int offset, const char *name)
{
	aml_op(aml, AML_CREATE_DWORD_FIELD);
	aml_op(aml, AML_ARG3);
	aml_integer(aml, offset);
	aml_path(aml, name);
}

/* name = name | bits */
static void put_set_bits(struct aml *aml, const char *name, uint64_t bits)
{
	aml_op(aml, AML_OR);
	aml_path(aml, name);
	aml_integer(aml, bits);
	aml_path(aml, name);
}

static void put_osc_answer(struct aml *aml)
{
	put_dword_field(aml, 8, "CDW3");
	aml_op(aml, AML_AND); /* Local0 = CDW3 & OSC_GRANTED */
	aml_path(aml, "CDW3");
	aml_integer(aml, OSC_GRANTED);
	aml_op(aml, AML_LOCAL0);

	aml_begin_if(aml);
	aml_op(aml, AML_LNOT);
	aml_op(aml, AML_LEQUAL);
	aml_op(aml, AML_ARG1);
	aml_integer(aml, 1);
	put_set_bits(aml, "CDW1", OSC_BAD_REVISION);
	aml_end(aml);

	aml_begin_if(aml);
	aml_op(aml, AML_LNOT);
	aml_op(aml, AML_LEQUAL);
	aml_path(aml, "CDW3");
	aml_op(aml, AML_LOCAL0);
	put_set_bits(aml, "CDW1", OSC_MASKED);
	aml_end(aml);

	aml_op(aml, AML_STORE);
	aml_op(aml, AML_LOCAL0);
	aml_path(aml, "CDW3");
}

static void put_osc(struct aml *aml)
{
	aml_begin_method(aml, "_OSC", 4);
	put_dword_field(aml, 0, "CDW1");
	aml_begin_if(aml);
	aml_op(aml, AML_LEQUAL);
	aml_op(aml, AML_ARG0);
	aml_buffer(aml, osc_uuid, sizeof(osc_uuid));
	put_osc_answer(aml);
	aml_end(aml);
	aml_begin_else(aml);
	put_set_bits(aml, "CDW1", OSC_BAD_UUID);
	aml_end(aml);
	aml_op(aml, AML_RETURN);
	aml_op(aml, AML_ARG3);
	aml_end(aml);
}

static void put_pci_host(struct aml *aml, uint64_t memory_end)
{
	uint64_t base64 = acpi_pci_mmio64_base(memory_end);
	struct aml_resources res = {.used = 0};

	aml_begin_device(aml, "PCI0");
	put_hid(aml, "PNP0A08");
	aml_name(aml, "_CID");
	aml_eisa_id(aml, "PNP0A03");
	aml_name_integer(aml, "_UID", 0);
	aml_name_integer(aml, "_SEG", 0);
	aml_name_integer(aml, "_BBN", 0);
	aml_res_window16(&res, AML_RANGE_BUS, 0, PCI_LAST_BUS);
	aml_res_io(&res, 0xcf8, 8); /* the bridge's own configuration ports */
	aml_res_window16(&res, AML_RANGE_IO, 0, 0xcf7);
	aml_res_window16(&res, AML_RANGE_IO, 0xd00, 0xffff);
	aml_res_window32(&res, AML_RANGE_MEMORY, MMIO32_ADDR, MMIO32_END - 1);
	aml_res_window64(&res, AML_RANGE_MEMORY, base64, base64 + ACPI_PCI_MMIO64_SIZE - 1);
	aml_crs(aml, &res);
	put_prt(aml);
	put_osc(aml);
	acpi_put_hotplug_slots(aml);
	aml_end(aml);
}

/* Linux believes the MCFG only if the ECAM is reserved here (or in the memory map). */
static void put_ecam_reservation(struct aml *aml)
{
	struct aml_resources res = {.used = 0};

	aml_begin_device(aml, "ECAM");
	put_hid(aml, "PNP0C02");
	aml_name_integer(aml, "_UID", 0);
	aml_res_memory32(&res, PCI_ECAM_ADDR, PCI_ECAM_SIZE);
	aml_crs(aml, &res);
	aml_end(aml);
}

int acpi_build_dsdt(const struct acpi_params *params, uint8_t *buf, size_t size, size_t *ret_used)
{
	struct acpi_header *header = (struct acpi_header *)buf;
	struct aml aml;
	size_t body = 0;
	int r;

	if (size < sizeof(*header))
		return -ENOSPC;
	aml_init(&aml, buf + sizeof(*header), size - sizeof(*header));
	put_s5(&aml);
	aml_begin_scope(&aml, "_SB");
	put_cpus(&aml, params->cpus);
	put_isa_device(&aml, "COM1", "PNP0501", PORT_UART0, 8, GSI_UART0);
	put_isa_device(&aml, "RTC", "PNP0B00", PORT_RTC, 2, GSI_RTC);
	if (params->pci) {
		put_pci_host(&aml, params->memory_end);
		put_ecam_reservation(&aml);
	}
	if (params->grow_end > params->grow_start)
		acpi_put_memory_devices(&aml);
	aml_end(&aml);
	if (params->pci)
		acpi_put_hotplug_event(&aml);
	if (params->grow_end > params->grow_start)
		acpi_put_memory_event(&aml);
	r = aml_finish(&aml, &body);
	if (r < 0)
		return r;
	acpi_header_init(header, "DSDT", sizeof(*header) + body, DSDT_REVISION);
	header->checksum = acpi_checksum(buf, sizeof(*header) + body);
	*ret_used = sizeof(*header) + body;
	return 0;
}
