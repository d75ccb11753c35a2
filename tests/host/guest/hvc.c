// SPDX-License-Identifier: Apache-2.0
/*
 * The virtio console as the guest uses it: numbered lines "HVC n" go out, on command or all the
 * time, and what comes in is told on the other console.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "guest.h"

#define DEVICE	 "/dev/hvc0"
#define PAUSE_US 5000

static struct {
	int fd;
	pthread_mutex_t lock;
	uint64_t written; /* lines; under the lock */
	bool running;
} hvc = {.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

/* Lock held. */
static bool write_line(void)
{
	char line[48];
	size_t len, done = 0;

	len = (size_t)snprintf(line, sizeof(line), "HVC %lu\n", hvc.written + 1);
	while (done < len) {
		ssize_t n = write(hvc.fd, line + done, len - done);

		if (n < 0) {
			say("fault kind=hvc-write line=%lu", hvc.written + 1);
			return false;
		}
		done += (size_t)n;
	}
	hvc.written++;
	return true;
}

uint64_t hvc_write(unsigned int lines)
{
	uint64_t written;

	pthread_mutex_lock(&hvc.lock);
	while (hvc.fd >= 0 && lines-- > 0 && write_line())
		;
	if (hvc.fd >= 0)
		tcdrain(hvc.fd);
	written = hvc.written;
	pthread_mutex_unlock(&hvc.lock);
	return written;
}

static void *write_on(void *arg)
{
	(void)arg;
	for (;;) {
		if (__atomic_load_n(&hvc.running, __ATOMIC_RELAXED))
			hvc_write(1);
		usleep(PAUSE_US);
	}
	return NULL;
}

void hvc_run(bool on)
{
	__atomic_store_n(&hvc.running, on, __ATOMIC_RELAXED);
}

/* A line longer than the buffer is told in pieces. */
static void *read_on(void *arg)
{
	char line[64];
	size_t used = 0;

	(void)arg;
	for (;;) {
		ssize_t n = read(hvc.fd, line + used, 1);

		if (n <= 0) {
			usleep(PAUSE_US);
			continue;
		}
		if (line[used] != '\n' && used < sizeof(line) - 2) {
			used++;
			continue;
		}
		line[used] = '\0';
		used = 0;
		say("heard text=%s", line);
	}
	return NULL;
}

void hvc_start(void)
{
	struct termios raw;
	pthread_t thread;

	hvc.fd = open(DEVICE, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (hvc.fd < 0)
		return;
	tcgetattr(hvc.fd, &raw);
	cfmakeraw(&raw);
	tcsetattr(hvc.fd, TCSANOW, &raw);
	pthread_create(&thread, NULL, read_on, NULL);
	pthread_create(&thread, NULL, write_on, NULL);
}
