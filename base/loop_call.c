/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/loop_priv.h"
#include "base/util.h"

struct loop_pending_call {
	loop_call_fn *fn;
	void *opaque;
	bool done; /* under the lock */
	struct loop_pending_call *next;
};

static struct loop_pending_call *take_first(struct loop_calls *calls)
{
	struct loop_pending_call *call = calls->first;

	if (!call)
		return NULL;
	calls->first = call->next;
	if (!calls->first)
		calls->last = &calls->first;
	return call;
}

static void on_call(void *opaque, uint32_t events _unused_)
{
	struct loop_calls *calls = opaque;
	struct loop_pending_call *call;
	uint64_t value;

	/* Drained first, so that a call which arrives meanwhile wakes the loop again. */
	if (read(calls->fd, &value, sizeof(value)) < 0)
		return;
	pthread_mutex_lock(&calls->lock);
	while ((call = take_first(calls))) {
		pthread_mutex_unlock(&calls->lock);
		call->fn(call->opaque);
		pthread_mutex_lock(&calls->lock);
		call->done = true;
		pthread_cond_broadcast(&calls->done);
	}
	pthread_mutex_unlock(&calls->lock);
}

int loop_calls_init(struct loop *loop, struct loop_calls *calls, struct error *err)
{
	pthread_mutex_init(&calls->lock, NULL);
	pthread_cond_init(&calls->done, NULL);
	calls->last = &calls->first;
	calls->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (calls->fd < 0)
		return error_sys(err, -errno, "event loop: cannot create its descriptors");
	return loop_add_fd(loop, calls->fd, EPOLLIN, on_call, calls, &calls->source, err);
}

void loop_calls_done(struct loop_calls *calls)
{
	loop_remove_fd(calls->source);
	close_fdp(&calls->fd);
	pthread_cond_destroy(&calls->done);
	pthread_mutex_destroy(&calls->lock);
}

bool loop_is_mine(struct loop *loop)
{
	pthread_t owner = atomic_load(&loop_calls_of(loop)->owner);

	return !owner || pthread_equal(owner, pthread_self());
}

void loop_call(struct loop *loop, loop_call_fn *fn, void *opaque)
{
	struct loop_calls *calls = loop_calls_of(loop);
	struct loop_pending_call call = {.fn = fn, .opaque = opaque};
	uint64_t one = 1;

	if (loop_is_mine(loop)) {
		fn(opaque);
		return;
	}
	pthread_mutex_lock(&calls->lock);
	*calls->last = &call;
	calls->last = &call.next;
	/* Fails only when the counter is full, and then the loop wakes anyway. */
	if (write(calls->fd, &one, sizeof(one)) < 0)
		errno = 0;
	while (!call.done)
		pthread_cond_wait(&calls->done, &calls->lock);
	pthread_mutex_unlock(&calls->lock);
}
