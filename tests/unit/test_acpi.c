/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/x86/acpi: the chain of tables, checksums, and every field that a guest relies on, with the
 * specification's numbers typed again (SPEC_). What iasl says of them is in test_acpi_iasl.c.
 */
#include "tests/unit/acpi_tables.h"

/* FADT offsets: ACPI 6.5, table 5.9. */
#define SPEC_FADT_FACS	      36
#define SPEC_FADT_DSDT	      40
#define SPEC_FADT_SCI	      46
#define SPEC_FADT_SMI_CMD     48
#define SPEC_FADT_PM1A_EVT    56
#define SPEC_FADT_PM1A_CNT    64
#define SPEC_FADT_PM_TMR      76
#define SPEC_FADT_GPE0	      80
#define SPEC_FADT_PM1_EVT_LEN 88
#define SPEC_FADT_PM1_CNT_LEN 89
#define SPEC_FADT_PM_TMR_LEN  91
#define SPEC_FADT_GPE0_LEN    92
#define SPEC_FADT_C2_LATENCY  96
#define SPEC_FADT_C3_LATENCY  98
#define SPEC_FADT_CENTURY     108
#define SPEC_FADT_IAPC	      109
#define SPEC_FADT_FLAGS	      112
#define SPEC_FADT_RESET_REG   116
#define SPEC_FADT_RESET_VALUE 128
#define SPEC_FADT_X_FACS      132
#define SPEC_FADT_X_DSDT      140
#define SPEC_FADT_X_PM1A_EVT  148
#define SPEC_FADT_X_PM1B_EVT  160
#define SPEC_FADT_X_PM1A_CNT  172
#define SPEC_FADT_X_PM_TMR    208
#define SPEC_FADT_X_GPE0      220
#define SPEC_FADT_LENGTH      276

static void test_chain(void **state _unused_)
{
	for (unsigned int pci = 0; pci < 2; pci++) {
		struct tables t;
		uint64_t xsdt;

		build(&t, 2, 4 * GIB, pci);
		assert_memory_equal(t.buf, "RSD PTR ", 8);
		assert_int_equal(t.buf[15], 2); /* revision */
		assert_int_equal(get(t.buf + 20, 4), 36);
		assert_int_equal(sum(t.buf, 20), 0);
		assert_int_equal(sum(t.buf, 36), 0);
		xsdt = get(t.buf + 24, 8);
		assert_int_equal(get(at(&t, xsdt) + 4, 4), 36 + 8 * (2 + pci));
		for (unsigned int i = 0; i < t.count; i++) {
			const uint8_t *table = t.table[i];
			size_t length = get(table + 4, 4);

			assert_true(table + length <= t.buf + t.used);
			assert_int_equal((table - t.buf) % 16, 0);
			if (memcmp(table, "FACS", 4) != 0)
				assert_int_equal(sum(table, length), 0);
			/* No two overlap. */
			for (unsigned int j = 0; j < i; j++)
				assert_true(table >= t.table[j] + get(t.table[j] + 4, 4) ||
					    t.table[j] >= table + length);
		}
		assert_int_equal(find(&t, "MCFG") != NULL, pci);
		tables_free(&t);
	}
}

static void check_gas(const uint8_t *gas, unsigned int bits, unsigned int access, uint64_t port)
{
	assert_int_equal(gas[0], 1); /* system I/O */
	assert_int_equal(gas[1], bits);
	assert_int_equal(gas[2], 0);
	assert_int_equal(gas[3], access);
	assert_int_equal(get(gas + 4, 8), port);
}

