/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/guest_memory: layout, memfd flags and seals, adoption, and every edge of the one pointer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/util.h"
#include "vmm/guest_memory.h"
#include "vmm/guest_memory_fd.h"

/* include/uapi/linux/memfd.h and fcntl.h, said again so that a slip in ours shows. */
#define SPEC_MFD_EXEC		 0x0010U
#define SPEC_F_SEAL_EXEC	 0x0020
#define SPEC_F_SEAL_FUTURE_WRITE 0x0010

#define TIB (1024 * GIB)

/* ---- Layout. ---- */

static void check_layout(uint64_t size, unsigned int count)
{
	struct guest_memory_layout layout;
	uint64_t total = 0, next = 0;

	assert_int_equal(guest_memory_layout(size, &layout, NULL), 0);
	assert_int_equal(layout.count, count);
	for (unsigned int i = 0; i < layout.count; i++) {
		uint64_t gpa = layout.regions[i].gpa, len = layout.regions[i].size;

		assert_true(len > 0 && len < TIB);
		assert_int_equal(gpa % (2 * MIB), 0);
		assert_int_equal(len % (2 * MIB), 0);
		assert_true(gpa >= next);
		assert_true(gpa + len <= 0xc0000000ULL || gpa >= 0x100000000ULL);
		next = gpa + len;
		total += len;
	}
	assert_int_equal(total, size);
	assert_int_equal(layout.regions[0].gpa, 0);
	if (count > 1)
		assert_int_equal(layout.regions[1].gpa, 4 * GIB);
}

static void test_layout(void **state _unused_)
{
	check_layout(32 * MIB, 1);
	check_layout(512 * MIB, 1);
	check_layout(3 * GIB - 2 * MIB, 1);
	check_layout(3 * GIB, 1);
	check_layout(3 * GIB + 2 * MIB, 2);
	check_layout(4 * GIB, 2);
	check_layout(5 * GIB, 2);
	check_layout(515 * GIB, 2);
	check_layout(515 * GIB + 2 * MIB, 3);
	check_layout(1 * TIB, 3);
	check_layout(2 * TIB, 5);
	check_layout(4 * TIB, 9);
	for (uint64_t size = 32 * MIB; size <= 4 * TIB; size *= 2) {
		uint64_t high = size > 3 * GIB ? size - 3 * GIB : 0;

		check_layout(size, (unsigned int)(1 + (high + 512 * GIB - 1) / (512 * GIB)));
	}
}

static void test_layout_refuses(void **state _unused_)
{
	static const uint64_t sizes[] = {
		0,
		1,
		32 * MIB - 1,
		32 * MIB - 2 * MIB,
		32 * MIB + 1,
		33 * MIB,
		5 * GIB + 4096,
		4 * TIB + 2 * MIB,
		UINT64_MAX,
		UINT64_MAX - 2 * MIB + 1,
	};
	struct guest_memory_layout layout;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct error err = ERROR_INIT;
		struct guest_ram *ram = NULL;

		assert_int_equal(guest_memory_layout(sizes[i], &layout, &err), -EINVAL);
		assert_non_null(strstr(err.message, "2 MiB"));
		assert_int_equal(guest_ram_create(sizes[i], &ram, NULL), -EINVAL);
		assert_null(ram);
	}
}

/* ---- Fresh memory. ---- */

static struct guest_ram *create(uint64_t size)
{
	struct error err = ERROR_INIT;
	struct guest_ram *ram = NULL;

	if (guest_ram_create(size, &ram, &err) < 0)
		fail_msg("%s", err.message);
	return ram;
}

