/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <fcntl.h>
#include <string.h>

#include "base/util.h"
#include "luo/physmem/file.h"

/* Dump formats that people have and that we do not read, by their first bytes. */
static const struct {
	const char *magic;
	const char *name;
} foreign[] = {
	{"KDUMP   ", "a compressed kdump"},
	{"DISKDUMP", "a diskdump"},
	{"makedumpfile", "a makedumpfile flattened dump"},
};

int physmem_open(const char *from, struct physmem **ret, struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE;
	char head[16] = {0};

	if (strcmp(from, "kcore") == 0)
		return physmem_open_kcore(PHYSMEM_KCORE, ret, err);
	if (strcmp(from, "mem") == 0)
		return physmem_open_devmem(ret, err);
	fd = open(from, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, -errno, "dump %s: cannot open", from);
	if (physmem_pread(fd, head, sizeof(head) - 1, 0) < 0)
		return error_set(err, -EINVAL, "dump %s: too short to be a dump", from);
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (memcmp(head, foreign[i].magic, strlen(foreign[i].magic)) == 0)
			return error_set(err, -ENOEXEC,
					 "dump %s: %s, which is not read here: write an ELF core "
					 "(makedumpfile -E -d 0, or QEMU's dump-guest-memory)",
					 from, foreign[i].name);
	if (memcmp(head, ELFMAG, SELFMAG) != 0)
		return physmem_open_raw(from, ret, err);
	if (strcmp(from, PHYSMEM_KCORE) == 0)
		return physmem_open_kcore(from, ret, err);
	return physmem_open_elf(from, ret, err);
}
