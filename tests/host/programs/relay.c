// SPDX-License-Identifier: Apache-2.0
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int relay_open(const char *log_path, const char *commands_path, int *ret_log, int *ret_commands)
{
	*ret_log = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	*ret_commands = -1;
	if (mkfifo(commands_path, 0600) == 0 || errno == EEXIST)
		/* Both ends, so that it never reads as ended. */
		*ret_commands = open(commands_path, O_RDWR | O_CLOEXEC);
	if (*ret_log >= 0 && *ret_commands >= 0)
		return 0;
	fprintf(stderr, "%s or %s cannot be opened: %s\n", log_path, commands_path,
		strerror(errno));
	return -1;
}

ssize_t relay_copy(int from, int to, char *buf, size_t size)
{
	ssize_t n = read(from, buf, size), done = 0;

	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0)
		return -1;
	while (done < n) {
		ssize_t written = write(to, buf + done, (size_t)(n - done));

		if (written < 0 && errno != EINTR)
			return -1;
		if (written > 0)
			done += written;
	}
	return n;
}