static void test_create(void **state _unused_)
{
	struct guest_ram *ram = create(5 * GIB);

	assert_int_equal(guest_ram_size(ram), 5 * GIB);
	assert_int_equal(guest_ram_region_count(ram), 2);
	assert_null(guest_ram_region(ram, 2));
	for (unsigned int i = 0; i < 2; i++) {
		const struct guest_memory_region *region = guest_ram_region(ram, i);
		char path[64], name[128] = "";
		struct stat st;

		assert_int_equal((uintptr_t)region->hva % (2 * MIB), 0);
		assert_int_equal(fstat(region->fd, &st), 0);
		assert_int_equal(st.st_size, region->size);
		/* The two facts that decide whether the memory is writable after a live update. */
		assert_int_equal(st.st_mode & 0111, 0111);
		assert_int_equal(fcntl(region->fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
		assert_int_equal(fcntl(region->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		assert_int_equal(ftruncate(region->fd, 4096), -1);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", region->fd);
		assert_true(readlink(path, name, sizeof(name) - 1) > 0);
		snprintf(path, sizeof(path), "/memfd:holdfast-ram-%u", i);
		assert_memory_equal(name, path, strlen(path));
	}
	guest_ram_free(ram);
	guest_ram_free(NULL);
}

/* The mapping's flags as the kernel reports them: no core dumps, shared, huge pages. */
static void test_mapping_flags(void **state _unused_)
{
	struct guest_ram *ram = create(32 * MIB);
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char line[512], start[32];
	bool inside = false, seen = false;

	assert_non_null(smaps);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)guest_ram_region(ram, 0)->hva);
	while (fgets(line, sizeof(line), smaps)) {
		if (strncmp(line, start, strlen(start)) == 0)
			inside = true;
		if (inside && strncmp(line, "VmFlags:", 8) == 0) {
			assert_non_null(strstr(line, " dd")); /* MADV_DONTDUMP */
			assert_non_null(strstr(line, " sh"));
			if (access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0)
				assert_non_null(strstr(line, " hg")); /* MADV_HUGEPAGE */
			seen = true;
			break;
		}
	}
	assert_true(seen);
	fclose(smaps);
	guest_ram_free(ram);
}

/* ---- The pointer. ---- */

static void check_edges(const struct guest_ram *ram, uint64_t start, uint64_t end)
{
	const uint8_t *first = guest_ram_ptr(ram, start, 1);
	uint64_t size = end - start;

	assert_non_null(first);
	assert_ptr_equal(guest_ram_ptr(ram, start, size), first);
	assert_ptr_equal(guest_ram_ptr(ram, end - 1, 1), first + size - 1);
	assert_ptr_equal(guest_ram_ptr(ram, start + 1, size - 1), first + 1);
	assert_null(guest_ram_ptr(ram, start, size + 1));
	assert_null(guest_ram_ptr(ram, end - 1, 2));
	assert_null(guest_ram_ptr(ram, end, 1));
	assert_null(guest_ram_ptr(ram, start, 0));
	assert_null(guest_ram_ptr(ram, end, 0));
	/* Lengths and addresses whose sum wraps. */
	assert_null(guest_ram_ptr(ram, start, UINT64_MAX));
	assert_null(guest_ram_ptr(ram, end - 1, UINT64_MAX));
	assert_null(guest_ram_ptr(ram, start + 1, UINT64_MAX - start));
	assert_null(guest_ram_ptr(ram, UINT64_MAX, 2));
	assert_null(guest_ram_ptr(ram, UINT64_MAX, 1));
	if (start > 0) {
		assert_null(guest_ram_ptr(ram, start - 1, 1));
		assert_null(guest_ram_ptr(ram, start - 1, 2));
		assert_null(guest_ram_ptr(ram, start - 1, UINT64_MAX - start + 2));
	}
}

static void test_ptr(void **state _unused_)
{
	struct guest_ram *ram = create(64 * MIB);

	check_edges(ram, 0, 64 * MIB);
	guest_ram_free(ram);

	ram = create(5 * GIB);
	check_edges(ram, 0, 3 * GIB);
	check_edges(ram, 4 * GIB, 6 * GIB);
	assert_null(guest_ram_ptr(ram, 3 * GIB - 1, GIB + 2)); /* across the hole */
	assert_null(guest_ram_ptr(ram, 0, 5 * GIB));
	assert_null(guest_ram_ptr(ram, 3 * GIB + GIB / 2, 1)); /* inside it */
	guest_ram_free(ram);
}

/* Two memfds that touch in the guest are one piece: a buffer may lie across their border. */
static void test_ptr_across_regions(void **state _unused_)
{
	struct guest_ram *ram = create(516 * GIB);
	const struct guest_memory_region *last = guest_ram_region(ram, 2);
	uint64_t border = 516 * GIB, in = 0x1122334455667788ULL, out = 0;

	assert_int_equal(last->gpa, border);
	check_edges(ram, 4 * GIB, 517 * GIB);
	assert_non_null(guest_ram_ptr(ram, border - 1, 2));
	assert_ptr_equal(guest_ram_ptr(ram, border, 1), last->hva);
	assert_int_equal(guest_ram_write(ram, border - 3, &in, sizeof(in)), 0);
	assert_int_equal(guest_ram_read(ram, border - 3, &out, sizeof(out)), 0);
	assert_int_equal(out, in);
	/* Each half is in its own memfd. */
	assert_int_equal(pread(last->fd, &out, 5, 0), 5);
	assert_memory_equal(&out, (uint8_t *)&in + 3, 5);
	guest_ram_free(ram);
}

static void test_copies_and_view(void **state _unused_)
{
	struct guest_ram *ram = create(32 * MIB);
	struct guest_memory view = guest_ram_view(ram);
	uint8_t in[16] = "fifteen letters", out[16] = {0};

	assert_int_equal(guest_ram_write(ram, 32 * MIB - 16, in, 16), 0);
	assert_int_equal(guest_ram_read(ram, 32 * MIB - 16, out, 16), 0);
	assert_memory_equal(in, out, 16);
	assert_int_equal(guest_ram_write(ram, 32 * MIB - 15, in, 16), -EFAULT);
	assert_int_equal(guest_ram_read(ram, 32 * MIB - 15, out, 16), -EFAULT);
	assert_int_equal(guest_ram_read(ram, UINT64_MAX - 7, out, 16), -EFAULT);
	assert_int_equal(guest_ram_write(ram, 32 * MIB, in, 0), 0);
	assert_int_equal(guest_ram_read(ram, 0, out, 16), 0);
	assert_memory_equal(out, ((uint8_t[16]){0}), 16);

	assert_ptr_equal(view.ptr(view.opaque, 4096, 1), guest_ram_ptr(ram, 4096, 1));
	assert_null(view.ptr(view.opaque, 32 * MIB, 1));
	guest_ram_free(ram);
}

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
	r = guest_ram_create(32 * MIB, &ram, &err);
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
			r = guest_ram_create(4 * TIB, &ram, &err);
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
	struct guest_ram *ram = create(5 * GIB), *again = NULL;
	struct error err = ERROR_INIT;
	uint64_t value = 42;
	int fds[2];

	assert_int_equal(guest_ram_write(ram, 5 * GIB, &value, sizeof(value)), 0);
	for (unsigned int i = 0; i < 2; i++)
		fds[i] = fcntl(guest_ram_region(ram, i)->fd, F_DUPFD_CLOEXEC, 0);
	guest_ram_free(ram);

	assert_int_equal(guest_ram_adopt(5 * GIB, fds, 2, &again, &err), 0);
	assert_int_equal(fds[0], FD_NONE);
	assert_int_equal(fds[1], FD_NONE);
	value = 0;
	assert_int_equal(guest_ram_read(again, 5 * GIB, &value, sizeof(value)), 0);
	assert_int_equal(value, 42);
	check_edges(again, 4 * GIB, 6 * GIB);
	guest_ram_free(again);
}

/* A kernel that loses seals (before luo's memfd-v2): they are put back. */
static void test_adopt_seals_again(void **state _unused_)
{
	int fd = preserved(32 * MIB, 0);
	struct guest_ram *ram = NULL;

	assert_int_equal(guest_ram_adopt(32 * MIB, &fd, 1, &ram, NULL), 0);
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

	assert_int_equal(guest_ram_adopt(size, fds, count, &ram, &err), code);
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
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_layout_refuses),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_mapping_flags),
		cmocka_unit_test(test_ptr),
		cmocka_unit_test(test_ptr_across_regions),
		cmocka_unit_test(test_copies_and_view),
		cmocka_unit_test(test_memfd_variants),
		cmocka_unit_test(test_memfd_noexec),
		cmocka_unit_test(test_no_address_space),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_adopt_seals_again),
		cmocka_unit_test(test_adopt_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
