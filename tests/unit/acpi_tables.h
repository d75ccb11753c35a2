/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables of a machine, built and taken apart again, for the tests of vmm/x86/acpi. */
#ifndef HOLDFAST_TESTS_UNIT_ACPI_TABLES_H
#define HOLDFAST_TESTS_UNIT_ACPI_TABLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "vmm/x86/acpi.h"

#define TABLES_ADDR 0xe0000ULL
#define TABLES_SIZE 0x20000U

struct tables {
	uint8_t *buf;
	size_t used;
	unsigned int count;
	const uint8_t *table[8]; /* XSDT, what it lists, DSDT, FACS */
};

static inline uint64_t get(const uint8_t *p, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, p, size);
	return value;
}

static inline unsigned int sum(const uint8_t *p, size_t len)
{
	unsigned int total = 0;

	while (len-- > 0)
		total += *p++;
	return total & 0xff;
}

/* The table at a guest address, as a guest would follow the pointer. */
static inline const uint8_t *at(const struct tables *t, uint64_t addr)
{
	assert_true(addr >= TABLES_ADDR && addr - TABLES_ADDR < t->used);
	return t->buf + (addr - TABLES_ADDR);
}

static inline const uint8_t *find(const struct tables *t, const char *signature)
{
	for (unsigned int i = 0; i < t->count; i++)
		if (memcmp(t->table[i], signature, 4) == 0)
			return t->table[i];
	return NULL;
}

static inline void build_of(struct tables *t, const struct acpi_params *params)
{
	struct error err = ERROR_INIT;
	const uint8_t *xsdt, *fadt;

	*t = (struct tables){.buf = malloc(TABLES_SIZE)};
	assert_non_null(t->buf);
	memset(t->buf, 0xa5, TABLES_SIZE); /* memory that was used before */
	if (acpi_build(params, TABLES_ADDR, t->buf, TABLES_SIZE, &t->used, &err) < 0)
		fail_msg("%s", err.message);
	xsdt = at(t, get(t->buf + 24, 8));
	t->table[t->count++] = xsdt;
	for (size_t i = 36; i < get(xsdt + 4, 4); i += 8)
		t->table[t->count++] = at(t, get(xsdt + i, 8));
	fadt = find(t, "FACP");
	assert_non_null(fadt);
	t->table[t->count++] = at(t, get(fadt + 40, 4));
	t->table[t->count++] = at(t, get(fadt + 36, 4));
}

static inline void build(struct tables *t, uint32_t cpus, uint64_t memory_end, bool pci)
{
	const struct acpi_params params = {.cpus = cpus, .memory_end = memory_end, .pci = pci};

	build_of(t, &params);
}

/* A guest of 5 GiB, to which 10 GiB can be added. */
static inline struct acpi_params params_that_grow(uint32_t cpus)
{
	return (struct acpi_params){.cpus = cpus,
				    .memory_end = 16 * GIB,
				    .pci = true,
				    .grow_start = 6 * GIB,
				    .grow_end = 16 * GIB,
				    .low_end = 3 * GIB,
				    .high_end = 6 * GIB};
}

static inline void tables_free(struct tables *t)
{
	free(t->buf);
}

#endif
