// SPDX-License-Identifier: Apache-2.0
/*
 * guest-console SOCKET LOG COMMANDS: the other end of a guest's console. Everything that the vmm's
 * console socket says is appended to LOG; every line written into the FIFO COMMANDS (made here)
 * goes to the guest. When the vmm is gone, connects again as soon as the socket is made anew. For
 * the emulated host, which has nothing that does this.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay.h"

/* A socket is there before it listens. Later there is no retry without an event: what is left of
 * guests that are gone must not take time from others. */
#define RETRY_MS 20
#define RETRIES	 250

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Until the vmm closes the connection. */
static void serve(int console, int log, int commands)
{
	struct pollfd fds[] = {{.fd = console, .events = POLLIN},
			       {.fd = commands, .events = POLLIN}};
	char data[4096];

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents && relay_copy(console, log, data, sizeof(data)) < 0)
			return;
		if (fds[1].revents && relay_copy(commands, console, data, sizeof(data)) < 0)
			return;
	}
}

/* Whether the socket of that name was made in the meantime. */
static bool was_made(int watch, const char *name)
{
	_Alignas(struct inotify_event) char events[sizeof(struct inotify_event) + NAME_MAX + 1];
	ssize_t n;
	bool made = false;

	while ((n = read(watch, events, sizeof(events))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const void *)&events[at];

			made = made || (event->len > 0 && strcmp(event->name, name) == 0);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	return made;
}

int main(int argc, char **argv)
{
	char folder[PATH_MAX], name[PATH_MAX];
	struct pollfd watch = {.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .events = POLLIN};
	unsigned int retries = RETRIES;
	int log, commands;

	if (argc != 4) {
		fprintf(stderr, "Usage: guest-console SOCKET LOG COMMANDS\n");
		return 2;
	}
	if (relay_open(argv[2], argv[3], &log, &commands) < 0)
		return 1;
	snprintf(folder, sizeof(folder), "%s", argv[1]);
	snprintf(name, sizeof(name), "%s", argv[1]);
	if (inotify_add_watch(watch.fd, dirname(folder), IN_CREATE | IN_MOVED_TO) < 0) {
		fprintf(stderr, "guest-console: the folder of %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	for (;;) {
		int console = connect_to(argv[1]);

		if (console >= 0) {
			serve(console, log, commands);
			close(console);
			retries = RETRIES;
		}
		poll(&watch, 1, retries > 0 ? RETRY_MS : -1);
		retries = was_made(watch.fd, basename(name)) ? RETRIES : retries - (retries > 0);
	}
}
