/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/guest_memory: how its memfds are made on each kernel, and how preserved ones come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/util.h"
#include "tests/unit/guest_ram_test.h"
#include "vmm/guest_memory_fd.h"

/* include/uapi/linux/memfd.h and fcntl.h, said again so that a slip in ours shows. */
#define SPEC_MFD_EXEC		 0x0010U
#define SPEC_F_SEAL_EXEC	 0x0020
#define SPEC_F_SEAL_FUTURE_WRITE 0x0010

#define TIB (1024 * GIB)

/* ---- Making the memfd: kernels and policies that differ (failure paths only are faked). ---- */

static unsigned int fake_calls;

static int old_kernel(const char *name, unsigned int flags)
{
	fake_calls++;
	if (flags & SPEC_MFD_EXEC) {
		errno = EINVAL;
		return -1;
	}
	return memfd_create(name, flags);
}

/* Without MFD_EXEC and with vm.memfd_noexec=1, a memfd comes sealed F_SEAL_EXEC. */
static int noexec_kernel(const char *name, unsigned int flags)
{
	int fd = memfd_create(name, flags & ~SPEC_MFD_EXEC);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0666), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, SPEC_F_SEAL_EXEC), 0);
	return fd;
}

static int denying_policy(const char *name _unused_, unsigned int flags _unused_)
{
	errno = EACCES;
	return -1;
}

static int no_descriptors(const char *name _unused_, unsigned int flags _unused_)
{
	fake_calls++;
	errno = EMFILE;
	return -1;
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_memfd_variants(void **state _unused_)
{
	struct error err = ERROR_INIT;
	int fd = FD_NONE, before = count_fds();

	assert_int_equal(ram_fd_create(old_kernel, 0, 32 * MIB, &fd, &err), 0);
	assert_int_equal(fake_calls, 2);
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
	close_fdp(&fd);

	assert_int_equal(ram_fd_create(noexec_kernel, 3, 32 * MIB, &fd, &err), -EPERM);
	assert_non_null(strstr(err.message, "region 3"));
	assert_non_null(strstr(err.message, "vm.memfd_noexec"));

	assert_int_equal(ram_fd_create(denying_policy, 0, 32 * MIB, &fd, &err), -EPERM);
	assert_non_null(strstr(err.message, "executable memfd"));

	fake_calls = 0;
	assert_int_equal(ram_fd_create(no_descriptors, 0, 32 * MIB, &fd, &err), -EMFILE);
	assert_int_equal(fake_calls, 1);

	assert_int_equal(ram_fd_create(memfd_create, 0, 1ULL << 63, &fd, &err), -EINVAL);
	assert_int_equal(fd, FD_NONE);
	assert_int_equal(count_fds(), before);
}

/* In a PID namespace with the real setting; the exit status tells what happened. */
static int create_under_noexec(const char *value)
{
	struct error err = ERROR_INIT;
	struct guest_ram *ram = NULL;
	int r, fd = open("/proc/sys/vm/memfd_noexec", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, 1) != 1)
		return 10;
	close(fd);
	r = guest_ram_create(32 * MIB, NULL, &ram, &err);
	guest_ram_free(ram);
	if (r == -EPERM && strstr(err.message, "vm.memfd_noexec=2") &&
	    strstr(err.message, "sysctl"))
		return 2;
	return r == 0 ? 0 : 11;
}

static int run_in_pid_namespace(const char *value)
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		pid_t inner;

		if (unshare(CLONE_NEWPID) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0)
			_exit(12);
		inner = fork();
		if (inner == 0)
			_exit(create_under_noexec(value));
		if (inner < 0 || waitpid(inner, &status, 0) != inner || !WIFEXITED(status))
			_exit(13);
		_exit(WEXITSTATUS(status));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_memfd_noexec(void **state _unused_)
{
	if (access("/proc/sys/vm/memfd_noexec", F_OK) < 0) {
		print_message(
			"SKIPPED: this kernel has no vm.memfd_noexec (Linux 6.3 and later do)\n");
		skip();
	}
	assert_int_equal(run_in_pid_namespace("0"), 0);
	assert_int_equal(run_in_pid_namespace("1"), 0);
	assert_int_equal(run_in_pid_namespace("2"), 2);
}

