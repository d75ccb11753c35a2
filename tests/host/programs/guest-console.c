// SPDX-License-Identifier: Apache-2.0
/*
 * guest-console SOCKET LOG COMMANDS: the other end of a guest's console. Everything that the vmm's
 * console socket says is appended to LOG; every line written into the FIFO COMMANDS (made here)
 * goes to the guest. Connects again when the vmm is gone. For the emulated host, which has nothing
 * that does this.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay.h"

#define RETRY_US 20000

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

int main(int argc, char **argv)
{
	int log, commands;

	if (argc != 4) {
		fprintf(stderr, "Usage: guest-console SOCKET LOG COMMANDS\n");
		return 2;
	}
	if (relay_open(argv[2], argv[3], &log, &commands) < 0)
		return 1;
	for (;;) {
		int console = connect_to(argv[1]);

		if (console >= 0) {
			serve(console, log, commands);
			close(console);
		}
		usleep(RETRY_US);
	}
}
