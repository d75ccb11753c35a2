/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/x86/aml: encodings at their edges (ACPI 6.5, chapter 20), and what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "vmm/x86/aml.h"

#define BUFFER_SIZE (1 << 21)

static uint8_t *buffer;

static int setup(void **state _unused_)
{
	buffer = malloc(BUFFER_SIZE);
	return buffer ? 0 : -1;
}

static int teardown(void **state _unused_)
{
	free(buffer);
	return 0;
}

static void check(const struct aml *aml, const void *want, size_t len)
{
	size_t used = 0;

	assert_int_equal(aml_finish(aml, &used), 0);
	assert_int_equal(used, len);
	assert_memory_equal(buffer, want, len);
}

static void test_integers(void **state _unused_)
{
	static const struct {
		uint64_t value;
		const char *bytes;
		size_t len;
	} cases[] = {
		{0, "\x00", 1},
		{1, "\x01", 1},
		{2, "\x0a\x02", 2},
		{0xff, "\x0a\xff", 2},
		{0x100, "\x0b\x00\x01", 3},
		{0xffff, "\x0b\xff\xff", 3},
		{0x10000, "\x0c\x00\x00\x01\x00", 5},
		{0xffffffff, "\x0c\xff\xff\xff\xff", 5},
		{0x100000000, "\x0e\x00\x00\x00\x00\x01\x00\x00\x00", 9},
		{UINT64_MAX, "\x0e\xff\xff\xff\xff\xff\xff\xff\xff", 9},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct aml aml;

		aml_init(&aml, buffer, BUFFER_SIZE);
		aml_integer(&aml, cases[i].value);
		check(&aml, cases[i].bytes, cases[i].len);
	}
}

static void test_paths(void **state _unused_)
{
	static const struct {
		const char *path, *bytes;
		size_t len;
	} cases[] = {
		{"_SB", "_SB_", 4},
		{"COM1", "COM1", 4},
		{"\\_S5", "\\_S5_", 5},
		{"_SB.PCI0", "\x2e_SB_PCI0", 9},
		{"\\_SB.PCI0", "\\\x2e_SB_PCI0", 10},
		{"\\_SB.PCI0.A", "\\\x2f\x03_SB_PCI0A___", 15},
	};
	static const char *const wrong[] = {"", "\\", "TOOLONG", "A..B", ".A", "A."};
	struct aml aml;
	size_t used;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		aml_init(&aml, buffer, BUFFER_SIZE);
		aml_path(&aml, cases[i].path);
		check(&aml, cases[i].bytes, cases[i].len);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		aml_init(&aml, buffer, BUFFER_SIZE);
		aml_path(&aml, wrong[i]);
		assert_true(aml_finish(&aml, &used) < 0);
	}
}

/* 19.6.38: EISAID("PNP0C02") is 0x020CD041; 20.2.4: PkgLength includes itself. */
static void test_eisa_and_strings(void **state _unused_)
{
	struct aml aml;
	size_t used;

	aml_init(&aml, buffer, BUFFER_SIZE);
	aml_eisa_id(&aml, "PNP0C02");
	aml_string(&aml, "AB");
	aml_buffer(&aml, "\x07\x08", 2);
	check(&aml,
	      "\x0c\x41\xd0\x0c\x02\x0d"
	      "AB\0\x11\x05\x0a\x02\x07\x08",
	      15);
	aml_init(&aml, buffer, BUFFER_SIZE);
	aml_eisa_id(&aml, "PNP0C0");
	assert_true(aml_finish(&aml, &used) < 0);
}

/* Bodies on both sides of each step of PkgLength: 63 bytes in all, 4095, 1 MiB - 1. */
static void test_pkg_length(void **state _unused_)
{
	static const struct {
		size_t fill; /* bytes in the scope after its name */
		uint8_t length[4];
		size_t bytes;
	} cases[] = {
		{0, {5}, 1},
		{58, {0x3f}, 1},
		{59, {0x41, 0x04}, 2},
		{4089, {0x4f, 0xff}, 2},
		{4090, {0x81, 0x00, 0x01}, 3},
		{1048568, {0x8f, 0xff, 0xff}, 3},
		{1048569, {0xc1, 0x00, 0x00, 0x01}, 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct aml aml;
		size_t used = 0;

		aml_init(&aml, buffer, BUFFER_SIZE);
		aml_begin_scope(&aml, "_SB");
		for (size_t n = 0; n < cases[i].fill; n++)
			aml_integer(&aml, n & 1);
		aml_end(&aml);
		assert_int_equal(aml_finish(&aml, &used), 0);
		assert_int_equal(used, 1 + cases[i].bytes + 4 + cases[i].fill);
		assert_int_equal(buffer[0], 0x10);
		assert_memory_equal(buffer + 1, cases[i].length, cases[i].bytes);
		assert_memory_equal(buffer + 1 + cases[i].bytes, "_SB_", 4);
	}
}

static void test_nesting(void **state _unused_)
{
	struct aml aml;
	size_t used;

	aml_init(&aml, buffer, BUFFER_SIZE);
	aml_begin_scope(&aml, "_SB");
	assert_int_equal(aml_finish(&aml, &used), -EINVAL);
	aml_end(&aml);
	assert_int_equal(aml_finish(&aml, &used), 0);
	aml_end(&aml);
	assert_true(aml_finish(&aml, &used) < 0);

	aml_init(&aml, buffer, BUFFER_SIZE);
	for (unsigned int i = 0; i <= AML_DEPTH_MAX; i++)
		aml_begin_device(&aml, "DEV");
	assert_true(aml_finish(&aml, &used) < 0);
}

/* In a buffer of exactly the size, so that a sanitizer sees one byte too many. */
static void write_something(struct aml *aml)
{
	struct aml_resources res = {.used = 0};

	aml_begin_device(aml, "DEV");
	aml_name_integer(aml, "_UID", 77);
	aml_res_io(&res, 0x3f8, 8);
	aml_crs(aml, &res);
	aml_end(aml);
}

static void test_no_space(void **state _unused_)
{
	struct aml aml;
	size_t need = 0, used;

	aml_init(&aml, buffer, BUFFER_SIZE);
	write_something(&aml);
	assert_int_equal(aml_finish(&aml, &need), 0);
	for (size_t size = 0; size <= need; size++) {
		uint8_t *small = malloc(size ? size : 1);

		assert_non_null(small);
		aml_init(&aml, small, size);
		write_something(&aml);
		assert_int_equal(aml_finish(&aml, &used), size < need ? -ENOSPC : 0);
		free(small);
	}
}

static void test_resources_full(void **state _unused_)
{
	struct aml_resources res = {.used = 0};
	struct aml aml;
	size_t used;

	for (unsigned int i = 0; i < 32; i++) /* 32 of 8 bytes, and no room for the end tag */
		aml_res_io(&res, 0, 1);
	aml_init(&aml, buffer, BUFFER_SIZE);
	aml_crs(&aml, &res);
	assert_true(aml_finish(&aml, &used) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),	 cmocka_unit_test(test_paths),
		cmocka_unit_test(test_eisa_and_strings), cmocka_unit_test(test_pkg_length),
		cmocka_unit_test(test_nesting),		 cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_resources_full),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
