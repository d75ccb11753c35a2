/* SPDX-License-Identifier: Apache-2.0 */
#include "base/notify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* SD_LISTEN_FDS_START of sd_listen_fds(3). */
#define FIRST_FD 3

/* A number of the environment, or 0. */
static uint64_t env_number(const char *name)
{
	const char *text = getenv(name);
	uint64_t value;

	return text && decimal_parse(text, UINT64_MAX, &value) == 0 ? value : 0;
}

static void read_address(struct notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;

	if (length < 2 || length >= sizeof(n->address.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return;
	n->address.sun_family = AF_UNIX;
	memcpy(n->address.sun_path, path, length);
	/* The abstract namespace of unix(7) has no terminator. */
	if (path[0] == '@')
		n->address.sun_path[0] = '\0';
	n->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length +
				      (path[0] == '@' ? 0 : 1));
}

static void read_watchdog(struct notify *n)
{
	uint64_t pid = env_number("WATCHDOG_PID"), usec = env_number("WATCHDOG_USEC");

	if ((!getenv("WATCHDOG_PID") || pid == (uint64_t)getpid()) && usec < UINT64_MAX / 1000)
		n->watchdog_ns = usec * 1000;
}

/* The next of the names that colons part. */
static void take_name(const char **names, char name[NOTIFY_FD_NAME_MAX + 1])
{
	size_t length = *names ? strcspn(*names, ":") : 0;

	if (!length || length > NOTIFY_FD_NAME_MAX)
		snprintf(name, NOTIFY_FD_NAME_MAX + 1, "unknown");
	else
		snprintf(name, NOTIFY_FD_NAME_MAX + 1, "%.*s", (int)length, *names);
	if (*names)
		*names = (*names)[length] ? *names + length + 1 : NULL;
}

static void read_fds(struct notify *n)
{
	uint64_t count = env_number("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");

	if (env_number("LISTEN_PID") != (uint64_t)getpid() || count == 0 || count > NOTIFY_FDS_MAX)
		return;
	n->fds = calloc(count, sizeof(*n->fds));
	if (!n->fds)
		return;
	for (unsigned int i = 0; i < count; i++) {
		n->fds[i].fd = FIRST_FD + (int)i;
		take_name(&names, n->fds[i].name);
		if (fcntl(n->fds[i].fd, F_SETFD, FD_CLOEXEC) < 0)
			n->fds[i].fd = FD_NONE;
	}
	n->fd_count = (unsigned int)count;
}

void notify_init(struct notify *n)
{
	static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
					    "LISTEN_PID",    "LISTEN_FDS",   "LISTEN_FDNAMES",
					    "LISTEN_PIDFDID"};

	*n = (struct notify){0};
	read_address(n);
	read_watchdog(n);
	read_fds(n);
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		unsetenv(names[i]);
}

void notify_done(struct notify *n)
{
	for (unsigned int i = 0; i < n->fd_count; i++)
		close_fdp(&n->fds[i].fd);
	free(n->fds);
	*n = (struct notify){0};
}

static void send_text(const struct notify *n, const char *text, int passed)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr msg = {.msg_name = (void *)(uintptr_t)&n->address,
			     .msg_namelen = n->address_size,
			     .msg_iov = &iov,
			     .msg_iovlen = 1};
	_cleanup_fd_ int fd = FD_NONE;

	if (!n->address_size)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (passed >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &passed, sizeof(int));
	}
	/* There is nobody else to tell if this fails. */
	(void)!sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void notify_say(const struct notify *n, const char *text)
{
	send_text(n, text, FD_NONE);
}

static void on_watchdog(void *opaque)
{
	notify_say(opaque, "WATCHDOG=1");
}

int notify_watchdog_new(const struct notify *n, struct loop *loop, struct loop_timer **ret,
			struct error *err)
{
	int r;

	*ret = NULL;
	if (!n->watchdog_ns)
		return 0;
	r = loop_timer_new(loop, on_watchdog, (void *)(uintptr_t)n, ret, err);
	if (r == 0)
		loop_timer_arm(*ret, 0, n->watchdog_ns / 2);
	return r;
}

void notify_store(const struct notify *n, int fd, const char *name)
{
	char text[NOTIFY_FD_NAME_MAX + 64];

	/* Polled, a session would be thrown away for an event that it does not have. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%.*s", NOTIFY_FD_NAME_MAX, name);
	send_text(n, text, fd);
}

void notify_unstore(const struct notify *n, const char *name)
{
	char text[NOTIFY_FD_NAME_MAX + 64];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%.*s", NOTIFY_FD_NAME_MAX, name);
	send_text(n, text, FD_NONE);
}

int notify_take(struct notify *n, const char *name)
{
	for (unsigned int i = 0; i < n->fd_count; i++) {
		if (n->fds[i].fd >= 0 && strcmp(n->fds[i].name, name) == 0)
			return steal_fd(&n->fds[i].fd);
	}
	return FD_NONE;
}
