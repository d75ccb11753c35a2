// SPDX-License-Identifier: Apache-2.0
/*
 * state-edit: changes a saved state as a later version of us, or a fault, might have.
 *
 *   state-edit FILE newer NODE    the node says it was written by a version that nobody knows yet
 *   state-edit FILE unknown       there is a node of a kind that nobody knows (the first one's name
 * is changed) state-edit FILE flip          one bit in the middle is wrong state-edit FILE nodes
 * lists the nodes
 *
 * FILE may be /proc/PID/fd/N. All but flip leave a right checksum.
 */
#include <fcntl.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/util.h"

#define VERSION_OF_THE_FUTURE 999U

static int reseal(void *fdt)
{
	if (fdt_setprop_inplace_u32(fdt, 0, "checksum", 0) < 0)
		return -1;
	return fdt_setprop_inplace_u32(fdt, 0, "checksum",
				       (uint32_t)crc32_z(0, fdt, fdt_totalsize(fdt)));
}

static int newer(void *fdt, const char *name)
{
	int node = fdt_subnode_offset(fdt, 0, name);

	if (node < 0 || fdt_setprop_inplace_u32(fdt, node, "version", VERSION_OF_THE_FUTURE) < 0)
		return -1;
	return reseal(fdt);
}

/* In place: a name of the same length. */
static int unknown(char *fdt)
{
	int node = fdt_first_subnode(fdt, 0), length;
	const char *name = node < 0 ? NULL : fdt_get_name(fdt, node, &length);

	if (!name || length < 1)
		return -1;
	fdt[name - fdt] = 'z';
	return reseal(fdt);
}

static int flip(unsigned char *fdt)
{
	fdt[fdt_totalsize(fdt) / 2] ^= 0x10;
	return 0;
}

static int replace(char *fdt, const char *from, const char *to)
{
	size_t length = strlen(from);
	char *end = fdt + fdt_totalsize(fdt), *at = fdt;

	if (length == 0 || strlen(to) != length)
		return -1;
	while ((at = memmem(at, (size_t)(end - at), from, length)))
		memcpy(at, to, length);
	return reseal(fdt);
}

static int list(const void *fdt)
{
	int node;

	fdt_for_each_subnode(node, fdt, 0) puts(fdt_get_name(fdt, node, NULL));
	return 0;
}

static int edit(void *fdt, int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "newer"))
		return newer(fdt, "machine");
	if (argc == 3 && !strcmp(argv[1], "newer"))
		return newer(fdt, argv[2]);
	if (argc == 2 && !strcmp(argv[1], "unknown"))
		return unknown(fdt);
	if (argc == 2 && !strcmp(argv[1], "flip"))
		return flip(fdt);
	if (argc == 4 && !strcmp(argv[1], "replace"))
		return replace(fdt, argv[2], argv[3]);
	if (argc == 2 && !strcmp(argv[1], "nodes"))
		return list(fdt);
	fprintf(stderr,
		"Usage: state-edit FILE newer NODE | unknown | flip | replace A B | nodes\n");
	return -1;
}

int main(int argc, char **argv)
{
	_cleanup_fd_ int fd = argc > 1 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	struct stat info;
	void *fdt;

	if (fd < 0 || fstat(fd, &info) < 0) {
		perror("state-edit: the file cannot be opened");
		return 1;
	}
	/* Not a shared mapping: the run folder is a file system without any. */
	fdt = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (fdt == MAP_FAILED) {
		perror("state-edit: the file cannot be mapped");
		return 1;
	}
	if (fdt_check_header(fdt) < 0 || fdt_totalsize(fdt) > (uint64_t)info.st_size) {
		fprintf(stderr, "state-edit: %s holds no state\n", argv[1]);
		return 1;
	}
	if (edit(fdt, argc - 1, argv + 1) < 0)
		return 1;
	if (pwrite(fd, fdt, fdt_totalsize(fdt), 0) != (ssize_t)fdt_totalsize(fdt)) {
		perror("state-edit: the file cannot be written");
		return 1;
	}
	return 0;
}
