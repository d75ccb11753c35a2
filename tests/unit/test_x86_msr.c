/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/x86/msr: which MSRs are saved, and what happens when a kernel does not know one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/kvm.h>
#include <string.h>

#include "base/util.h"
#include "vmm/x86/msr.h"

/* ---- A kernel whose vCPU has these MSRs; it stops at the first that it does not know. ---- */

#define UNKNOWN 0x666

static struct {
	struct kvm_msr_entry msrs[512];
	unsigned int count;
	uint32_t order[512]; /* as they were written */
	unsigned int written;
} kernel_vcpu;

static struct kvm_msr_entry *kernel_msr(uint32_t index)
{
	for (unsigned int i = 0; i < kernel_vcpu.count; i++) {
		if (kernel_vcpu.msrs[i].index == index)
			return &kernel_vcpu.msrs[i];
	}
	assert_true(kernel_vcpu.count < ARRAY_SIZE(kernel_vcpu.msrs));
	kernel_vcpu.msrs[kernel_vcpu.count] = (struct kvm_msr_entry){.index = index};
	return &kernel_vcpu.msrs[kernel_vcpu.count++];
}

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd _unused_, unsigned long request, void *arg)
{
	struct kvm_msrs *msrs = arg;

	assert_true(msrs->nmsrs <= 256); /* the kernel's limit */
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		struct kvm_msr_entry *e = &msrs->entries[i];

		if ((e->index & 0xfff) == UNKNOWN)
			return (int)i;
		if (request == KVM_GET_MSRS) {
			e->data = kernel_msr(e->index)->data;
		} else {
			assert_true(request == KVM_SET_MSRS);
			kernel_msr(e->index)->data = e->data;
			kernel_vcpu.order[kernel_vcpu.written++] = e->index;
		}
	}
	return (int)msrs->nmsrs;
}

static int fresh_vcpu(void **state _unused_)
{
	memset(&kernel_vcpu, 0, sizeof(kernel_vcpu));
	return 0;
}

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

static void test_probe_drops_what_cannot_be_read(void **state _unused_)
{
	struct msr_list list = {.count = 5, .indices = {0x1666, 0x10a, 0x2666, 0x3666, 0xc0000081}};

	msr_list_probe(0, &list);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.indices[0], 0x10a);
	assert_int_equal(list.indices[1], 0xc0000081);
}

static void test_what_can_no_more_be_read_is_named(void **state _unused_)
{
	const struct msr_list list = {.count = 2, .indices = {0x10a, 0x1666}};
	struct kvm_msr_entry entries[2];
	struct error err = ERROR_INIT;

	assert_int_equal(msr_get_all(0, &list, entries, &err), -EIO);
	assert_non_null(strstr(err.message, "0x1666"));
}

static void test_deadline_is_written_last(void **state _unused_)
{
	struct kvm_msr_entry entries[300];

	for (unsigned int i = 0; i < ARRAY_SIZE(entries); i++)
		entries[i] = (struct kvm_msr_entry){.index = 0x10000 + i, .data = i + 1};
	entries[3].index = MSR_IA32_TSC_DEADLINE;
	assert_int_equal(msr_set_all(0, entries, ARRAY_SIZE(entries), NULL), 0);
	assert_int_equal(kernel_vcpu.written, ARRAY_SIZE(entries));
	assert_int_equal(kernel_vcpu.order[299], MSR_IA32_TSC_DEADLINE);
	for (unsigned int i = 0; i < ARRAY_SIZE(entries); i++)
		assert_int_equal(kernel_msr(entries[i].index)->data, i + 1);
}

static void test_unknown_is_left_out_if_zero(void **state _unused_)
{
	const struct kvm_msr_entry entries[] = {{.index = 0x174, .data = 7},
						{.index = 0x1666},
						{.index = 0x2666},
						{.index = 0x175, .data = 8}};

	assert_int_equal(msr_set_all(0, entries, ARRAY_SIZE(entries), NULL), 0);
	assert_int_equal(kernel_msr(0x174)->data, 7);
	assert_int_equal(kernel_msr(0x175)->data, 8);
}

static void test_unknown_is_refused_with_a_value(void **state _unused_)
{
	const struct kvm_msr_entry entries[] = {{.index = 0x174, .data = 7},
						{.index = 0x1666, .data = 0xabc}};
	struct error err = ERROR_INIT;

	assert_int_equal(msr_set_all(0, entries, ARRAY_SIZE(entries), &err), -EINVAL);
	assert_non_null(strstr(err.message, "0x1666"));
	assert_non_null(strstr(err.message, "0xabc"));
}

static void test_equal_is_left_alone(void **state _unused_)
{
	const struct kvm_msr_entry entries[] = {{.index = 0x174, .data = 7}, {.index = 0x1d9}};

	kernel_msr(0x174)->data = 7;
	assert_int_equal(msr_set_all(0, entries, ARRAY_SIZE(entries), NULL), 0);
	assert_int_equal(kernel_vcpu.written, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_is_sorted_whole_and_filtered),
		cmocka_unit_test(test_too_many_are_refused),
		cmocka_unit_test_setup(test_probe_drops_what_cannot_be_read, fresh_vcpu),
		cmocka_unit_test_setup(test_what_can_no_more_be_read_is_named, fresh_vcpu),
		cmocka_unit_test_setup(test_deadline_is_written_last, fresh_vcpu),
		cmocka_unit_test_setup(test_unknown_is_left_out_if_zero, fresh_vcpu),
		cmocka_unit_test_setup(test_unknown_is_refused_with_a_value, fresh_vcpu),
		cmocka_unit_test_setup(test_equal_is_left_alone, fresh_vcpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
