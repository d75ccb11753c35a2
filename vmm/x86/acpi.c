/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/util.h"
#include "vmm/x86/acpi_table.h"
#include "vmm/x86/layout.h"

#define TABLE_ALIGN  16U
#define FACS_ALIGN   64U /* ACPI 6.5, 5.2.10 */
#define FACS_VERSION 2
#define XSDT_MAX     4U	  /* FADT, MADT, SRAT, MCFG */
#define CPUS_MAX     255U /* 8-bit APIC ids, 0xff means all */
#define MEMORY_MAX   (1ULL << 46)

/* ACPI 6.5, 5.2.5.3. */
struct rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} _packed_;

#define RSDP_V1_LENGTH 20U
#define RSDP_REVISION  2

struct facs {
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version, reserved[31];
} _packed_;

_Static_assert(sizeof(struct facs) == 64, "ACPI 6.5, table 5.14");

/* PCI Firmware Specification 3.3, 4.1.2. */
struct mcfg {
	struct acpi_header header;
	uint64_t reserved0;
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved1;
} _packed_;

/* The tables grow from the start of buf; each call of a table's builder takes what is left. */
struct builder {
	const struct acpi_params *params;
	uint8_t *buf;
	size_t size, used;
	uint64_t addr;
	uint64_t xsdt[XSDT_MAX];
	unsigned int xsdt_count;
};

void acpi_header_init(struct acpi_header *header, const char *signature, size_t length,
		      unsigned int revision)
{
	*header = (struct acpi_header){
		.length = (uint32_t)length,
		.revision = (uint8_t)revision,
		.oem_revision = 1,
		.creator_revision = 1,
	};
	memcpy(header->signature, signature, sizeof(header->signature));
	memcpy(header->oem_id, ACPI_OEM_ID, sizeof(header->oem_id));
	memcpy(header->oem_table_id, "HOLDFAST", sizeof(header->oem_table_id));
	memcpy(header->creator_id, "HLDF", sizeof(header->creator_id));
}

uint8_t acpi_checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (len-- > 0)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

uint64_t acpi_pci_mmio64_base(uint64_t memory_end)
{
	return ALIGN_UP(MAX_OF(memory_end, 4 * GIB), ACPI_PCI_MMIO64_SIZE);
}

/* Moves to the next multiple of align, which must leave something. NULL: it does not. */
static uint8_t *next(struct builder *b, size_t align)
{
	size_t at = ALIGN_UP(b->used, align);

	if (at >= b->size)
		return NULL;
	memset(b->buf + b->used, 0, at - b->used);
	b->used = at;
	return b->buf + at;
}

static int put(struct builder *b, const void *table, size_t len, size_t align, uint64_t *ret_addr)
{
	uint8_t *to = next(b, align);

	if (!to || len > b->size - b->used)
		return -ENOSPC;
	memcpy(to, table, len);
	*ret_addr = b->addr + b->used;
	b->used += len;
	return 0;
}

static int put_facs(struct builder *b, uint64_t *ret_addr)
{
	struct facs facs = {.signature = "FACS", .length = sizeof(facs), .version = FACS_VERSION};

	return put(b, &facs, sizeof(facs), FACS_ALIGN, ret_addr);
}

static int put_mcfg(struct builder *b)
{
	struct mcfg mcfg = {.base = PCI_ECAM_ADDR, .last_bus = PCI_LAST_BUS};

	acpi_header_init(&mcfg.header, "MCFG", sizeof(mcfg), 1);
	mcfg.header.checksum = acpi_checksum(&mcfg, sizeof(mcfg));
	return put(b, &mcfg, sizeof(mcfg), TABLE_ALIGN, &b->xsdt[b->xsdt_count++]);
}

static int put_dsdt(struct builder *b, uint64_t *ret_addr)
{
	uint8_t *to = next(b, TABLE_ALIGN);
	size_t len = 0;
	int r = to ? acpi_build_dsdt(b->params, to, b->size - b->used, &len) : -ENOSPC;

	*ret_addr = b->addr + b->used;
	b->used += len;
	return r;
}

