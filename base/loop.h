/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: one thread, epoll. Owns nothing it is given: descriptors are borrowed, callbacks
 * run on the loop's thread only. Functions belong to that thread unless they say otherwise.
 */
#ifndef HOLDFAST_BASE_LOOP_H
#define HOLDFAST_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct loop;
struct loop_source; /* a watched descriptor */
struct loop_timer;

/* events: EPOLLIN | EPOLLOUT | EPOLLHUP ... as epoll_ctl(2) has them. */
typedef void loop_fd_fn(void *opaque, uint32_t events);
typedef void loop_timer_fn(void *opaque);

int loop_new(struct loop **ret, struct error *err);
void loop_free(struct loop *loop); /* NULL is fine; sources and timers must be gone */

/* Watches fd (level-triggered). The source may be removed from inside its own callback. */
int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *opaque,
		struct loop_source **ret, struct error *err);
int loop_modify_fd(struct loop_source *source, uint32_t events);
void loop_remove_fd(struct loop_source *source); /* NULL is fine; does not close the fd */

/* A timer on CLOCK_MONOTONIC, disarmed at birth. */
int loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *opaque, struct loop_timer **ret,
		   struct error *err);
/* Fires once after delay_ns, then every period_ns (0: once). Re-arming replaces. delay 0: at the
 * next turn. */
void loop_timer_arm(struct loop_timer *timer, uint64_t delay_ns, uint64_t period_ns);
void loop_timer_disarm(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer); /* NULL is fine */

/* Runs until loop_stop(). Returns 0, or a negative errno when epoll itself fails. */
int loop_run(struct loop *loop);
/* One turn, waiting at most timeout_ms (-1: for ever). For tests and nested, bounded waits. */
int loop_run_once(struct loop *loop, int timeout_ms);
/* Any thread, or a signal handler: makes loop_run() return after the current turn. */
void loop_stop(struct loop *loop);

/* The calling thread is the one that runs the loop, or nobody runs it. */
bool loop_is_mine(struct loop *loop);

/*
 * Any thread: runs fn on the loop's thread, between two callbacks, and returns when it is done. At
 * once where loop_is_mine(). The loop must go on running; whoever waits must hold no lock that the
 * loop's callbacks take.
 */
typedef void loop_call_fn(void *opaque);
void loop_call(struct loop *loop, loop_call_fn *fn, void *opaque);

/*
 * What threads that work beside this loop do first, by their role ("vcpu", "disk"): the place to
 * take rights from them. A thread for which it fails does no work. Set before they are started;
 * guard is borrowed. loop_enter_thread() calls it, on the new thread: 0 where there is none.
 */
struct loop_guard {
	int (*enter)(void *opaque, const char *role, struct error *err);
	void *opaque;
};

void loop_set_guard(struct loop *loop, const struct loop_guard *guard);
int loop_enter_thread(const struct loop *loop, const char *role, struct error *err);

/*
 * Blocked signals as events: fn runs on the loop's thread for each of the signals in the -1
 * terminated list. The signals are blocked in the calling thread (call before other threads start).
 */
typedef void loop_signal_fn(void *opaque, int signo);
int loop_add_signals(struct loop *loop, const int *signos, loop_signal_fn *fn, void *opaque,
		     struct error *err);

#endif
