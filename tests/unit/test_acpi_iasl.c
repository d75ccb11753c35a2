/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/x86/acpi through the eyes of iasl (acpica-tools): every table is disassembled, compiled again
 * without a word of complaint, and gives the same bytes. Without iasl this test fails.
 */
#include "tests/unit/acpi_tables.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define HEADER_LENGTH 36

struct work_dir {
	char path[64];
};

static void write_file(const char *path, const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

static char *read_file(const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = calloc(1, 1 << 20);
	ssize_t n;

	if (fd < 0)
		fail_msg("iasl did not write %s", path);
	assert_non_null(text);
	n = read(fd, text, (1 << 20) - 1);
	assert_true(n >= 0);
	close(fd);
	if (ret_size)
		*ret_size = (size_t)n;
	return text;
}

/* Runs iasl in the directory; its output, which the caller frees. */
static char *run_iasl(const struct work_dir *dir, const char *args, int *ret_status)
{
	char command[256], path[96];

	snprintf(command, sizeof(command), "cd %s && iasl %s >log 2>&1", dir->path, args);
	*ret_status = system(command);
	snprintf(path, sizeof(path), "%s/log", dir->path);
	return read_file(path, NULL);
}

static void remove_dir(const struct work_dir *dir)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", dir->path);
	assert_int_equal(system(command), 0);
}

static void test_iasl_is_there(void **state _unused_)
{
	if (system("iasl -v >/dev/null 2>&1") != 0)
		fail_msg("iasl is missing: install acpica-tools (tools/setup does)");
}

/* Disassembles and compiles one table; the source is left in *ret_dsl. */
static void check_table(const struct work_dir *dir, const uint8_t *table, size_t length,
			char **ret_dsl)
{
	char path[96], *log, *again;
	size_t again_length;
	int status;

	snprintf(path, sizeof(path), "%s/t.dat", dir->path);
	write_file(path, table, length);
	log = run_iasl(dir, "-d t.dat", &status);
	if (status != 0 || strstr(log, "Error") || strstr(log, "Warning") ||
	    strstr(log, "Incorrect") || strstr(log, "Invalid"))
		fail_msg("iasl -d: %.4s\n%s", (const char *)table, log);
	free(log);
	snprintf(path, sizeof(path), "%s/t.dsl", dir->path);
	*ret_dsl = read_file(path, NULL);

	log = run_iasl(dir, "-p again t.dsl", &status);
	if (status != 0 || !strstr(log, "0 Errors, 0 Warnings, 0 Remarks"))
		fail_msg("iasl: %.4s\n%s", (const char *)table, log);
	free(log);
	snprintf(path, sizeof(path), "%s/again.aml", dir->path);
	again = read_file(path, &again_length);
	assert_int_equal(again_length, length);
	/* iasl puts its own name into the header, and so another checksum. */
	if (memcmp(table, "FACS", 4) == 0)
		assert_memory_equal(again, table, length);
	else
		assert_memory_equal(again + HEADER_LENGTH, table + HEADER_LENGTH,
				    length - HEADER_LENGTH);
	free(again);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/t.dsl", dir->path);
	assert_int_equal(unlink(path), 0);
}

/*
 * iasl does not disassemble an RSDP but compiles one: from these values, with the checksums that it
 * works out, come our bytes.
 */
static void check_rsdp(const struct work_dir *dir, const uint8_t *rsdp)
{
	char source[512], path[96], *log, *again;
	size_t length;
	int status, n;

	n = snprintf(source, sizeof(source),
		     "Signature : \"RSD PTR \"\nChecksum : 00\nOem ID : \"%.6s\"\nRevision : 02\n"
		     "RSDT Address : 00000000\nLength : 00000024\nXSDT Address : %016llx\n"
		     "Extended Checksum : 00\nReserved : 000000\n",
		     (const char *)rsdp + 9, (unsigned long long)get(rsdp + 24, 8));
	snprintf(path, sizeof(path), "%s/r.dsl", dir->path);
	write_file(path, (const uint8_t *)source, (size_t)n);
	log = run_iasl(dir, "-p again r.dsl", &status);
	if (status != 0)
		fail_msg("iasl: RSDP\n%s", log);
	free(log);
	snprintf(path, sizeof(path), "%s/again.aml", dir->path);
	again = read_file(path, &length);
	assert_int_equal(length, 36);
	assert_memory_equal(again, rsdp, length);
	free(again);
	assert_int_equal(unlink(path), 0);
}

static void need(const char *dsl, const char *text)
{
	assert_non_null(dsl);
	if (!strstr(dsl, text))
		fail_msg("the DSDT does not have '%s':\n%s", text, dsl);
}

