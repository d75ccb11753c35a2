/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/replace.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/util.h"

/* An update that it has to take back first may take this long. */
#define END_DEADLINE_MS 120000

static int wait_for_end(int pid_fd, pid_t pid, struct error *err)
{
	struct pollfd pfd = {.fd = pid_fd, .events = POLLIN};
	int r;

	do
		r = poll(&pfd, 1, END_DEADLINE_MS);
	while (r < 0 && errno == EINTR);
	if (r == 1)
		return 0;
	return error_set(err, -ETIMEDOUT,
			 "the luod that runs already (pid %d) does not end when told to; end it, "
			 "and start again",
			 pid);
}

int replace_other(const char *socket_path, struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE, pid_fd = FD_NONE;
	uid_t uid;
	pid_t pid;

	if (sock_connect(socket_path, SOCK_SEQPACKET, &fd, NULL) < 0)
		return 0;
	if (sock_peer(fd, &uid, &pid) < 0 || pid <= 1 || pid == getpid())
		return error_set(err, -ESRCH, "socket %s: who listens there cannot be told",
				 socket_path);
	/* The connection is held: the number cannot have gone to another process meanwhile. */
	pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pid_fd < 0)
		return errno == ESRCH ? 0 : error_sys(err, -errno, "luod (pid %d)", pid);
	log_info("taking over from the luod that runs already (pid %d)", pid);
	if (syscall(SYS_pidfd_send_signal, pid_fd, SIGTERM, NULL, 0) < 0 && errno != ESRCH)
		return error_sys(err, -errno, "luod (pid %d): cannot end it", pid);
	return wait_for_end(pid_fd, pid, err);
}
