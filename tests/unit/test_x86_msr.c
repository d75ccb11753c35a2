/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/x86/msr: which MSRs are saved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "vmm/x86/msr.h"

static bool has(const struct msr_list *list, uint32_t index)
{
	for (unsigned int i = 0; i < list->count; i++) {
		if (list->indices[i] == index)
			return true;
	}
	return false;
}

static void test_list_is_sorted_whole_and_filtered(void **state _unused_)
{
	static const uint32_t kernel[] = {
		0xc0000102,
		0x174,
		MSR_IA32_TSC, /* kept as an offset */
		0x40000000,   /* Hyper-V */
		0x480,	      /* VMX */
		0x4b564d01,   /* kvmclock */
		MSR_IA32_TSC_DEADLINE,
		0x174,		      /* twice */
		MSR_IA32_MTRRDEFTYPE, /* in a later kernel's list, and in ours */
	};
	struct msr_list list;

	assert_int_equal(msr_list_build(kernel, ARRAY_SIZE(kernel), 10, &list, NULL), 0);
	/* 4 of the kernel's, 16 + 1 + 2 + 8 + 1 MTRRs, 4 of each of the 10 banks. */
	assert_int_equal(list.count, 4 + 28 + 40);
	for (unsigned int i = 1; i < list.count; i++)
		assert_true(list.indices[i] > list.indices[i - 1]);
	assert_true(has(&list, 0xc0000102));
	assert_true(has(&list, 0x4b564d01));
	assert_true(has(&list, MSR_IA32_TSC_DEADLINE));
	assert_true(has(&list, MSR_IA32_MTRRPHYS0 + 15));
	assert_true(has(&list, MSR_IA32_MC0_CTL + 39));
	assert_false(has(&list, MSR_IA32_MC0_CTL + 40));
	assert_false(has(&list, MSR_IA32_TSC));
	assert_false(has(&list, 0x40000000));
	assert_false(has(&list, 0x480));
}

static void test_too_many_are_refused(void **state _unused_)
{
	uint32_t kernel[MSR_COUNT_MAX + 1];
	struct error err = ERROR_INIT;
	struct msr_list list;

	for (unsigned int i = 0; i < ARRAY_SIZE(kernel); i++)
		kernel[i] = 0xc0010000 + i;
	assert_int_equal(msr_list_build(kernel, ARRAY_SIZE(kernel), 10, &list, &err), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_is_sorted_whole_and_filtered),
		cmocka_unit_test(test_too_many_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