static void check_dsdt(const char *dsl, unsigned int cpus, bool pci)
{
	char last[32];

	need(dsl, "Name (_S5, Package (0x04)");
	need(dsl, "EisaId (\"PNP0501\")");
	need(dsl, "EisaId (\"PNP0B00\")");
	need(dsl, "IRQNoFlags ()\n                    {4}");
	need(dsl, "IRQNoFlags ()\n                    {8}");
	need(dsl, "0x03F8,");
	need(dsl, "0x0070,");
	snprintf(last, sizeof(last), "Device (C%03X)", cpus - 1);
	need(dsl, last);
	snprintf(last, sizeof(last), "Device (C%03X)", cpus);
	assert_null(strstr(dsl, last));
	if (!pci) {
		assert_null(strstr(dsl, "PNP0A08"));
		assert_null(strstr(dsl, "PNP0C02"));
		assert_null(strstr(dsl, "_EJ0"));
		return;
	}
	need(dsl, "EisaId (\"PNP0A08\")");
	need(dsl, "EisaId (\"PNP0A03\")");
	need(dsl, "WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,");
	/* Of buses: one, number 0. */
	need(dsl, "0x0001,             // Length");
	need(dsl, "0x0CF7,             // Range Maximum");
	need(dsl, "0x0D00,             // Range Minimum");
	need(dsl, "DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, "
		  "ReadWrite,");
	need(dsl, "0xC0000000,         // Range Minimum");
	need(dsl, "0xDFFFFFFF,         // Range Maximum");
	need(dsl, "0x0000001000000000, // Range Minimum"); /* 64 GiB */
	need(dsl, "0x0000001FFFFFFFFF, // Range Maximum");
	need(dsl, "OperationRegion (HPRG, SystemIO, 0x0640, 0x0C)");
	need(dsl, "Field (HPRG, DWordAcc, NoLock, WriteAsZeros)");
	need(dsl, "Device (S1F)");
	need(dsl, "Name (_ADR, 0x001F0000)");
	need(dsl, "HPEJ = 0x80000000");
	need(dsl, "Notify (S1F, Arg1)");
	need(dsl, "Method (_E01, 0, Serialized)");
	need(dsl, "\\_SB.PCI0.HPNT (Local0, One)");
	need(dsl, "\\_SB.PCI0.HPNT (Local0, 0x03)");
	need(dsl, "0x001FFFFF,"); /* _PRT: the last device */
	need(dsl, "ToUUID (\"33db4d5b-1ff7-401c-9657-7441c03dd766\")");
	need(dsl,
	     "Memory32Fixed (ReadWrite,\n                    0xE0000000,         // Address Base\n"
	     "                    0x10000000,         // Address Length");
}

static void check_memory_devices(const char *dsl, bool grows)
{
	if (!grows) {
		assert_null(strstr(dsl, "PNP0C80"));
		assert_null(strstr(dsl, "_E02"));
		return;
	}
	need(dsl, "Device (MM00)");
	need(dsl, "Device (MM07)");
	assert_null(strstr(dsl, "Device (MM08)"));
	need(dsl, "EisaId (\"PNP0C80\")");
	need(dsl, "OperationRegion (MREG, SystemIO, 0x0700, 0x20)");
	need(dsl, "OperationRegion (MREG, SystemIO, 0x07E0, 0x20)");
	need(dsl, "OperationRegion (MADR, SystemIO, 0x0800, 0x04)");
	/* RAM and no window: it is consumed. */
	need(dsl, "QWordMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed, Cacheable, "
		  "ReadWrite,");
	/* iasl knows where these are in the descriptor. */
	need(dsl, "CreateQWordField (RBUF, \\_SB.MM00._Y00._MIN, CFST)");
	need(dsl, "CreateQWordField (RBUF, \\_SB.MM00._Y00._MAX, CLST)");
	need(dsl, "CreateQWordField (RBUF, \\_SB.MM00._Y00._LEN, CLEN)");
	need(dsl, "CFST = ((RFHI << 0x20) | RFLO)");
	need(dsl, "CLST = ((RLHI << 0x20) | RLLO)");
	need(dsl, "CLEN = ((RSHI << 0x20) | RSLO)");
	need(dsl, "If ((RSLO || RSHI))");
	need(dsl, "Method (_E02, 0, Serialized)");
	need(dsl, "Local0 = \\_SB.MADD");
	need(dsl, "\\_SB.MADD = Local0");
	need(dsl, "If ((Local0 & 0x80))");
	need(dsl, "Notify (\\_SB.MM07, One)");
}

static void test_tables(void **state _unused_)
{
	static const struct {
		uint32_t cpus;
		bool pci, grows;
	} cases[] = {{1, false, false}, {32, false, false}, {2, true, false}, {2, true, true}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct work_dir dir = {"/tmp/holdfast-acpi-XXXXXX"};
		unsigned int seen = 0;
		struct tables t;
		char *dsl;

		assert_non_null(mkdtemp(dir.path));
		if (cases[i].grows) {
			const struct acpi_params params = params_that_grow(cases[i].cpus);

			build_of(&t, &params);
		} else {
			build(&t, cases[i].cpus, 5 * GIB, cases[i].pci);
		}
		check_rsdp(&dir, t.buf);
		for (unsigned int n = 0; n < t.count; n++) {
			check_table(&dir, t.table[n], get(t.table[n] + 4, 4), &dsl);
			if (memcmp(t.table[n], "DSDT", 4) == 0) {
				check_dsdt(dsl, cases[i].cpus, cases[i].pci);
				check_memory_devices(dsl, cases[i].grows);
			}
			free(dsl);
			seen++;
		}
		assert_int_equal(seen, 5U + cases[i].pci + cases[i].grows);
		tables_free(&t);
		remove_dir(&dir);
	}
}

/* The check itself must be able to fail: a table with a wrong checksum is told. */
static void test_iasl_complains(void **state _unused_)
{
	struct work_dir dir = {"/tmp/holdfast-acpi-XXXXXX"};
	struct tables t;
	uint8_t *madt;
	char path[96], *log;
	int status;

	assert_non_null(mkdtemp(dir.path));
	build(&t, 1, 5 * GIB, false);
	madt = t.buf + (find(&t, "APIC") - t.buf);
	madt[9]++;
	snprintf(path, sizeof(path), "%s/t.dat", dir.path);
	write_file(path, madt, get(madt + 4, 4));
	log = run_iasl(&dir, "-d t.dat", &status);
	assert_true(status != 0 || strstr(log, "Incorrect"));
	free(log);
	tables_free(&t);
	remove_dir(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_iasl_is_there),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_iasl_complains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
