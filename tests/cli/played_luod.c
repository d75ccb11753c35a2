/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real luod on a played kernel (tests/unit/luod_bench_kernel.c), for what a client meets in an
 * update: its kexec is an exec of the program itself, which then finds what "the previous kernel"
 * handed over. Real kernels are for tests/host.
 *
 * HOLDFAST_PLAYED_STATE names the file that goes from one life to the next.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/unit/luod_bench.h"

static char **arguments;

static int copy(int from, int to)
{
	char buf[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(from, buf, sizeof(buf), at)) > 0) {
		if (pwrite(to, buf, (size_t)n, at) != n)
			return -1;
		at += n;
	}
	return n < 0 ? -1 : 0;
}

static void at_reboot(void *opaque)
{
	_cleanup_fd_ int fd = open(opaque, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || copy(bench_kernel.written_fd, fd) < 0)
		return;
	execv("/proc/self/exe", arguments);
}

/* glibc gives constructors what main() gets. */
__attribute__((constructor)) static void set_up(int argc _unused_, char **argv)
{
	char *path = getenv("HOLDFAST_PLAYED_STATE");

	arguments = argv;
	bench_kernel.reboot_error = EBUSY;
	bench_kernel.registry_fd = FD_NONE;
	if (!path)
		return;
	bench_kernel.at_reboot = at_reboot;
	bench_kernel.opaque = path;
	bench_kernel.registry_fd = open(path, O_RDWR | O_CLOEXEC);
	bench_kernel.host_session = bench_kernel.registry_fd >= 0;
	/* Handed over once: a luod that is started again finds nothing. */
	unlink(path);
}
