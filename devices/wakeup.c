/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/wakeup.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/util.h"

struct wakeup {
	int fd; /* owned */
	struct loop_source *source;
	wakeup_fn *fn;
	void *opaque;
};

static void on_event(void *opaque, uint32_t events _unused_)
{
	struct wakeup *wakeup = opaque;
	uint64_t value;

	/* Drained before fn runs, so that a signal during fn makes it run again. */
	if (read(wakeup->fd, &value, sizeof(value)) < 0)
		return;
	wakeup->fn(wakeup->opaque);
}

int wakeup_new(struct loop *loop, wakeup_fn *fn, void *opaque, struct wakeup **ret,
	       struct error *err)
{
	struct wakeup *wakeup = calloc(1, sizeof(*wakeup));
	int r;

	if (!wakeup)
		return error_set(err, -ENOMEM, "wakeup: out of memory");
	*wakeup = (struct wakeup){.fn = fn, .opaque = opaque};
	wakeup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wakeup->fd < 0) {
		r = error_sys(err, -errno, "wakeup: cannot create an eventfd");
		goto out_free;
	}
	r = loop_add_fd(loop, wakeup->fd, EPOLLIN, on_event, wakeup, &wakeup->source, err);
	if (r < 0)
		goto out_free;
	*ret = wakeup;
	return 0;

out_free:
	wakeup_free(wakeup);
	return r;
}

void wakeup_free(struct wakeup *wakeup)
{
	if (!wakeup)
		return;
	loop_remove_fd(wakeup->source);
	close_fdp(&wakeup->fd);
	free(wakeup);
}

void wakeup_signal(struct wakeup *wakeup)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then the loop wakes anyway. */
	if (write(wakeup->fd, &one, sizeof(one)) < 0)
		return;
}
