/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SRAT: ACPI 6.5, 5.2.16. One proximity domain with all CPUs and all memory: it is there for what
 * it says of memory that may come, so that an OS is ready for it. Linux keeps bounce buffers only
 * then for devices that cannot reach that far.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "vmm/x86/acpi_table.h"
#include "vmm/x86/layout.h"

struct srat {
	struct acpi_header header;
	uint32_t reserved_1;
	uint64_t reserved_0;
} _packed_;

struct srat_lapic {
	uint8_t type, length, domain_low, apic_id;
	uint32_t flags;
	uint8_t sapic_eid, domain_high[3];
	uint32_t clock_domain;
} _packed_;

struct srat_memory {
	uint8_t type, length;
	uint32_t domain;
	uint16_t reserved_0;
	uint64_t base, size;
	uint32_t reserved_1, flags;
	uint64_t reserved_2;
} _packed_;

_Static_assert(sizeof(struct srat) == 48, "ACPI 6.5, table 5.59");
_Static_assert(sizeof(struct srat_lapic) == 16, "ACPI 6.5, table 5.60");
_Static_assert(sizeof(struct srat_memory) == 40, "ACPI 6.5, table 5.61");

#define SRAT_REVISION	 3
#define TYPE_LAPIC	 0
#define TYPE_MEMORY	 1
#define FLAG_ENABLED	 (1U << 0)
#define FLAG_HOT_PLUGGED (1U << 1)
#define MEMORY_RANGES	 3U

static size_t put_memory(uint8_t *at, uint64_t base, uint64_t end, uint32_t flags)
{
	const struct srat_memory memory = {.type = TYPE_MEMORY,
					   .length = sizeof(memory),
					   .base = base,
					   .size = end - base,
					   .flags = FLAG_ENABLED | flags};

	if (end <= base)
		return 0;
	memcpy(at, &memory, sizeof(memory));
	return sizeof(memory);
}

int acpi_build_srat(const struct acpi_params *params, uint8_t *buf, size_t size, size_t *ret_used)
{
	struct srat srat = {.reserved_1 = 1};
	size_t used = sizeof(srat);

	if (size < sizeof(srat) + params->cpus * sizeof(struct srat_lapic) +
			   MEMORY_RANGES * sizeof(struct srat_memory))
		return -ENOSPC;
	for (uint32_t i = 0; i < params->cpus; i++, used += sizeof(struct srat_lapic)) {
		const struct srat_lapic lapic = {.type = TYPE_LAPIC,
						 .length = sizeof(lapic),
						 .apic_id = (uint8_t)i,
						 .flags = FLAG_ENABLED};

		memcpy(buf + used, &lapic, sizeof(lapic));
	}
	used += put_memory(buf + used, 0, params->low_end, 0);
	used += put_memory(buf + used, 4 * GIB, params->high_end, 0);
	used += put_memory(buf + used, params->grow_start, params->grow_end, FLAG_HOT_PLUGGED);
	acpi_header_init(&srat.header, "SRAT", used, SRAT_REVISION);
	memcpy(buf, &srat, sizeof(srat));
	srat.header.checksum = acpi_checksum(buf, used);
	memcpy(buf, &srat, sizeof(srat));
	*ret_used = used;
	return 0;
}
