/* SPDX-License-Identifier: Apache-2.0 */
/* A service manager at the other end of NOTIFY_SOCKET, played by a test (sd_notify(3)). */
#ifndef HOLDFAST_TESTS_NOTIFY_MANAGER_H
#define HOLDFAST_TESTS_NOTIFY_MANAGER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/util.h"

struct notify_manager {
	int fd;
	char path[64];
};

/* length: of the path with its terminator, or of a name in the abstract namespace. */
static inline void notify_manager_bind(struct notify_manager *m, const char *path, size_t length)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memcpy(addr.sun_path, path, length);
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(m->fd >= 0);
	assert_int_equal(bind(m->fd, (struct sockaddr *)&addr,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
			 0);
}

static inline void notify_manager_up(struct notify_manager *m)
{
	snprintf(m->path, sizeof(m->path), "/tmp/test-notify.%d", getpid());
	unlink(m->path);
	notify_manager_bind(m, m->path, strlen(m->path) + 1);
	setenv("NOTIFY_SOCKET", m->path, 1);
}

static inline void notify_manager_down(struct notify_manager *m)
{
	close(m->fd);
	unlink(m->path);
}

/* What it has got next must be this; *fd: what came along, or FD_NONE. */
static inline void notify_manager_heard(struct notify_manager *m, const char *expected, int *fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	char text[1024];
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	ssize_t n = recvmsg(m->fd, &msg, MSG_CMSG_CLOEXEC);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
	*fd = FD_NONE;
	if (CMSG_FIRSTHDR(&msg))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*fd));
}

/* Nothing more has come. */
static inline void notify_manager_silent(struct notify_manager *m)
{
	char text[16];

	assert_int_equal(recv(m->fd, text, sizeof(text), 0), -1);
	assert_int_equal(errno, EAGAIN);
}

#endif
