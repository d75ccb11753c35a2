/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/physmem/file.h"

#define DEVMEM	   "/dev/mem"
#define IOMEM	   "/proc/iomem"
#define RANGES_MAX 4096U

/*
 * "00100000-bffdffff : System RAM", nested entries indented. Without CAP_SYS_ADMIN all addresses
 * read as zero.
 */
static int read_iomem(struct physmem_piece *pieces, size_t *count, struct error *err)
{
	FILE *f = fopen(IOMEM, "re");
	char line[256];

	if (!f)
		return error_sys(err, -errno, IOMEM ": cannot open");
	*count = 0;
	while (fgets(line, sizeof(line), f) && *count < RANGES_MAX) {
		uint64_t start, end;
		int name = 0;

		if (line[0] == ' ' ||
		    sscanf(line, "%" SCNx64 "-%" SCNx64 " : %n", &start, &end, &name) != 2 ||
		    name == 0 || strcmp(line + name, "System RAM\n") != 0 || end <= start)
			continue;
		pieces[*count].range.start = start;
		pieces[*count].range.size = end - start + 1;
		pieces[(*count)++].offset = start;
	}
	fclose(f);
	if (*count == 0)
		return error_set(err, -EPERM, IOMEM ": shows no addresses of RAM (needs root)");
	return 0;
}

int physmem_open_devmem(struct physmem **ret, struct error *err)
{
	_cleanup_free_ struct physmem_piece *pieces = calloc(RANGES_MAX, sizeof(*pieces));
	_cleanup_fd_ int fd = FD_NONE;
	size_t count;
	int r;

	if (!pieces)
		return error_set(err, -ENOMEM, DEVMEM ": out of memory");
	r = read_iomem(pieces, &count, err);
	if (r < 0)
		return r;
	fd = open(DEVMEM, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, -errno, DEVMEM ": cannot open");
	return physmem_new_file(steal_fd(&fd), DEVMEM, pieces, count, ret, err);
}
