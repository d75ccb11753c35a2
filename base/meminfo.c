/* SPDX-License-Identifier: Apache-2.0 */
#include "base/meminfo.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static uint64_t bytes(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 10) * KIB : 0;
}

int meminfo_pinnable(const char *path, uint64_t *ret)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[8192];
	uint64_t available, cma;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	available = bytes(text, "MemAvailable:");
	cma = bytes(text, "CmaFree:");
	if (available == 0)
		return -ENODATA;
	*ret = available > cma ? available - cma : 0;
	return 0;
}
