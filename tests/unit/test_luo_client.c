/* SPDX-License-Identifier: Apache-2.0 */
/*
 * luo/client against a kernel that answers with every errno: what the caller gets, and that the
 * message names session, object, reason and way out. open and ioctl are the linker's --wrap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/liveupdate.h>

#include "base/clock.h"
#include "base/util.h"
#include "luo/client.h"
#include "luo/device.h"

/* What the kernel under test answers; 0: success. */
static struct {
	int open_errno;
	int open_busy_times; /* EBUSY this often, then open_errno */
	unsigned int opens;
	int ioctl_errno;
	bool nameless; /* GET_NAME fails as well */
	unsigned long request;
	uint64_t token;
	int fd;
	char name[LUO_SESSION_NAME_SIZE];
} the_kernel;

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_open64(const char *path, int flags, ...)
{
	if (strcmp(path, LUO_DEVICE) != 0)
		return __real_open64(path, flags, 0);
	the_kernel.opens++;
	if (the_kernel.open_busy_times > 0) {
		the_kernel.open_busy_times--;
		errno = EBUSY;
		return -1;
	}
	if (the_kernel.open_errno) {
		errno = the_kernel.open_errno;
		return -1;
	}
	return __real_open64("/dev/null", O_RDWR | O_CLOEXEC, 0);
}

static int answer_name(void *arg)
{
	struct liveupdate_session_get_name *get = arg;

	if (the_kernel.nameless) {
		errno = ENOTTY;
		return -1;
	}
	snprintf((char *)get->name, sizeof(get->name), "vm:web1");
	return 0;
}

int __wrap_ioctl(int fd _unused_, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == LIVEUPDATE_SESSION_GET_NAME)
		return answer_name(arg);
	the_kernel.request = request;
	if (the_kernel.ioctl_errno) {
		errno = the_kernel.ioctl_errno;
		return -1;
	}
	if (request == LIVEUPDATE_IOCTL_CREATE_SESSION ||
	    request == LIVEUPDATE_IOCTL_RETRIEVE_SESSION) {
		struct liveupdate_ioctl_create_session *create = arg;

		assert_int_equal(create->size, sizeof(*create));
		memcpy(the_kernel.name, create->name, sizeof(the_kernel.name));
		create->fd = __real_open64("/dev/null", O_RDONLY, 0);
	} else if (request == LIVEUPDATE_SESSION_PRESERVE_FD) {
		struct liveupdate_session_preserve_fd *preserve = arg;

		the_kernel.token = preserve->token;
		the_kernel.fd = preserve->fd;
	} else if (request == LIVEUPDATE_SESSION_RETRIEVE_FD) {
		struct liveupdate_session_retrieve_fd *retrieve = arg;

		the_kernel.token = retrieve->token;
		retrieve->fd = __real_open64("/dev/null", O_RDONLY, 0);
	}
	return 0;
}

static int reset(void **state _unused_)
{
	memset(&the_kernel, 0, sizeof(the_kernel));
	return 0;
}

static void assert_says(const struct error *err, const char *text)
{
	if (!strstr(err->message, text))
		fail_msg("\"%s\" does not say \"%s\"", err->message, text);
}

static void test_success(void **state _unused_)
{
	struct error err = ERROR_INIT;
	char name[LUO_SESSION_NAME_SIZE];
	int fd = -1, session = -1;

	assert_int_equal(luo_probe(0, &err), 0);
	assert_int_equal(luo_session_create("vm:web1", 0, &session, &err), 0);
	assert_string_equal(the_kernel.name, "vm:web1");
	assert_int_equal(the_kernel.request, LIVEUPDATE_IOCTL_CREATE_SESSION);
	assert_int_equal(fcntl(session, F_GETFD), FD_CLOEXEC);
	assert_int_equal(luo_session_preserve_fd(session, 5, 0x100, "guest memory 0", &err), 0);
	assert_int_equal(the_kernel.token, 0x100);
	assert_int_equal(the_kernel.fd, 5);
	assert_int_equal(luo_session_retrieve_fd(session, 0x101, "guest memory 1", &fd, &err), 0);
	assert_int_equal(the_kernel.token, 0x101);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(luo_session_finish(session, &err), 0);
	assert_int_equal(the_kernel.request, LIVEUPDATE_SESSION_FINISH);
	assert_int_equal(luo_session_name(session, name, &err), 0);
	assert_string_equal(name, "vm:web1");
	close(fd);
	close(session);
}