static void test_fadt(void **state _unused_)
{
	struct tables t;
	const uint8_t *f, *facs;

	build(&t, 1, 32 * MIB, false);
	f = find(&t, "FACP");
	assert_int_equal(get(f + 4, 4), SPEC_FADT_LENGTH);
	assert_int_equal(f[8], 6); /* revision */
	facs = at(&t, get(f + SPEC_FADT_FACS, 4));
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal(get(facs + 4, 4), 64);
	assert_int_equal(get(f + SPEC_FADT_FACS, 4) % 64, 0);
	assert_int_equal(facs[32], 2); /* version */
	assert_int_equal(get(f + SPEC_FADT_X_FACS, 8), 0);
	assert_memory_equal(at(&t, get(f + SPEC_FADT_DSDT, 4)), "DSDT", 4);
	assert_int_equal(get(f + SPEC_FADT_X_DSDT, 8), get(f + SPEC_FADT_DSDT, 4));

	assert_int_equal(get(f + SPEC_FADT_SCI, 2), 9);
	assert_int_equal(get(f + SPEC_FADT_SMI_CMD, 4), 0);
	assert_int_equal(get(f + SPEC_FADT_PM1A_EVT, 4), 0x600);
	assert_int_equal(f[SPEC_FADT_PM1_EVT_LEN], 4);
	assert_int_equal(get(f + SPEC_FADT_PM1A_CNT, 4), 0x604);
	assert_int_equal(f[SPEC_FADT_PM1_CNT_LEN], 2);
	assert_int_equal(get(f + SPEC_FADT_PM_TMR, 4), 0x608);
	assert_int_equal(f[SPEC_FADT_PM_TMR_LEN], 4);
	assert_int_equal(get(f + SPEC_FADT_GPE0, 4), 0x620);
	assert_int_equal(f[SPEC_FADT_GPE0_LEN], 16);
	check_gas(f + SPEC_FADT_X_PM1A_EVT, 32, 2, 0x600);
	check_gas(f + SPEC_FADT_X_PM1A_CNT, 16, 2, 0x604);
	check_gas(f + SPEC_FADT_X_PM_TMR, 32, 3, 0x608);
	check_gas(f + SPEC_FADT_X_GPE0, 128, 1, 0x620);
	assert_int_equal(get(f + SPEC_FADT_X_PM1B_EVT + 4, 8), 0);
	check_gas(f + SPEC_FADT_RESET_REG, 8, 1, 0xcf9);
	assert_int_equal(f[SPEC_FADT_RESET_VALUE], 6);

	assert_true(get(f + SPEC_FADT_C2_LATENCY, 2) > 100);
	assert_true(get(f + SPEC_FADT_C3_LATENCY, 2) > 1000);
	assert_int_equal(f[SPEC_FADT_CENTURY], 0x32);
	/* Table 5.11: legacy devices, no 8042 (bit 1), no VGA (bit 2), a CMOS RTC (bit 5 clear). */
	assert_int_equal(get(f + SPEC_FADT_IAPC, 2) & 0x2f, 0x05);
	/*
	 * Table 5.10: WBINVD 0, PROC_C1 2, PWR_BUTTON 4 (clear: fixed), SLP_BUTTON 5 (set: none),
	 * FIX_RTC 6 (clear: fixed), TMR_VAL_EXT 8, RESET_REG_SUP 10, HW_REDUCED_ACPI 20 (clear).
	 */
	assert_int_equal(get(f + SPEC_FADT_FLAGS, 4) & 0x100575, 0x000525);
	tables_free(&t);
}

/* Walks the MADT's entries and counts them by type. */
static void test_madt(void **state _unused_)
{
	static const uint32_t cpus[] = {1, 2, 32, 255};

	for (size_t n = 0; n < ARRAY_SIZE(cpus); n++) {
		unsigned int lapics = 0, others = 0;
		struct tables t;
		const uint8_t *m, *e;

		build(&t, cpus[n], 4 * GIB, false);
		m = find(&t, "APIC");
		assert_int_equal(get(m + 36, 4), 0xfee00000);
		assert_int_equal(get(m + 40, 4) & 1, 1); /* PCAT_COMPAT */
		for (e = m + 44; e < m + get(m + 4, 4); e += e[1]) {
			assert_true(e[1] >= 2);
			if (e[0] == 0) {
				assert_int_equal(e[1], 8);
				assert_int_equal(e[2], lapics); /* UID */
				assert_int_equal(e[3], lapics); /* APIC id */
				assert_int_equal(get(e + 4, 4), 1);
				lapics++;
				continue;
			}
			/* IOAPIC; timer 0 -> 2 as the bus has it; SCI active high, level; NMI
			 * LINT1. */
			static const uint8_t want[4][12] = {
				{1, 12, 0, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0},
				{2, 10, 0, 0, 2, 0, 0, 0, 0x00, 0},
				{2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0},
				{4, 6, 0xff, 0, 0, 1},
			};
			assert_true(others < 4);
			assert_memory_equal(e, want[others], want[others][1]);
			others++;
		}
		assert_ptr_equal(e, m + get(m + 4, 4));
		assert_int_equal(lapics, cpus[n]);
		assert_int_equal(others, 4);
		tables_free(&t);
	}
}

/* PCI Firmware Specification 3.3, 4.1.2. */
static void test_mcfg(void **state _unused_)
{
	struct tables t;
	const uint8_t *m;

	build(&t, 1, 4 * GIB, true);
	m = find(&t, "MCFG");
	assert_int_equal(get(m + 4, 4), 60);
	assert_int_equal(get(m + 44, 8), 0xe0000000);
	assert_int_equal(get(m + 52, 2), 0);
	/* First and last bus: no more than there are, for a guest looks at all of them. */
	assert_int_equal(m[54], 0);
	assert_int_equal(m[55], 0);
	tables_free(&t);
}

