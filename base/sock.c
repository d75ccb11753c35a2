/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/util.h"

static int fill_address(const char *path, struct sockaddr_un *addr, struct error *err)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(addr->sun_path))
		return error_set(err, -ENAMETOOLONG, "socket %s: the path is longer than %zu bytes",
				 path, sizeof(addr->sun_path) - 1);
	memcpy(addr->sun_path, path, strlen(path) + 1);
	return 0;
}

/* A socket file that nobody listens on is left by a process that died; one in use must not be taken
 * over. */
static int remove_stale(const char *path, int type, struct error *err)
{
	struct stat st;
	int fd = FD_NONE, r;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, -EEXIST, "socket %s: a file that is no socket is in the way",
				 path);
	r = sock_connect(path, type, &fd, NULL);
	if (r == 0) {
		close(fd);
		return error_set(err, -EADDRINUSE, "socket %s: another process listens there",
				 path);
	}
	if (unlink(path) < 0 && errno != ENOENT)
		return error_sys(err, -errno, "socket %s: cannot remove the old one", path);
	return 0;
}

int sock_listen(const char *path, int type, int *ret_fd, struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE;
	struct sockaddr_un addr;
	mode_t old_mask;
	int r;

	r = fill_address(path, &addr, err);
	if (r == 0)
		r = remove_stale(path, type, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_sys(err, -errno, "socket %s", path);
	old_mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	umask(old_mask);
	if (r < 0)
		return error_sys(err, r, "socket %s: cannot bind", path);
	/* A socket that is not blocking is refused when this is full: many may come at once. */
	if (listen(fd, SOMAXCONN) < 0)
		return error_sys(err, -errno, "socket %s: cannot listen", path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int sock_connect(const char *path, int type, int *ret_fd, struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE;
	struct sockaddr_un addr;
	int r = fill_address(path, &addr, err);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_sys(err, -errno, "socket %s", path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return error_sys(err, -errno, "socket %s: cannot connect", path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int sock_peer(int fd, uid_t *ret_uid, pid_t *ret_pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*ret_uid = cred.uid;
	*ret_pid = cred.pid;
	return 0;
}

union fd_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * SOCK_FDS_MAX)];
};

int sock_send_json(int fd, const json_t *message, const int *fds, unsigned int fd_count,
		   struct error *err)
{
	_cleanup_free_ char *text = json_dumps(message, JSON_COMPACT);
	union fd_control control = {0};
	struct iovec iov = {.iov_base = text, .iov_len = text ? strlen(text) : 0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (!text)
		return error_set(err, -ENOMEM, "message: out of memory");
	if (iov.iov_len > SOCK_MESSAGE_MAX || fd_count > SOCK_FDS_MAX)
		return error_set(err, -EMSGSIZE, "message: %zu bytes are too many", iov.iov_len);
	if (fd_count > 0) {
		struct cmsghdr *c = &control.align;

		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
	}
	if (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return error_sys(err, -errno, "message: cannot send");
	return 0;
}

static unsigned int take_fds(struct msghdr *msg, int fds[SOCK_FDS_MAX])
{
	unsigned int count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t bytes;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		bytes = c->cmsg_len - CMSG_LEN(0);
		/* One control buffer of SOCK_FDS_MAX descriptors: more cannot have arrived. */
		memcpy(fds + count, CMSG_DATA(c),
		       MIN_OF(bytes, sizeof(int) * (SOCK_FDS_MAX - count)));
		count += (unsigned int)(bytes / sizeof(int));
	}
	return count;
}

int sock_recv_json(int fd, json_t **ret, int fds[SOCK_FDS_MAX], unsigned int *fd_count,
		   struct error *err)
{
	_cleanup_free_ char *text = malloc(SOCK_MESSAGE_MAX);
	union fd_control control;
	struct iovec iov = {.iov_base = text, .iov_len = SOCK_MESSAGE_MAX};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	json_error_t why;
	unsigned int count;
	ssize_t n;

	if (!text)
		return error_set(err, -ENOMEM, "message: out of memory");
	n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return error_sys(err, errno == ECONNRESET ? -EPIPE : -errno,
				 "message: cannot receive");
	count = take_fds(&msg, fds);
	if (n == 0 && count == 0)
		return error_set(err, -EPIPE, "the peer closed the connection");
	*ret = msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)
		       ? NULL
		       : json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &why);
	if (!*ret) {
		sock_close_fds(fds, count);
		return error_set(err, -EBADMSG,
				 "message: not one JSON document of at most %d bytes",
				 SOCK_MESSAGE_MAX);
	}
	*fd_count = count;
	return 0;
}

void sock_close_fds(const int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
}