struct refusal {
	int kernel, expected;
	const char *says;
};

static void check_refusals(const struct refusal *refusals, unsigned int count,
			   int (*call)(struct error *err), const char *object)
{
	for (unsigned int i = 0; i < count; i++) {
		struct error err = ERROR_INIT;

		the_kernel.ioctl_errno = refusals[i].kernel;
		assert_int_equal(call(&err), -refusals[i].expected);
		assert_int_equal(err.code, -refusals[i].expected);
		assert_says(&err, refusals[i].says);
		assert_says(&err, object);
		assert_says(&err, "vm:web1");
	}
}

static int call_create(struct error *err)
{
	int fd = -1;
	int r = luo_session_create("vm:web1", 0, &fd, err);

	assert_int_equal(fd, -1);
	return r;
}

static int call_retrieve(struct error *err)
{
	int fd = -1;
	int r = luo_session_retrieve("vm:web1", 0, &fd, err);

	assert_int_equal(fd, -1);
	return r;
}

static int call_preserve(struct error *err)
{
	return luo_session_preserve_fd(3, 4, 0x1ff, "guest memory 0", err);
}

static int call_retrieve_fd(struct error *err)
{
	int fd = -1;
	int r = luo_session_retrieve_fd(3, 0x1ff, "guest memory 0", &fd, err);

	assert_int_equal(fd, -1);
	return r;
}

static int call_finish(struct error *err)
{
	return luo_session_finish(3, err);
}

static void test_create_refused(void **state _unused_)
{
	static const struct refusal refusals[] = {
		{EEXIST, EEXIST, "abort the update that holds it"},
		{EINVAL, EINVAL, "1 to 63 bytes"},
		{ENOSPC, ENOSPC, "session table is full"},
		{ENOMEM, ENOMEM, "out of memory"},
		{EMFILE, EMFILE, "ulimit -n"},
		{ENFILE, ENFILE, "ulimit -n"},
		{ENOTTY, EOPNOTSUPP, "not the one of Linux 7.x"},
		{E2BIG, EOPNOTSUPP, "not the one of Linux 7.x"},
		{EOPNOTSUPP, EOPNOTSUPP, "not the one of Linux 7.x"},
		{EFAULT, EFAULT, "Bad address (see the kernel log)"},
	};

	check_refusals(refusals, ARRAY_SIZE(refusals), call_create, "cannot create it");
}

static void test_retrieve_refused(void **state _unused_)
{
	static const struct refusal refusals[] = {
		{ENOENT, ENOENT, "handed over no session of that name"},
		{EINVAL, EALREADY, "taken already in this boot"},
		{ENOMEM, ENOMEM, "out of memory"},
		{EMFILE, EMFILE, "ulimit -n"},
		{ENFILE, ENFILE, "ulimit -n"},
		{ENOTTY, EOPNOTSUPP, "not the one of Linux 7.x"},
		{E2BIG, EOPNOTSUPP, "not the one of Linux 7.x"},
		{EOPNOTSUPP, EOPNOTSUPP, "not the one of Linux 7.x"},
		{EFAULT, EFAULT, "see the kernel log"},
	};

	check_refusals(refusals, ARRAY_SIZE(refusals), call_retrieve, "cannot retrieve it");
}

