/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the event loop share. For base/loop*.c only. */
#ifndef HOLDFAST_BASE_LOOP_PRIV_H
#define HOLDFAST_BASE_LOOP_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"

struct loop_pending_call;

/* Calls from other threads, on their way to the loop's. */
struct loop_calls {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct loop_pending_call *first, **last; /* under the lock; the callers' stack owns them */
	int fd;					 /* owned eventfd */
	struct loop_source *source;
	_Atomic(pthread_t) owner; /* who runs the loop; 0: nobody */
};

int loop_calls_init(struct loop *loop, struct loop_calls *calls, struct error *err);
void loop_calls_done(struct loop_calls *calls);

/* loop.c */
struct loop_calls *loop_calls_of(struct loop *loop);

#endif