static int put_fadt(struct builder *b, uint64_t facs, uint64_t dsdt)
{
	uint8_t *to = next(b, TABLE_ALIGN);
	size_t len = 0;
	int r = -ENOSPC;

	if (to)
		r = acpi_build_fadt((uint32_t)facs, (uint32_t)dsdt, to, b->size - b->used, &len);
	b->xsdt[b->xsdt_count++] = b->addr + b->used;
	b->used += len;
	return r;
}

/* A table that no other one names. */
static int put_table(struct builder *b,
		     int (*build_table)(const struct acpi_params *params, uint8_t *buf, size_t size,
					size_t *ret_used))
{
	uint8_t *to = next(b, TABLE_ALIGN);
	size_t len = 0;
	int r = to ? build_table(b->params, to, b->size - b->used, &len) : -ENOSPC;

	b->xsdt[b->xsdt_count++] = b->addr + b->used;
	b->used += len;
	return r;
}

static int put_xsdt(struct builder *b, uint64_t *ret_addr)
{
	struct {
		struct acpi_header header;
		uint64_t tables[XSDT_MAX];
	} _packed_ xsdt = {0};
	size_t len = sizeof(xsdt.header) + b->xsdt_count * sizeof(xsdt.tables[0]);

	acpi_header_init(&xsdt.header, "XSDT", len, 1);
	memcpy(xsdt.tables, b->xsdt, b->xsdt_count * sizeof(xsdt.tables[0]));
	xsdt.header.checksum = acpi_checksum(&xsdt, len);
	return put(b, &xsdt, len, TABLE_ALIGN, ret_addr);
}

static void fill_rsdp(uint8_t *to, uint64_t xsdt)
{
	struct rsdp rsdp = {.revision = RSDP_REVISION, .length = sizeof(rsdp), .xsdt = xsdt};

	memcpy(rsdp.signature, "RSD PTR ", sizeof(rsdp.signature));
	memcpy(rsdp.oem_id, ACPI_OEM_ID, sizeof(rsdp.oem_id));
	rsdp.checksum = acpi_checksum(&rsdp, RSDP_V1_LENGTH);
	rsdp.extended_checksum = acpi_checksum(&rsdp, sizeof(rsdp));
	memcpy(to, &rsdp, sizeof(rsdp));
}

static int build(struct builder *b)
{
	uint64_t facs = 0, dsdt = 0, xsdt = 0;
	int r = 0;

	if (b->size < sizeof(struct rsdp))
		return -ENOSPC;
	memset(b->buf, 0, sizeof(struct rsdp));
	b->used = sizeof(struct rsdp);
	r = put_facs(b, &facs);
	if (r == 0)
		r = put_dsdt(b, &dsdt);
	if (r == 0)
		r = put_fadt(b, facs, dsdt);
	if (r == 0)
		r = put_table(b, acpi_build_madt);
	if (r == 0 && b->params->grow_end > b->params->grow_start)
		r = put_table(b, acpi_build_srat);
	if (r == 0 && b->params->pci)
		r = put_mcfg(b);
	if (r == 0)
		r = put_xsdt(b, &xsdt);
	if (r == 0)
		fill_rsdp(b->buf, xsdt);
	return r;
}

int acpi_build(const struct acpi_params *params, uint64_t addr, void *buf, size_t size,
	       size_t *ret_used, struct error *err)
{
	struct builder b = {.params = params, .buf = buf, .size = size, .addr = addr};
	int r;

	if (params->cpus == 0 || params->cpus > CPUS_MAX || params->memory_end > MEMORY_MAX ||
	    addr % FACS_ALIGN != 0 || addr > UINT32_MAX || size > UINT32_MAX - addr)
		return error_set(err, -EINVAL,
				 "ACPI tables at 0x%" PRIx64 " for %" PRIu32
				 " CPUs and memory up to 0x%" PRIx64 ": out of range",
				 addr, params->cpus, params->memory_end);
	r = build(&b);
	if (r < 0)
		return error_set(err, r, "ACPI tables for %" PRIu32 " CPUs do not fit in %zu bytes",
				 params->cpus, size);
	*ret_used = b.used;
	return 0;
}
