/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/bar_memory on a KVM that is played by the test: slots beyond those of RAM, used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/kvm.h>

#include "base/util.h"
#include "vmm/bar_memory.h"
#include "vmm/guest_memory.h"

#define VM_FD 1234
#define GPA   0xc0000000ULL

static struct {
	unsigned int calls;
	struct kvm_userspace_memory_region last;
	int fails;
} kvm;

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	assert_int_equal(fd, VM_FD);
	assert_int_equal(request, KVM_SET_USER_MEMORY_REGION);
	if (kvm.fails) {
		errno = kvm.fails;
		return -1;
	}
	kvm.calls++;
	kvm.last = *(struct kvm_userspace_memory_region *)arg;
	/* Slots of RAM are not ours. */
	assert_true(kvm.last.slot >= RAM_REGIONS_MAX);
	return 0;
}

static struct bar_memory *slots;
static uint8_t page[4096];

static int start(void **state _unused_)
{
	struct error err = ERROR_INIT;

	memset(&kvm, 0, sizeof(kvm));
	return bar_memory_new(VM_FD, &slots, &err);
}

static int stop(void **state _unused_)
{
	bar_memory_free(slots);
	return 0;
}

static void test_comes_and_goes(void **state _unused_)
{
	struct error err = ERROR_INIT;
	uint32_t slot;

	assert_int_equal(bar_memory_add(slots, GPA, 0x2000, page, &err), 0);
	assert_int_equal(kvm.last.guest_phys_addr, GPA);
	assert_int_equal(kvm.last.memory_size, 0x2000);
	assert_int_equal(kvm.last.userspace_addr, (uintptr_t)page);
	assert_int_equal(kvm.last.flags, 0);
	slot = kvm.last.slot;
	assert_int_equal(bar_memory_add(slots, GPA + 0x2000, 0x1000, page, &err), 0);
	assert_int_not_equal(kvm.last.slot, slot);
	bar_memory_remove(slots, GPA);
	assert_int_equal(kvm.last.slot, slot);
	/* api.rst, 4.35: deleting a slot is done by passing zero for memory_size. */
	assert_int_equal(kvm.last.memory_size, 0);
	assert_int_equal(bar_memory_add(slots, GPA + 0x10000, 0x1000, page, &err), 0);
	assert_int_equal(kvm.last.slot, slot);
	kvm.calls = 0;
	bar_memory_remove(slots, GPA);
	assert_int_equal(kvm.calls, 0);
}

static void test_no_more(void **state _unused_)
{
	struct error err = ERROR_INIT;

	for (unsigned int i = 0; i < BAR_MEMORY_SLOTS_MAX; i++)
		assert_int_equal(bar_memory_add(slots, GPA + i * 0x1000, 0x1000, page, &err), 0);
	assert_int_equal(bar_memory_add(slots, GPA - 0x1000, 0x1000, page, &err), -ENOSPC);
	bar_memory_remove(slots, GPA + 0x5000);
	assert_int_equal(bar_memory_add(slots, GPA - 0x1000, 0x1000, page, &err), 0);
}

static void test_refused(void **state _unused_)
{
	struct error err = ERROR_INIT;

	kvm.fails = EEXIST;
	assert_int_equal(bar_memory_add(slots, GPA, 0x1000, page, &err), -EEXIST);
	assert_non_null(strstr(err.message, "KVM_SET_USER_MEMORY_REGION"));
	/* It took no slot: there is nothing to remove. */
	kvm.fails = 0;
	bar_memory_remove(slots, GPA);
	assert_int_equal(kvm.calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_comes_and_goes, start, stop),
		cmocka_unit_test_setup_teardown(test_no_more, start, stop),
		cmocka_unit_test_setup_teardown(test_refused, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
