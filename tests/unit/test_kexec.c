/* SPDX-License-Identifier: Apache-2.0 */
/* luo/kexec: command lines that would lose the guests, and what the kernel's refusals become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/kexec.h"

static int syscall_errno;

long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	assert_true(number == SYS_kexec_file_load || number == SYS_reboot);
	errno = syscall_errno;
	return syscall_errno ? -1 : 0;
}

static void check(const char *cmdline, const char *running, int expected, const char *says)
{
	struct error err = ERROR_INIT;

	assert_int_equal(kexec_check_cmdline(cmdline, running, &err), expected);
	if (expected && !strstr(err.message, says))
		fail_msg("\"%s\" does not say \"%s\"", err.message, says);
}

static void test_cmdline(void **state _unused_)
{
	char big[KEXEC_CMDLINE_MAX + 1];

	check("liveupdate=on kho=on", "", 0, NULL);
	check("liveupdate=on", "liveupdate=on", 0, NULL);
	check("liveupdate=on", "kho=on liveupdate=on", -EINVAL, "without kho=on");
	check("kho=on", "", -EINVAL, "without liveupdate=on");
	check("liveupdate=off kho=on", "", -EINVAL, "without liveupdate=on");
	check("liveupdate=on kho=off", "", -EINVAL, "with kho off");
	memset(big, 'a', sizeof(big));
	big[KEXEC_CMDLINE_MAX] = '\0';
	check(big, "", -EINVAL, "it may have 2047");
}

static void test_reuse(void **state _unused_)
{
	char cmdline[KEXEC_CMDLINE_MAX];
	struct error err = ERROR_INIT;

	assert_int_equal(kexec_reuse_cmdline(cmdline, &err), 0);
	assert_null(strstr(cmdline, "BOOT_IMAGE="));
	assert_null(strchr(cmdline, '\n'));
}

static void test_load_refused(void **state _unused_)
{
	static const struct {
		int code;
		const char *says;
	} refusals[] = {
		{EADDRNOTAVAIL, "kho_scratch="},
		{ENOEXEC, "give a bzImage"},
		{EINVAL, "not a bootable image"},
		{EBUSY, "try again"},
		{EPERM, "CAP_SYS_BOOT"},
		{EKEYREJECTED, "signature"},
		{ENOKEY, "signature"},
		{ENODATA, "not signed"},
		{EBADMSG, "signature is broken"},
		{ENOSYS, "CONFIG_KEXEC_FILE"},
		{ENOMEM, "out of memory"},
		{EFBIG, "too large"},
		{EFAULT, "see the kernel log"},
	};
	struct kexec_image image = {
		.kernel = "/dev/null", .initrd = "/dev/zero", .cmdline = "kho=on"};

	for (unsigned int i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct error err = ERROR_INIT;

		syscall_errno = refusals[i].code;
		assert_int_equal(kexec_load(&image, &err), -refusals[i].code);
		assert_non_null(strstr(err.message, refusals[i].says));
		assert_non_null(strstr(err.message, "kernel /dev/null with initrd /dev/zero"));
	}
	syscall_errno = 0;
	assert_int_equal(kexec_load(&image, NULL), 0);
	image.initrd = NULL;
	assert_int_equal(kexec_load(&image, NULL), 0);
	assert_int_equal(kexec_unload(NULL), 0);
}

static void test_missing_files(void **state _unused_)
{
	struct kexec_image image = {.kernel = "/nonexistent/bzImage", .cmdline = ""};
	struct error err = ERROR_INIT;

	assert_int_equal(kexec_load(&image, &err), -ENOENT);
	assert_non_null(strstr(err.message, "kernel /nonexistent/bzImage"));
	image.kernel = "/dev/null";
	image.initrd = "/nonexistent/initrd";
	assert_int_equal(kexec_load(&image, &err), -ENOENT);
	assert_non_null(strstr(err.message, "initrd /nonexistent/initrd"));
}

static void test_reboot_refused(void **state _unused_)
{
	static const int codes[] = {EINVAL, EBUSY, EPERM, EIO, ENOENT};

	for (unsigned int i = 0; i < ARRAY_SIZE(codes); i++) {
		struct error err = ERROR_INIT;

		syscall_errno = codes[i];
		assert_int_equal(kexec_reboot(&err), -codes[i]);
		assert_non_null(strstr(err.message, "reboot into the loaded kernel: "));
	}
	/* A success that returns is a failure. */
	syscall_errno = 0;
	assert_int_equal(kexec_reboot(NULL), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cmdline),	       cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_load_refused),   cmocka_unit_test(test_missing_files),
		cmocka_unit_test(test_reboot_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