static void test_no_address_space(void **state _unused_)
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		/* More than 47 bits of address space cannot be had: 40 guests of 4 TiB. */
		struct error err = ERROR_INIT;
		struct guest_ram *ram = NULL;
		int r = 0;

		for (int i = 0; i < 40 && r == 0; i++)
			r = guest_ram_create(4 * TIB, NULL, &ram, &err);
		_exit(r == -ENOMEM && strstr(err.message, "MiB") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- Memory that came back. ---- */

static int preserved(uint64_t size, int seals)
{
	int fd = memfd_create("", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void test_adopt(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(5 * GIB), *again = NULL;
	struct error err = ERROR_INIT;
	uint64_t value = 42;
	int fds[2];

	assert_int_equal(guest_ram_write(ram, 5 * GIB, &value, sizeof(value)), 0);
	for (unsigned int i = 0; i < 2; i++)
		fds[i] = fcntl(guest_ram_region(ram, i)->fd, F_DUPFD_CLOEXEC, 0);
	guest_ram_free(ram);

	assert_int_equal(guest_ram_adopt(5 * GIB, NULL, fds, 2, &again, &err), 0);
	assert_int_equal(fds[0], FD_NONE);
	assert_int_equal(fds[1], FD_NONE);
	value = 0;
	assert_int_equal(guest_ram_read(again, 5 * GIB, &value, sizeof(value)), 0);
	assert_int_equal(value, 42);
	assert_non_null(guest_ram_ptr(again, 4 * GIB, 2 * GIB));
	assert_null(guest_ram_ptr(again, 4 * GIB, 2 * GIB + 1));
	guest_ram_free(again);
}

/* A kernel that loses seals (before luo's memfd-v2): they are put back. */
static void test_adopt_seals_again(void **state _unused_)
{
	int fd = preserved(32 * MIB, 0);
	struct guest_ram *ram = NULL;

	assert_int_equal(guest_ram_adopt(32 * MIB, NULL, &fd, 1, &ram, NULL), 0);
	assert_int_equal(fcntl(guest_ram_region(ram, 0)->fd, F_GET_SEALS),
			 F_SEAL_SHRINK | F_SEAL_GROW);
	guest_ram_free(ram);
}

/* Refused with `code` and a word of the reason; the descriptor is still ours, and open. */
static void refuse(int fd, uint64_t size, unsigned int count, int code, const char *word)
{
	struct error err = ERROR_INIT;
	struct guest_ram *ram = NULL;
	int fds[2] = {fd, fd};

	assert_int_equal(guest_ram_adopt(size, NULL, fds, count, &ram, &err), code);
	assert_null(ram);
	if (!strstr(err.message, word))
		fail_msg("'%s' does not say '%s'", err.message, word);
	assert_int_equal(fds[0], fd);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);
}

static void test_adopt_refuses(void **state _unused_)
{
	int size_seals = F_SEAL_SHRINK | F_SEAL_GROW;

	refuse(preserved(32 * MIB - 4096, size_seals), 32 * MIB, 1, -EINVAL, "bytes");
	refuse(preserved(32 * MIB + 4096, size_seals), 32 * MIB, 1, -EINVAL, "bytes");
	refuse(preserved(0, size_seals), 32 * MIB, 1, -EINVAL, "bytes");
	refuse(preserved(32 * MIB, size_seals), 32 * MIB, 2, -EINVAL, "memfds");
	refuse(preserved(32 * MIB, size_seals), 32 * MIB, 0, -EINVAL, "memfds");
	refuse(preserved(3 * GIB, size_seals), 5 * GIB, 2, -EINVAL, "region 1");
	refuse(preserved(32 * MIB, size_seals), 31 * MIB, 1, -EINVAL, "2 MiB");
	refuse(preserved(32 * MIB, size_seals | F_SEAL_WRITE), 32 * MIB, 1, -EPERM, "writing");
	refuse(preserved(32 * MIB, size_seals | SPEC_F_SEAL_FUTURE_WRITE), 32 * MIB, 1, -EPERM,
	       "writing");
	refuse(preserved(32 * MIB, F_SEAL_SEAL), 32 * MIB, 1, -EPERM, "size seals");
	refuse(open("/dev/null", O_RDWR | O_CLOEXEC), 32 * MIB, 1, -EBADF, "no memfd");
	refuse(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), 32 * MIB, 1, -EBADF, "no memfd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memfd_variants),	  cmocka_unit_test(test_memfd_noexec),
		cmocka_unit_test(test_no_address_space),  cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_adopt_seals_again), cmocka_unit_test(test_adopt_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
