// SPDX-License-Identifier: Apache-2.0
/*
 * no-map-file PROGRAM ARGUMENT...: runs it as on a kernel whose iommufd cannot map files (Linux
 * before 6.14): IOMMU_IOAS_MAP_FILE has the answer of a call that there is not, ENOTTY. By a filter
 * of system calls (Linux Documentation/userspace-api/seccomp_filter.rst).
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/iommufd.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned int)offsetof(struct seccomp_data, field))

int main(int argc, char **argv)
{
	/* The low half of an argument comes first on x86. */
	struct sock_filter filter[] = {
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		LOAD(args[1]),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IOMMU_IOAS_MAP_FILE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]),
					   .filter = filter};

	if (argc < 2) {
		fprintf(stderr, "usage: no-map-file PROGRAM ARGUMENT...\n");
		return 2;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		perror("no-map-file: prctl");
		return 1;
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 1;
}
