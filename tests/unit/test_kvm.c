/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/kvm: what a user is told where there is no usable KVM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "vmm/arch.h"

static void check(const char *path, int code, const char *words)
{
	struct error err = ERROR_INIT;
	int fd = FD_NONE;

	assert_int_equal(kvm_open(path, arch_kvm_needs, &fd, &err), code);
	assert_int_equal(fd, FD_NONE);
	assert_non_null(strstr(err.message, path));
	assert_non_null(strstr(err.message, words));
}

static void test_not_there(void **state _unused_)
{
	check("/nonexistent/kvm", -ENOENT, "modprobe");
}

static void test_something_else(void **state _unused_)
{
	check("/dev/null", -ENODEV, "is not KVM");
}

static void test_needs_are_named(void **state _unused_)
{
	for (const struct kvm_need *n = arch_kvm_needs; n->name; n++) {
		assert_non_null(strstr(n->name, "KVM_CAP_"));
		assert_non_null(n->since);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_something_else),
		cmocka_unit_test(test_needs_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
