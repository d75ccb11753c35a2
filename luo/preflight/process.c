/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/preflight/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/util.h"
#include "luo/inspect/sysfs.h"

#define VERSION_TIMEOUT_MS 5000

extern char **environ;

static int spawn_version(const char *program, int out, pid_t *ret)
{
	char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)"--version", NULL};
	posix_spawn_file_actions_t actions;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(ret, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int process_version(const char *program, char *buf, size_t size)
{
	_cleanup_fd_ int from = FD_NONE, to = FD_NONE;
	struct pollfd poll_fd;
	int fds[2], r, status;
	ssize_t n = -1;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	from = fds[0];
	to = fds[1];
	r = spawn_version(program, to, &pid);
	close_fdp(&to);
	if (r < 0)
		return r;
	poll_fd = (struct pollfd){.fd = from, .events = POLLIN};
	if (poll(&poll_fd, 1, VERSION_TIMEOUT_MS) == 1)
		n = read(from, buf, size - 1);
	else
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return -EIO;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

static bool has_open(const char *root, int pid, const char *path)
{
	char dir_path[PATH_MAX], link[PATH_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(dir_path, sizeof(dir_path), "%s/proc/%d/fd", root, pid);
	dir = opendir(dir_path);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		if (n < 0)
			continue;
		link[n] = '\0';
		found = strcmp(link, path) == 0;
	}
	closedir(dir);
	return found;
}

int process_holder(const char *root, const char *path, char *command, size_t size)
{
	char buf[PATH_MAX];
	struct dirent *entry;
	int pid = 0;
	DIR *dir;

	snprintf(buf, sizeof(buf), "%s/proc", root);
	command[0] = '\0';
	dir = opendir(buf);
	if (!dir)
		return 0;
	while (!pid && (entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    has_open(root, atoi(entry->d_name), path))
			pid = atoi(entry->d_name);
	closedir(dir);
	if (pid) {
		_cleanup_free_ char *name = NULL;

		snprintf(buf, sizeof(buf), "/proc/%d/comm", pid);
		name = sysfs_load(root, buf, 64, NULL);
		if (name)
			snprintf(command, size, "%.*s", (int)strcspn(name, "\n"), name);
	}
	return pid;
}

int version_compare(const char *a, const char *b)
{
	for (;;) {
		char *a_end, *b_end;
		unsigned long x = strtoul(a, &a_end, 10), y = strtoul(b, &b_end, 10);

		if (a_end == a || b_end == b)
			return (a_end != a) - (b_end != b);
		if (x != y)
			return x < y ? -1 : 1;
		if (*a_end != '.' || *b_end != '.')
			return (*a_end == '.') - (*b_end == '.');
		a = a_end + 1;
		b = b_end + 1;
	}
}
