/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop_thread.h"

#include <semaphore.h>
#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "base/loop_priv.h"
#include "base/util.h"

struct loop_thread {
	struct loop *loop; /* owned */
	pthread_t thread;
	char name[16];
	struct loop *beside; /* borrowed; NULL: on its own */
	const char *role;    /* borrowed */
	/* Whether it was let in: written by the thread before it posts. */
	sem_t entered;
	int result;
	struct error error;
};

static void *thread_main(void *opaque)
{
	struct loop_thread *t = opaque;
	int r;

	pthread_setname_np(pthread_self(), t->name);
	r = loop_enter_thread(t->beside, t->role, &t->error);
	t->result = r;
	sem_post(&t->entered);
	if (r < 0)
		return NULL;
	r = loop_run(t->loop);
	if (r < 0) {
		struct error err = ERROR_INIT;

		error_sys(&err, r, "event loop of thread %s", t->name);
		log_error("%s", error_message(&err));
	}
	return NULL;
}

static int start(struct loop_thread *t, struct error *err)
{
	sigset_t all, old;
	int r;

	/* Signals belong to the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&t->thread, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		return error_sys(err, r, "%s: cannot start a thread", t->name);
	while (sem_wait(&t->entered) < 0)
		continue;
	if (t->result == 0)
		return 0;
	pthread_join(t->thread, NULL);
	return error_set(err, t->result, "%s: %s", t->name, error_message(&t->error));
}

int loop_thread_new_beside(struct loop *beside, const char *role, const char *name,
			   struct loop_thread **ret, struct error *err)
{
	struct loop_thread *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return error_set(err, -ENOMEM, "%s: out of memory", name);
	t->beside = beside;
	t->role = role;
	sem_init(&t->entered, 0, 0);
	snprintf(t->name, sizeof(t->name), "%s", name);
	r = loop_new(&t->loop, err);
	if (r < 0)
		goto out_free;
	r = start(t, err);
	if (r < 0)
		goto out_free;
	/* Said here too, so that loop_call() is right before the thread has got so far. */
	atomic_store(&loop_calls_of(t->loop)->owner, t->thread);
	*ret = t;
	return 0;

out_free:
	loop_free(t->loop);
	sem_destroy(&t->entered);
	free(t);
	return r;
}

int loop_thread_new(const char *name, struct loop_thread **ret, struct error *err)
{
	return loop_thread_new_beside(NULL, NULL, name, ret, err);
}

void loop_thread_free(struct loop_thread *t)
{
	if (!t)
		return;
	loop_stop(t->loop);
	pthread_join(t->thread, NULL);
	loop_free(t->loop);
	sem_destroy(&t->entered);
	free(t);
}

struct loop *loop_thread_loop(struct loop_thread *t)
{
	return t->loop;
}
