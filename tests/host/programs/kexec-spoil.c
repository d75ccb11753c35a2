// SPDX-License-Identifier: Apache-2.0
/*
 * kexec-spoil: waits until somebody has loaded a kernel for kexec, and at once makes its start
 * fail.
 *
 *   kexec-spoil unload                 takes the loaded kernel away again
 *   kexec-spoil hold KERNEL INITRD     keeps the kernel's kexec lock until it is killed: loads,
 * over and over, an initrd that is far too large, which takes seconds under the lock and changes
 * nothing
 *
 * Says "ready" once it waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOADED "/sys/kernel/kexec_loaded"
/* One has the lock, the others ask for it without a pause: when it is let go, it is taken again at
 * once. */
#define HOLDERS 3

static int kernel = -1, initrd = -1;

static int failed(const char *what)
{
	fprintf(stderr, "kexec-spoil: %s: %s\n", what, strerror(errno));
	return 1;
}

static int wait_loaded(void)
{
	int fd = open(LOADED, O_RDONLY | O_CLOEXEC);
	char loaded = '0';

	if (fd < 0)
		return failed(LOADED);
	puts("ready");
	fflush(stdout);
	/* The moment between the load and the start is short: no pause here either. */
	while (loaded != '1')
		if (pread(fd, &loaded, 1, 0) != 1)
			return failed(LOADED);
	close(fd);
	return 0;
}

static int unload(void)
{
	if (wait_loaded())
		return 1;
	if (syscall(SYS_kexec_file_load, -1, -1, 0UL, NULL, KEXEC_FILE_UNLOAD) < 0)
		return failed("unload");
	return 0;
}

static void *hold_on(void *arg)
{
	for (;;)
		syscall(SYS_kexec_file_load, kernel, initrd, 2UL, "x", 0UL);
	return arg;
}

static int hold(const char *kernel_path, const char *initrd_path)
{
	kernel = open(kernel_path, O_RDONLY | O_CLOEXEC);
	if (kernel < 0)
		return failed(kernel_path);
	initrd = open(initrd_path, O_RDONLY | O_CLOEXEC);
	if (initrd < 0)
		return failed(initrd_path);
	if (wait_loaded())
		return 1;
	for (int i = 1; i < HOLDERS; i++) {
		pthread_t thread;

		errno = pthread_create(&thread, NULL, hold_on, NULL);
		if (errno)
			return failed("thread");
	}
	hold_on(NULL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "unload"))
		return unload();
	if (argc == 4 && !strcmp(argv[1], "hold"))
		return hold(argv[2], argv[3]);
	fprintf(stderr, "Usage: kexec-spoil unload | hold KERNEL INITRD\n");
	return 2;
}