static void test_preserve_refused(void **state _unused_)
{
	static const struct refusal refusals[] = {
		{ENOENT, ENOENT, "memfd without huge pages"},
		{EBUSY, EBUSY, "finish before the next prepare"},
		{EEXIST, EEXIST, "token of its own"},
		{EBADF, EBADF, "not open"},
		{EOPNOTSUPP, EOPNOTSUPP, "MFD_EXEC|MFD_ALLOW_SEALING"},
		{EFBIG, EFBIG, "split it"},
		{ENOMEM, ENOMEM, "fills every hole"},
		{ENOSPC, ENOSPC, "session is full"},
		{EPERM, EPERM, "does not allow"},
		{EINVAL, EINVAL, "create a new session"},
		{ENOTTY, ENOTTY, "not a live update session"},
		{E2BIG, EOPNOTSUPP, "not the one of Linux 7.x"},
		{EIO, EIO, "see the kernel log"},
	};

	check_refusals(refusals, ARRAY_SIZE(refusals), call_preserve,
		       "guest memory 0 (token 0x1ff)");
}

static void test_retrieve_fd_refused(void **state _unused_)
{
	static const struct refusal refusals[] = {
		{ENOENT, ENOENT, "preserved nothing under that token"},
		{EINVAL, EINVAL, "nothing to give back"},
		{EMFILE, EMFILE, "ulimit -n"},
		{ENFILE, ENFILE, "ulimit -n"},
		{ENOMEM, ENOMEM, "cannot be had back"},
		{ENODEV, ENODEV, "load the driver"},
		{EOPNOTSUPP, EOPNOTSUPP, "not give it back"},
		{ENOTTY, ENOTTY, "not a live update session"},
		{E2BIG, EOPNOTSUPP, "not the one of Linux 7.x"},
		{EIO, EIO, "repeat this answer"},
	};

	check_refusals(refusals, ARRAY_SIZE(refusals), call_retrieve_fd,
		       "guest memory 0 (token 0x1ff)");
}

static void test_finish_refused(void **state _unused_)
{
	static const struct refusal refusals[] = {
		{EBUSY, EBUSY, "retrieve every device"},
		{EINVAL, EINVAL, "close it to give it up"},
		{EBADF, EBADF, "not open"},
		{ENOTTY, ENOTTY, "not a live update session"},
		{E2BIG, EOPNOTSUPP, "not the one of Linux 7.x"},
		{EIO, EIO, "is kept"},
	};

	check_refusals(refusals, ARRAY_SIZE(refusals), call_finish, "cannot finish it");
}

static void test_nameless_session(void **state _unused_)
{
	struct error err = ERROR_INIT;
	char name[LUO_SESSION_NAME_SIZE];

	the_kernel.nameless = true;
	the_kernel.ioctl_errno = EBUSY;
	assert_int_equal(luo_session_finish(3, &err), -EBUSY);
	assert_says(&err, "session (descriptor 3)");
	assert_int_equal(luo_session_name(3, name, &err), -ENOTTY);
	assert_says(&err, "not a live update session");
}

static void test_names(void **state _unused_)
{
	struct error err = ERROR_INIT;
	char name[LUO_SESSION_NAME_SIZE + 1];
	int fd = -1;

	memset(name, 'a', sizeof(name));
	name[64] = '\0';
	assert_int_equal(luo_session_create(name, 0, &fd, &err), -ENAMETOOLONG);
	assert_says(&err, "64 bytes");
	assert_int_equal(the_kernel.opens, 0);
	name[63] = '\0';
	assert_int_equal(luo_session_create(name, 0, &fd, &err), 0);
	assert_string_equal(the_kernel.name, name);
	close(fd);
	assert_int_equal(luo_session_create("", 0, &fd, &err), -EINVAL);
}

