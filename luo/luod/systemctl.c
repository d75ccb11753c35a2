/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/systemctl.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>

#include "base/util.h"

#define SAID_MAX 512

/*
 * The kernel is loaded and the guests are prepared: systemd need only stop and kexec. The SIGCHLD
 * handler of luod reaps whatever ends, so the outcome comes through the pipe.
 */
static const char *const stop_host[] = {
	"sh", "-c",
	"systemctl --no-block --job-mode=replace-irreversibly start kexec.target && echo begun",
	NULL};

static int spawn_shell(int out, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	int r = posix_spawn_file_actions_init(&files);

	if (r)
		return -r;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	r = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
	if (r == 0)
		r = posix_spawn(pid, "/bin/sh", &files, &attr, (char *const *)(uintptr_t)stop_host,
				environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

static void read_all(int fd, char said[SAID_MAX])
{
	size_t used = 0;
	ssize_t n;

	while (used < SAID_MAX - 1 && (n = read(fd, said + used, SAID_MAX - 1 - used)) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		used += (size_t)MAX_OF(n, 0);
	}
	while (used > 0 && said[used - 1] == '\n')
		used--;
	said[used] = '\0';
}

int systemctl_kexec(struct error *err)
{
	_cleanup_fd_ int in = FD_NONE, out = FD_NONE;
	char said[SAID_MAX];
	int ends[2], r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_sys(err, -errno, "host: cannot be stopped");
	in = ends[0];
	out = ends[1];
	r = spawn_shell(out, &pid);
	if (r < 0)
		return error_sys(err, r, "host: cannot be stopped: /bin/sh");
	close_fdp(&out);
	read_all(in, said);
	if (strcmp(said, "begun") == 0)
		return 0;
	return error_set(err, -ENODEV,
			 "host: systemd does not stop it: %s; without it, update without "
			 "--stop-host",
			 said[0] ? said : "systemctl cannot be run");
}