static void test_pci_window(void **state _unused_)
{
	uint64_t size = ACPI_PCI_MMIO64_SIZE;

	assert_int_equal(acpi_pci_mmio64_base(32 * MIB), 64 * GIB);
	assert_int_equal(acpi_pci_mmio64_base(64 * GIB), 64 * GIB);
	assert_int_equal(acpi_pci_mmio64_base(64 * GIB + 2 * MIB), 128 * GIB);
	for (uint64_t end = 4 * GIB; end < 5000 * GIB; end += 7 * GIB) {
		assert_true(acpi_pci_mmio64_base(end) >= end);
		assert_int_equal(acpi_pci_mmio64_base(end) % size, 0);
	}
	for (unsigned int dev = 0; dev < 32; dev++)
		for (unsigned int pin = 0; pin < 4; pin++)
			assert_int_equal(acpi_pci_intx_gsi(dev, pin), 16 + (dev + pin) % 4);
}

/* Every size that is too small is refused, and nothing is written behind the buffer's end. */
static void test_no_space(void **state _unused_)
{
	const struct acpi_params params = params_that_grow(32);
	struct tables t;

	build_of(&t, &params);
	for (size_t size = 0; size < t.used; size++) {
		uint8_t *buf = malloc(size ? size : 1);
		struct error err = ERROR_INIT;
		size_t used;

		assert_non_null(buf);
		assert_int_equal(acpi_build(&params, TABLES_ADDR, buf, size, &used, &err), -ENOSPC);
		assert_non_null(strstr(err.message, "do not fit"));
		free(buf);
	}
	/* All CPUs there can be, in the room that the layout has for tables. */
	assert_true(t.used < 0x20000);
	tables_free(&t);
}

/* ACPI 6.5, 5.2.16: tables 5.59 to 5.61. All in domain 0; what can be added is hot-pluggable. */
static void test_srat(void **state _unused_)
{
	const struct acpi_params params = params_that_grow(3);
	static const struct {
		uint64_t base, end;
		uint32_t flags;
	} memory[] = {{0, 3 * GIB, 1}, {4 * GIB, 6 * GIB, 1}, {6 * GIB, 16 * GIB, 3}};
	const uint8_t *s, *p;
	struct tables t;

	build_of(&t, &params);
	s = find(&t, "SRAT");
	assert_non_null(s);
	assert_int_equal(get(s + 4, 4), 48 + 3 * 16 + 3 * 40);
	assert_int_equal(s[8], 3); /* revision */
	assert_int_equal(get(s + 36, 4), 1);
	assert_int_equal(sum(s, get(s + 4, 4)), 0);
	p = s + 48;
	for (unsigned int cpu = 0; cpu < 3; cpu++, p += 16) {
		assert_int_equal(p[0], 0);
		assert_int_equal(p[1], 16);
		assert_int_equal(p[2], 0);
		assert_int_equal(p[3], cpu); /* APIC id */
		assert_int_equal(get(p + 4, 4), 1);
		assert_int_equal(get(p + 9, 3), 0);
	}
	for (unsigned int i = 0; i < 3; i++, p += 40) {
		assert_int_equal(p[0], 1);
		assert_int_equal(p[1], 40);
		assert_int_equal(get(p + 2, 4), 0);
		assert_int_equal(get(p + 8, 8), memory[i].base);
		assert_int_equal(get(p + 16, 8), memory[i].end - memory[i].base);
		assert_int_equal(get(p + 28, 4), memory[i].flags);
	}
	tables_free(&t);
	/* A guest that cannot grow has the tables that it always had. */
	build(&t, 3, 16 * GIB, true);
	assert_null(find(&t, "SRAT"));
	tables_free(&t);
}

static void test_parameters(void **state _unused_)
{
	static const struct {
		struct acpi_params params;
		uint64_t addr;
	} cases[] = {
		{{.cpus = 0, .memory_end = GIB}, TABLES_ADDR},
		{{.cpus = 256, .memory_end = GIB}, TABLES_ADDR},
		{{.cpus = 1, .memory_end = UINT64_MAX}, TABLES_ADDR},
		{{.cpus = 1, .memory_end = GIB}, TABLES_ADDR + 16},
		{{.cpus = 1, .memory_end = GIB}, 4 * GIB},
		{{.cpus = 1, .memory_end = GIB}, 4 * GIB - 64},
	};
	static uint8_t buf[65536];
	size_t used;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(
			acpi_build(&cases[i].params, cases[i].addr, buf, sizeof(buf), &used, NULL),
			-EINVAL);
}

/* A guest's tables are part of what it is: the same parameters, the same bytes. */
static void test_deterministic(void **state _unused_)
{
	struct tables a, b;

	build(&a, 4, 5 * GIB, true);
	build(&b, 4, 5 * GIB, true);
	assert_int_equal(a.used, b.used);
	assert_memory_equal(a.buf, b.buf, a.used);
	tables_free(&a);
	tables_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),	      cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt),	      cmocka_unit_test(test_mcfg),
		cmocka_unit_test(test_pci_window),    cmocka_unit_test(test_srat),
		cmocka_unit_test(test_no_space),      cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_deterministic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
