/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/x86/cpuid: topology, and what a guest must not be offered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "vmm/x86/cpuid.h"

#define SUBLEAF KVM_CPUID_FLAG_SIGNIFCANT_INDEX

static struct cpuid_table host(bool amd)
{
	struct cpuid_table t = {.nent = 0};
	const struct kvm_cpuid_entry2 entries[] = {
		{.function = 0, .eax = 0x1f, .ebx = amd ? 0x68747541 : 0x756e6547},
		{.function = 1, .ebx = 0x07100800, .ecx = ~0U, .edx = ~0U},
		{.function = 4, .index = 0, .flags = SUBLEAF, .eax = 0xfc03c021}, /* L1, shared */
		{.function = 4, .index = 1, .flags = SUBLEAF, .eax = 0xfc03c063}, /* L3 */
		{.function = 4, .index = 2, .flags = SUBLEAF, .eax = 0},
		{.function = 7, .index = 0, .flags = SUBLEAF, .ebx = ~0U, .ecx = ~0U, .edx = ~0U},
		{.function = 0xa, .eax = 0x07300805},
		{.function = 0xb, .index = 0, .flags = SUBLEAF},
		{.function = 0x12, .index = 0, .flags = SUBLEAF, .eax = 3},
		{.function = 0x14, .index = 0, .flags = SUBLEAF, .ebx = 0xf},
		{.function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b},
		{.function = 0x40000001, .eax = ~0U},
		{.function = 0x80000000, .eax = 0x8000001f},
		{.function = 0x80000001, .ecx = ~0U, .edx = ~0U},
		{.function = 0x80000008, .eax = 0x3030, .ecx = 0x7007},
		{.function = 0x8000000a, .eax = 1, .ebx = 8},
		{.function = 0x8000001e, .eax = 9, .ebx = 0x109, .ecx = 0x301},
		{.function = 0x80000022, .eax = 1, .ebx = 6},
	};

	memcpy(t.entries, entries, sizeof(entries));
	t.nent = ARRAY_SIZE(entries);
	return t;
}

static void test_topology(void **state _unused_)
{
	struct cpuid_table supported = host(false), t;
	struct kvm_cpuid_entry2 *e;

	assert_int_equal(cpuid_for_vcpu(&supported, 4, 6, true, &t, NULL), 0);
	e = cpuid_find(&t, 1, 0);
	assert_int_equal(e->ebx >> 24, 4);
	assert_int_equal(e->ebx >> 16 & 0xff, 8); /* ids, rounded up */
	assert_int_equal(e->ebx & 0xffff, 0x0800);
	for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x1f - 0xb) {
		e = cpuid_find(&t, leaf, 0);
		assert_int_equal(e->eax, 0);
		assert_int_equal(e->ebx, 1);
		assert_int_equal(e->ecx, 0x100);
		assert_int_equal(e->edx, 4);
		e = cpuid_find(&t, leaf, 1);
		assert_int_equal(e->eax, 3);
		assert_int_equal(e->ebx, 6);
		assert_int_equal(e->ecx, 0x201);
		e = cpuid_find(&t, leaf, 2);
		assert_int_equal(e->ecx, 2);
		assert_int_equal(e->ebx, 0);
	}
	e = cpuid_find(&t, 4, 0);
	assert_int_equal(e->eax >> 14 & 0xfff, 0); /* L1: nobody shares it */
	assert_int_equal(e->eax >> 26, 7);
	e = cpuid_find(&t, 4, 1);
	assert_int_equal(e->eax >> 14 & 0xfff, 7); /* L3: the package does */
	assert_int_equal(cpuid_find(&t, 4, 2)->eax, 0);
}

static void test_topology_of_amd(void **state _unused_)
{
	struct cpuid_table supported = host(true), t;
	struct kvm_cpuid_entry2 *e;

	assert_int_equal(cpuid_for_vcpu(&supported, 1, 2, true, &t, NULL), 0);
	e = cpuid_find(&t, 0x80000008, 0);
	assert_int_equal(e->ecx & 0xff, 1);
	assert_int_equal(e->ecx >> 12 & 0xf, 1);
	e = cpuid_find(&t, 0x8000001e, 0);
	assert_int_equal(e->eax, 1);
	assert_int_equal(e->ebx, 1);
	assert_int_equal(e->ecx, 0);
	assert_true(cpuid_find(&t, 0x80000001, 0)->ecx & 1U << 1);
	/* One core alone has no siblings. */
	assert_int_equal(cpuid_for_vcpu(&supported, 0, 1, true, &t, NULL), 0);
	assert_false(cpuid_find(&t, 0x80000001, 0)->ecx & 1U << 1);
	assert_false(cpuid_find(&t, 1, 0)->edx & 1U << 28);
	assert_int_equal(cpuid_find(&t, 0xb, 1)->eax, 0);
}

static void test_what_cannot_be_preserved_is_hidden(void **state _unused_)
{
	static const uint32_t gone[] = {0xa, 0x12, 0x14, 0x8000000a, 0x80000022};
	struct cpuid_table supported = host(true), t;
	struct kvm_cpuid_entry2 *e;

	assert_true(cpuid_has_nested(&supported));
	assert_int_equal(cpuid_for_vcpu(&supported, 0, 2, true, &t, NULL), 0);
	assert_false(cpuid_has_nested(&t));
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
		assert_null(cpuid_find(&t, gone[i], 0));
	e = cpuid_find(&t, 0x40000001, 0);
	/* Async page faults (4, 10, 14), PV spin locks (7), MSI ids that we do not read (15). */
	assert_false(e->eax & (1U << 4 | 1U << 7 | 1U << 10 | 1U << 14 | 1U << 15));
	assert_true(e->eax & 1U << 3); /* kvmclock */
	e = cpuid_find(&t, 1, 0);
	assert_true(e->ecx & 1U << 31);
	assert_false(e->ecx & 1U << 5);
}

static void test_lost_features_are_named(void **state _unused_)
{
	struct cpuid_table supported = host(true), guest, newer;
	char lost[64] = "";

	assert_int_equal(cpuid_for_vcpu(&supported, 0, 2, true, &guest, NULL), 0);
	assert_false(cpuid_find_lost(&guest, &supported, lost, sizeof(lost)));
	newer = supported;
	cpuid_find(&newer, 7, 0)->ebx &= ~(1U << 16);
	assert_true(cpuid_find_lost(&guest, &newer, lost, sizeof(lost)));
	assert_string_equal(lost, "leaf 0x7 ebx bit 16");
	/* A kernel that offers more takes nothing away; ours to hide is not lost. */
	assert_false(cpuid_find_lost(&guest, &supported, lost, sizeof(lost)));
}

static void test_full_table_is_refused(void **state _unused_)
{
	struct cpuid_table supported = host(false), t;
	struct error err = ERROR_INIT;

	supported.nent = 2; /* none that would be taken out and make room */
	while (supported.nent < CPUID_ENTRIES_MAX)
		supported.entries[supported.nent++] =
			(struct kvm_cpuid_entry2){.function = 0xd, .index = supported.nent};
	assert_int_equal(cpuid_for_vcpu(&supported, 0, 2, true, &t, &err), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_topology_of_amd),
		cmocka_unit_test(test_what_cannot_be_preserved_is_hidden),
		cmocka_unit_test(test_lost_features_are_named),
		cmocka_unit_test(test_full_table_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
