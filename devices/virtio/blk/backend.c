/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk/backend.h"

#include <limits.h>
#include <poll.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"

int blk_backend_new_best(const struct blk_image *image, const struct blk_backend_client *client,
			 struct blk_backend **ret, struct error *err)
{
	struct error why = ERROR_INIT;
	int r = blk_uring_new(image, client, ret, &why);

	if (r != -EPERM && r != -EACCES && r != -ENOSYS && r != -ENOMEM) {
		if (r < 0)
			error_set(err, r, "%s", error_message(&why));
		return r;
	}
	log_warning("%s; the disk is served by worker threads, which is slower (see "
		    "kernel.io_uring_disabled in sysctl(8), and disable_io_uring=on to do without "
		    "this line)",
		    error_message(&why));
	return blk_threads_new(image, client, ret, err);
}

/* Milliseconds for poll(2), rounded up so that it does not spin at the end. */
static int timeout_ms(uint64_t deadline_ns)
{
	uint64_t now, left;

	if (deadline_ns == UINT64_MAX)
		return -1;
	now = clock_monotonic_ns();
	if (deadline_ns <= now)
		return 0;
	left = (deadline_ns - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	return (int)MIN_OF(left, (uint64_t)INT_MAX);
}

bool blk_poll(const int *fds, unsigned int count, uint64_t deadline_ns)
{
	struct pollfd p[2];
	int r, ms;

	for (unsigned int i = 0; i < count; i++)
		p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	do {
		ms = timeout_ms(deadline_ns);
		r = poll(p, count, ms);
	} while (r < 0 && errno == EINTR && ms != 0);
	return r > 0;
}
