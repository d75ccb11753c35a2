/* SPDX-License-Identifier: Apache-2.0 */
#include "base/work.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "base/util.h"

/* A weight of 36 beside 1024 (sched_prio_to_weight in kernel/sched/core.c): at most 3.4 % of what a
 * vCPU wants. */
#define NICE_BESIDE_GUESTS 15

struct work {
	pthread_t thread;
	char name[16];
	int event_fd; /* owned */
	struct loop_source *source;
	work_run_fn *run;
	work_done_fn *done;
	void *opaque;
	/* Written by the thread, read by the loop after the thread was joined. */
	int result;
	struct error error;
};

static void *work_main(void *opaque)
{
	struct work *w = opaque;
	uint64_t one = 1;

	pthread_setname_np(pthread_self(), w->name);
	w->result = w->run(w->opaque, &w->error);
	/* The counter cannot be full: this is its only write. */
	if (write(w->event_fd, &one, sizeof(one)) < 0)
		return NULL;
	return NULL;
}

void work_step_aside(void)
{
	/* setpriority(2), C library/kernel differences: of this thread alone. If it may not, the
	 * guests are slower for a while. */
	setpriority(PRIO_PROCESS, 0, NICE_BESIDE_GUESTS);
}

static void on_finished(void *opaque, uint32_t events _unused_)
{
	struct work *w = opaque;

	pthread_join(w->thread, NULL);
	loop_remove_fd(w->source);
	w->done(w->opaque, w->result, &w->error);
	close_fdp(&w->event_fd);
	free(w);
}

int work_start(struct loop *loop, const char *name, work_run_fn *run, work_done_fn *done,
	       void *opaque, struct error *err)
{
	struct work *w = calloc(1, sizeof(*w));
	sigset_t all, old;
	int r;

	if (!w)
		return error_set(err, -ENOMEM, "%s: out of memory", name);
	*w = (struct work){.run = run, .done = done, .opaque = opaque};
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->event_fd = eventfd(0, EFD_CLOEXEC);
	if (w->event_fd < 0) {
		r = error_sys(err, -errno, "%s: cannot create an eventfd", name);
		goto out_free;
	}
	r = loop_add_fd(loop, w->event_fd, EPOLLIN, on_finished, w, &w->source, err);
	if (r < 0)
		goto out_free;
	/* Signals belong to the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&w->thread, NULL, work_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0) {
		error_sys(err, r, "%s: cannot start a thread", name);
		loop_remove_fd(w->source);
		goto out_free;
	}
	return 0;

out_free:
	close_fdp(&w->event_fd);
	free(w);
	return r;
}
