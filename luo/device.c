/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/device.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>

#include "base/clock.h"
#include "base/util.h"
#include "luo/client.h"
#include "luo/reasons.h"

/* Bounds of the time between two tries while another process has the device. */
#define RETRY_FIRST_NS (1 * NSEC_PER_MSEC)
#define RETRY_MAX_NS   (50 * NSEC_PER_MSEC)

static const struct luo_reason open_reasons[] = {
	{EACCES, 0, "only root may open it; run as root"},
	{EPERM, 0, "only root may open it; run as root"},
	{EIO, 0,
	 "the kernel could not take over what the previous one handed over, and will not try again"
	 " in this boot; its log (dmesg, \"luo\") has the reason, most often a driver of a"
	 " preserved file that was not loaded before the first use"},
	{EBUSY, 0, "another process has it open and did not close it in time; try again"},
	{EMFILE, 0, "too many open descriptors; raise the limit (ulimit -n, LimitNOFILE=)"},
	{ENFILE, 0, "too many open descriptors on this host; raise fs.file-max"},
	{ENOMEM, 0, "the kernel is out of memory; free some on this host and try again"},
	{0, 0, "see the kernel log"},
};

/*
 * The device has one opener. Its close shows as an inotify event on the node, but the event is sent
 * just before the driver lets go of it (Linux __fput(): fsnotify_close() comes before release()),
 * and a copy of the descriptor sent over a socket may close without one. So the event only shortens
 * the wait: tries are spaced by a poll whose bound doubles from 1 ms to 50 ms and starts over at
 * each event.
 */
static void wait_for_close(int notify_fd, uint64_t *interval_ns, uint64_t remaining_ns)
{
	uint64_t wait_ns = MIN_OF(*interval_ns, remaining_ns);
	struct timespec ts = {.tv_sec = (time_t)(wait_ns / NSEC_PER_SEC),
			      .tv_nsec = (long)(wait_ns % NSEC_PER_SEC)};
	struct pollfd pfd = {.fd = notify_fd, .events = POLLIN};
	char events[4096];

	if (ppoll(&pfd, 1, &ts, NULL) > 0 && read(notify_fd, events, sizeof(events)) > 0)
		*interval_ns = RETRY_FIRST_NS;
	else
		*interval_ns = MIN_OF(*interval_ns * 2, RETRY_MAX_NS);
}

static int open_by_deadline(unsigned int timeout_ms, int *ret_fd)
{
	uint64_t deadline = clock_monotonic_ns() + timeout_ms * NSEC_PER_MSEC;
	uint64_t interval_ns = RETRY_FIRST_NS;
	_cleanup_fd_ int notify_fd = FD_NONE;

	for (;;) {
		int fd = open(LUO_DEVICE, O_RDWR | O_CLOEXEC);
		uint64_t now;

		if (fd >= 0) {
			*ret_fd = fd;
			return 0;
		}
		if (errno == EINTR)
			continue;
		if (errno != EBUSY)
			return errno;
		now = clock_monotonic_ns();
		if (now >= deadline)
			return EBUSY;
		if (notify_fd < 0) {
			/* Without inotify (-1 is what ppoll ignores) the bounded tries remain. */
			notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
			if (notify_fd >= 0)
				inotify_add_watch(notify_fd, LUO_DEVICE, IN_CLOSE);
		}
		wait_for_close(notify_fd, &interval_ns, deadline - now);
	}
}

int luo_device_open(unsigned int timeout_ms, int *ret_fd, struct error *err)
{
	int code = open_by_deadline(timeout_ms, ret_fd);

	switch (code) {
	case 0:
		return 0;
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return luo_explain_missing_device(err);
	default:
		return luo_reason_set(open_reasons, code, err, "%s", LUO_DEVICE);
	}
}

int luo_probe(unsigned int timeout_ms, struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE;

	return luo_device_open(timeout_ms, &fd, err);
}