static void test_open_refused(void **state _unused_)
{
	static const struct refusal refusals[] = {
		{EACCES, EACCES, "run as root"},
		{EPERM, EPERM, "run as root"},
		{EIO, EIO, "could not take over"},
		{EMFILE, EMFILE, "ulimit -n"},
		{ENFILE, ENFILE, "fs.file-max"},
		{ENOMEM, ENOMEM, "out of memory"},
		{EBUSY, EBUSY, "another process"},
		{ENOENT, ENOENT, LUO_DEVICE},
		{ENXIO, ENOENT, LUO_DEVICE},
		{ENODEV, ENOENT, LUO_DEVICE},
		{EINVAL, EINVAL, "see the kernel log"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct error err = ERROR_INIT;
		int fd;

		the_kernel.open_errno = refusals[i].kernel;
		assert_int_equal(luo_probe(0, &err), -refusals[i].expected);
		assert_says(&err, refusals[i].says);
		assert_int_equal(luo_session_create("vm:web1", 0, &fd, &err),
				 -refusals[i].expected);
		assert_says(&err, "session vm:web1: ");
	}
}

static void test_open_waits(void **state _unused_)
{
	uint64_t begin = clock_monotonic_ns();
	struct error err = ERROR_INIT;

	the_kernel.open_busy_times = 5;
	assert_int_equal(luo_probe(60000, &err), 0);
	assert_int_equal(the_kernel.opens, 6);
	/* The deadline holds, and the tries are spaced: doubling from 1 to 50 ms. */
	the_kernel.open_busy_times = 1 << 30;
	the_kernel.opens = 0;
	begin = clock_monotonic_ns();
	assert_int_equal(luo_probe(200, &err), -EBUSY);
	assert_true(clock_monotonic_ns() - begin >= 200 * NSEC_PER_MSEC);
	assert_in_range(the_kernel.opens, 2, 16);
}

static void explain(const char *cmdline, const char *config, bool listed, const char *says)
{
	struct luo_host_facts facts = {.cmdline = cmdline, .config = config, .misc_listed = listed};
	struct error err = ERROR_INIT;

	assert_int_equal(luo_explain_absence(&facts, &err), -ENOENT);
	assert_says(&err, says);
}

static void test_absence(void **state _unused_)
{
	static const char with[] = "CONFIG_KEXEC_HANDOVER=y\nCONFIG_LIVEUPDATE=y\n";
	static const char with_default[] =
		"CONFIG_LIVEUPDATE=y\nCONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y";
	static const char without[] =
		"CONFIG_KEXEC_HANDOVER=y\n# CONFIG_LIVEUPDATE is not set\nCONFIG_LIVEUPDATE=yes\n";

	explain("quiet", with, true, "mount devtmpfs");
	explain("liveupdate=on", without, false, "without CONFIG_LIVEUPDATE");
	explain(NULL, with, false, "mount /proc");
	explain("quiet", with, false, "boot with liveupdate=on");
	explain("quiet", NULL, false, "does not show its configuration");
	explain("liveupdate=off kho=on", with, false, "boot with liveupdate=on");
	explain("xliveupdate=on", with, false, "boot with liveupdate=on");
	explain("quiet -- liveupdate=on", with, false, "boot with liveupdate=on");
	explain("liveupdate=on", with, false, "kexec handover is off");
	explain("kho=off liveupdate=1\n", with_default, false, "kexec handover is off");
	explain("liveupdate=on", with_default, false, "turned itself off");
	explain("liveupdate=on kho=y", with, false, "turned itself off");
	explain("liveupdate=on", NULL, false, "turned itself off");
}

static void test_switch(void **state _unused_)
{
	bool on = false;

	assert_int_equal(luo_cmdline_switch("", "kho", &on), -ENOENT);
	assert_int_equal(luo_cmdline_switch("kho", "kho", &on), -ENOENT);
	assert_int_equal(luo_cmdline_switch("a kho=on", "kho", &on), 0);
	assert_true(on);
	assert_int_equal(luo_cmdline_switch("kho=on kho=0 b", "kho", &on), 0);
	assert_false(on);
	assert_int_equal(luo_cmdline_switch("kho=", "kho", &on), 0);
	assert_false(on);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_success, reset),
		cmocka_unit_test_setup(test_create_refused, reset),
		cmocka_unit_test_setup(test_retrieve_refused, reset),
		cmocka_unit_test_setup(test_preserve_refused, reset),
		cmocka_unit_test_setup(test_retrieve_fd_refused, reset),
		cmocka_unit_test_setup(test_finish_refused, reset),
		cmocka_unit_test_setup(test_nameless_session, reset),
		cmocka_unit_test_setup(test_names, reset),
		cmocka_unit_test_setup(test_open_refused, reset),
		cmocka_unit_test_setup(test_open_waits, reset),
		cmocka_unit_test(test_absence),
		cmocka_unit_test(test_switch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
