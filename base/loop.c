/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "base/loop_priv.h"
#include "base/util.h"

#define EVENTS_PER_TURN 32

struct loop_source {
	struct loop *loop;
	struct loop_source *next_dead;
	int fd; /* borrowed */
	loop_fd_fn *fn;
	void *opaque;
	bool dead; /* removed during a turn: events that epoll returned already must not reach it */
};

struct loop_timer {
	struct loop_source *source;
	int fd; /* owned */
	loop_timer_fn *fn;
	void *opaque;
};

struct loop {
	int epoll_fd;  /* owned */
	int stop_fd;   /* owned */
	int signal_fd; /* owned */
	struct loop_source *stop_source, *signal_source;
	struct loop_source *dead;
	bool in_turn;
	atomic_bool stopped;
	loop_signal_fn *signal_fn;
	void *signal_opaque;
	struct loop_calls calls;
	const struct loop_guard *guard; /* borrowed; NULL: none */
};

static void drain_counter(int fd)
{
	uint64_t value;

	/* Level-triggered: if the read fails there was nothing to drain. */
	if (read(fd, &value, sizeof(value)) < 0)
		return;
}

static void on_stop(void *opaque, uint32_t events _unused_)
{
	struct loop *loop = opaque;

	drain_counter(loop->stop_fd);
}

int loop_new(struct loop **ret, struct error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return error_set(err, -ENOMEM, "event loop: out of memory");
	loop->signal_fd = loop->calls.fd = FD_NONE;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->stop_fd < 0) {
		r = error_sys(err, -errno, "event loop: cannot create its descriptors");
		goto out_free;
	}
	r = loop_add_fd(loop, loop->stop_fd, EPOLLIN, on_stop, loop, &loop->stop_source, err);
	if (r == 0)
		r = loop_calls_init(loop, &loop->calls, err);
	if (r < 0)
		goto out_free;
	*ret = loop;
	return 0;

out_free:
	loop_free(loop);
	return r;
}

struct loop_calls *loop_calls_of(struct loop *loop)
{
	return &loop->calls;
}

void loop_set_guard(struct loop *loop, const struct loop_guard *guard)
{
	loop->guard = guard;
}

int loop_enter_thread(const struct loop *loop, const char *role, struct error *err)
{
	if (!loop || !loop->guard)
		return 0;
	return loop->guard->enter(loop->guard->opaque, role, err);
}

static void bury_dead(struct loop *loop)
{
	while (loop->dead) {
		struct loop_source *next = loop->dead->next_dead;

		free(loop->dead);
		loop->dead = next;
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	loop_remove_fd(loop->stop_source);
	loop_remove_fd(loop->signal_source);
	loop_calls_done(&loop->calls);
	bury_dead(loop);
	close_fdp(&loop->signal_fd);
	close_fdp(&loop->stop_fd);
	close_fdp(&loop->epoll_fd);
	free(loop);
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *opaque,
		struct loop_source **ret, struct error *err)
{
	struct loop_source *source = calloc(1, sizeof(*source));
	struct epoll_event ev = {.events = events, .data.ptr = source};

	if (!source)
		return error_set(err, -ENOMEM, "event loop: out of memory");
	*source = (struct loop_source){.loop = loop, .fd = fd, .fn = fn, .opaque = opaque};
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int r = error_sys(err, -errno, "event loop: cannot watch descriptor %d", fd);

		free(source);
		return r;
	}
	*ret = source;
	return 0;
}

int loop_modify_fd(struct loop_source *source, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	if (epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &ev) < 0)
		return -errno;
	return 0;
}

void loop_remove_fd(struct loop_source *source)
{
	if (!source)
		return;
	epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	if (!source->loop->in_turn) {
		free(source);
		return;
	}
	source->dead = true;
	source->next_dead = source->loop->dead;
	source->loop->dead = source;
}

static void on_timer(void *opaque, uint32_t events _unused_)
{
	struct loop_timer *timer = opaque;
	uint64_t expirations;

	/* A timer disarmed earlier in this turn reads EAGAIN and must not fire. */
	if (read(timer->fd, &expirations, sizeof(expirations)) != sizeof(expirations))
		return;
	timer->fn(timer->opaque);
}

int loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *opaque, struct loop_timer **ret,
		   struct error *err)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));
	int r;

	if (!timer)
		return error_set(err, -ENOMEM, "event loop: out of memory");
	timer->fn = fn;
	timer->opaque = opaque;
	timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (timer->fd < 0) {
		r = error_sys(err, -errno, "event loop: cannot create a timer");
		goto out_free;
	}
	r = loop_add_fd(loop, timer->fd, EPOLLIN, on_timer, timer, &timer->source, err);
	if (r < 0)
		goto out_free;
	*ret = timer;
	return 0;

out_free:
	close_fdp(&timer->fd);
	free(timer);
	return r;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NSEC_PER_SEC),
				 .tv_nsec = (long)(ns % NSEC_PER_SEC)};
}

void loop_timer_arm(struct loop_timer *timer, uint64_t delay_ns, uint64_t period_ns)
{
	/* An it_value of zero would disarm: the nearest thing to "now" is one nanosecond. */
	struct itimerspec spec = {.it_value = to_timespec(MAX_OF(delay_ns, 1ULL)),
				  .it_interval = to_timespec(period_ns)};

	timerfd_settime(timer->fd, 0, &spec, NULL);
}

void loop_timer_disarm(struct loop_timer *timer)
{
	struct itimerspec spec = {0};

	timerfd_settime(timer->fd, 0, &spec, NULL);
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	loop_remove_fd(timer->source);
	close_fdp(&timer->fd);
	free(timer);
}

int loop_run_once(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int n;

	atomic_store_explicit(&loop->calls.owner, pthread_self(), memory_order_relaxed);
	n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	loop->in_turn = true;
	for (int i = 0; i < n; i++) {
		struct loop_source *source = events[i].data.ptr;

		if (!source->dead)
			source->fn(source->opaque, events[i].events);
	}
	loop->in_turn = false;
	bury_dead(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	while (!atomic_load(&loop->stopped)) {
		int r = loop_run_once(loop, -1);

		if (r < 0)
			return r;
	}
	atomic_store(&loop->stopped, false);
	return 0;
}

void loop_stop(struct loop *loop)
{
	uint64_t one = 1;

	atomic_store(&loop->stopped, true);
	/* Fails only when the counter is full, and then the loop wakes anyway. */
	if (write(loop->stop_fd, &one, sizeof(one)) < 0)
		return;
}

static void on_signal(void *opaque, uint32_t events _unused_)
{
	struct loop *loop = opaque;
	struct signalfd_siginfo info;

	if (read(loop->signal_fd, &info, sizeof(info)) == sizeof(info))
		loop->signal_fn(loop->signal_opaque, (int)info.ssi_signo);
}

int loop_add_signals(struct loop *loop, const int *signos, loop_signal_fn *fn, void *opaque,
		     struct error *err)
{
	sigset_t set;

	sigemptyset(&set);
	for (; *signos != -1; signos++)
		sigaddset(&set, *signos);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop->signal_fd < 0)
		return error_sys(err, -errno, "event loop: cannot watch signals");
	loop->signal_fn = fn;
	loop->signal_opaque = opaque;
	return loop_add_fd(loop, loop->signal_fd, EPOLLIN, on_signal, loop, &loop->signal_source,
			   err);
}
