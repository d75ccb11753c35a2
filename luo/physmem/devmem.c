/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/physmem/file.h"

#define DEVMEM	   "/dev/mem"
#define PAGE_SIZE  4096U
#define RANGES_MAX 4096U

int physmem_read_iomem(const char *path, const char *name, struct physmem_piece *pieces, size_t max,
		       size_t *count, struct error *err)
{
	FILE *f = fopen(path, "re");
	char line[256];

	if (!f)
		return error_sys(err, -errno, "%s: cannot open", path);
	*count = 0;
	while (fgets(line, sizeof(line), f) && *count < max) {
		uint64_t start, end;
		int at = 0;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, " %" SCNx64 "-%" SCNx64 " : %n", &start, &end, &at) != 2 ||
		    at == 0 || strcmp(line + at, name) != 0 || end == UINT64_MAX)
			continue;
		start = ALIGN_UP(start, (uint64_t)PAGE_SIZE);
		end = ALIGN_DOWN(end + 1, (uint64_t)PAGE_SIZE);
		if (start >= end)
			continue;
		pieces[*count].range.start = start;
		pieces[*count].range.size = end - start;
		pieces[(*count)++].offset = start;
	}
	fclose(f);
	if (*count == 0)
		return error_set(err, -EPERM, "%s: shows no address of \"%s\" (needs root)", path,
				 name);
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
	r = physmem_read_iomem(PHYSMEM_IOMEM, "System RAM", pieces, RANGES_MAX, &count, err);
	if (r < 0)
		return r;
	fd = open(DEVMEM, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, -errno, DEVMEM ": cannot open");
	return physmem_new_file(steal_fd(&fd), DEVMEM, pieces, count, ret, err);
}
