/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/machine_priv.h"

/* Those that end the guest come last, and of these the worst first: the callback may free the
 * machine then. */
static const enum machine_event delivery_order[] = {
	MACHINE_EVENT_ALL_VCPUS_RAN, MACHINE_EVENT_DEVICE_NEWS, MACHINE_EVENT_DEVICE_GONE,
	MACHINE_EVENT_CRASHED,	     MACHINE_EVENT_POWEROFF,	MACHINE_EVENT_RESET,
};

static void wake(struct machine_events *events)
{
	/* Fails only when 2^64 - 2 wake-ups are unread. */
	if (eventfd_write(events->fd, 1) < 0)
		log_error("cannot tell an event of the machine: %s", strerror(errno));
}

static bool take_next(struct machine_events *events, enum machine_event *ret, struct error *err)
{
	bool found = false;

	pthread_mutex_lock(&events->lock);
	for (size_t i = 0; !found && i < ARRAY_SIZE(delivery_order); i++) {
		unsigned int bit = 1U << delivery_order[i];

		if (!(events->pending & bit))
			continue;
		events->pending &= ~bit;
		*ret = delivery_order[i];
		*err = events->crash;
		found = true;
	}
	/* What is left comes at the next turn: the callback may have freed the machine by then. */
	if (events->pending)
		wake(events);
	pthread_mutex_unlock(&events->lock);
	return found;
}

static void on_event(void *opaque, uint32_t mask _unused_)
{
	struct machine_events *events = opaque;
	struct error err = ERROR_INIT;
	enum machine_event event;
	uint64_t count;

	if (read(events->fd, &count, sizeof(count)) < 0)
		return;
	if (take_next(events, &event, &err))
		events->fn(events->opaque, event, event == MACHINE_EVENT_CRASHED ? &err : NULL);
}

int machine_events_init(struct machine_events *events, struct loop *loop, machine_event_fn *fn,
			void *opaque, struct error *err)
{
	pthread_mutex_init(&events->lock, NULL);
	events->fn = fn;
	events->opaque = opaque;
	events->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (events->fd < 0)
		return error_sys(err, -errno, "cannot make an eventfd");
	return loop_add_fd(loop, events->fd, EPOLLIN, on_event, events, &events->source, err);
}

void machine_events_done(struct machine_events *events)
{
	loop_remove_fd(events->source);
	events->source = NULL;
	close_fdp(&events->fd);
	pthread_mutex_destroy(&events->lock);
}

void machine_events_tell(struct machine_events *events, enum machine_event event,
			 const struct error *err)
{
	pthread_mutex_lock(&events->lock);
	events->pending |= 1U << event;
	if (event == MACHINE_EVENT_CRASHED && err && !events->crash.code)
		events->crash = *err;
	wake(events);
	pthread_mutex_unlock(&events->lock);
}
