// SPDX-License-Identifier: Apache-2.0
/* Lines on the console. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "guest.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int console = 1;

void say_setup(int fd)
{
	struct termios mode;

	console = fd;
	if (tcgetattr(fd, &mode) < 0)
		return;
	/* What is typed is read by lines and not sent back: it would end in the log. */
	mode.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ISIG);
	mode.c_lflag |= ICANON;
	mode.c_iflag |= ICRNL;
	tcsetattr(fd, TCSANOW, &mode);
}

void say(const char *fmt, ...)
{
	char line[1024] = "HF ";
	unsigned char sum = 0;
	size_t used, done = 0;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line + 3, sizeof(line) - 16, fmt, args);
	va_end(args);
	used = 3 + (size_t)(n < 0 ? 0 : n);
	if (used > sizeof(line) - 16)
		used = sizeof(line) - 16;
	for (size_t i = 0; i < used; i++)
		sum ^= (unsigned char)line[i];
	used += (size_t)snprintf(line + used, 8, " *%02x\n", sum);

	pthread_mutex_lock(&lock);
	while (done < used) {
		ssize_t written = write(console, line + done, used - done);

		if (written < 0 && errno != EINTR)
			break;
		if (written > 0)
			done += (size_t)written;
	}
	pthread_mutex_unlock(&lock);
}

void say_drain(void)
{
	tcdrain(console);
}
