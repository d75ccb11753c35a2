/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define CGROUP_MOUNT "/sys/fs/cgroup"

int cgroup_of(pid_t pid, char *path, size_t size)
{
	char name[64], text[PATH_MAX + 64], *line, *end;
	_cleanup_fd_ int fd = FD_NONE;
	ssize_t n;

	if (pid)
		snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	else
		snprintf(name, sizeof(name), "/proc/self/cgroup");
	fd = open(name, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (n < 0)
		return -ENOENT;
	text[n] = '\0';
	/* Version 2 has hierarchy 0 and no controllers in its line. */
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!line)
		return -ENOENT;
	line = strchr(line, '/');
	end = line ? strchr(line, '\n') : NULL;
	if (!end || (size_t)(end - line) >= size)
		return -ENOENT;
	snprintf(path, size, "%.*s", (int)(end - line), line);
	return 0;
}

int cgroup_join_own(pid_t pid, struct error *err)
{
	char own[PATH_MAX], path[PATH_MAX + 64], text[16];
	_cleanup_fd_ int fd = FD_NONE;

	if (cgroup_of(0, own, sizeof(own)) < 0)
		return 0;
	if (cgroup_of(pid, path, sizeof(path)) == 0 && strcmp(path, own) == 0)
		return 0;
	snprintf(path, sizeof(path), CGROUP_MOUNT "%s/cgroup.procs", own);
	snprintf(text, sizeof(text), "%d", pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return error_sys(err, -errno, "process %d: cannot move it into control group %s",
				 pid, own);
	return 0;
}

bool cgroup_is_unowned(const char *path)
{
	return strcmp(path, "/") == 0 || strcmp(path, "/init.scope") == 0;
}
