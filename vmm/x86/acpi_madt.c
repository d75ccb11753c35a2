/* SPDX-License-Identifier: Apache-2.0 */
/* MADT: ACPI 6.5, 5.2.12. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "vmm/x86/acpi_table.h"
#include "vmm/x86/layout.h"

struct madt {
	struct acpi_header header;
	uint32_t lapic_addr, flags;
} _packed_;

struct madt_lapic {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} _packed_;

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t addr, gsi_base;
} _packed_;

struct madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} _packed_;

struct madt_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
} _packed_;

#define MADT_REVISION  5
#define PCAT_COMPAT    (1U << 0) /* there are two 8259s too */
#define TYPE_LAPIC     0
#define TYPE_IOAPIC    1
#define TYPE_OVERRIDE  2
#define TYPE_LAPIC_NMI 4
#define LAPIC_ENABLED  (1U << 0)
#define ALL_CPUS       0xff
/* MPS INTI flags: table 5.26. */
#define INTI_ACTIVE_HIGH 0x01
#define INTI_LEVEL	 0x0c
#define ISA_TIMER	 0
#define TIMER_GSI	 2 /* where a PC's timer is on the IOAPIC */

struct cursor {
	uint8_t *buf;
	size_t size, used;
	bool full;
};

static void put(struct cursor *c, const void *data, size_t len)
{
	if (c->full || len > c->size - c->used) {
		c->full = true;
		return;
	}
	memcpy(c->buf + c->used, data, len);
	c->used += len;
}

static void put_override(struct cursor *c, uint8_t source, uint32_t gsi, uint16_t flags)
{
	struct madt_override entry = {.type = TYPE_OVERRIDE,
				      .length = sizeof(entry),
				      .source = source,
				      .gsi = gsi,
				      .flags = flags};

	put(c, &entry, sizeof(entry));
}

int acpi_build_madt(const struct acpi_params *params, uint8_t *buf, size_t size, size_t *ret_used)
{
	struct cursor c = {.buf = buf, .size = size};
	struct madt madt = {.lapic_addr = LAPIC_ADDR, .flags = PCAT_COMPAT};
	const struct madt_ioapic ioapic = {
		.type = TYPE_IOAPIC, .length = sizeof(ioapic), .addr = IOAPIC_ADDR};
	const struct madt_nmi nmi = {
		.type = TYPE_LAPIC_NMI, .length = sizeof(nmi), .uid = ALL_CPUS, .lint = 1};

	put(&c, &madt, sizeof(madt));
	for (uint32_t i = 0; i < params->cpus; i++) {
		const struct madt_lapic lapic = {.type = TYPE_LAPIC,
						 .length = sizeof(lapic),
						 .uid = (uint8_t)i,
						 .apic_id = (uint8_t)i,
						 .flags = LAPIC_ENABLED};

		put(&c, &lapic, sizeof(lapic));
	}
	put(&c, &ioapic, sizeof(ioapic));
	put_override(&c, ISA_TIMER, TIMER_GSI, 0);
	put_override(&c, GSI_SCI, GSI_SCI, INTI_ACTIVE_HIGH | INTI_LEVEL);
	put(&c, &nmi, sizeof(nmi));
	if (c.full)
		return -ENOSPC;
	acpi_header_init(&madt.header, "APIC", c.used, MADT_REVISION);
	memcpy(buf, &madt, sizeof(madt));
	buf[offsetof(struct acpi_header, checksum)] = acpi_checksum(buf, c.used);
	*ret_used = c.used;
	return 0;
}
