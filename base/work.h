/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One blocking job beside the loop: run() on a thread of its own, done() afterwards on the loop's
 * thread. For what the kernel does slowly (PRESERVE_FD pins every page of a guest), so that the
 * loop goes on serving.
 */
#ifndef HOLDFAST_BASE_WORK_H
#define HOLDFAST_BASE_WORK_H

#include "base/loop.h"

struct work;

typedef int work_run_fn(void *opaque, struct error *err);
/* result: what run() returned; err: its message, borrowed for the call. */
typedef void work_done_fn(void *opaque, int result, struct error *err);

/*
 * Starts the job; the thread is named `name` (15 bytes at most). The work frees itself after
 * done(). opaque must live until then. There is no cancel: run() must be bounded by itself.
 */
int work_start(struct loop *loop, const char *name, work_run_fn *run, work_done_fn *done,
	       void *opaque, struct error *err);

/*
 * In run(), of a job that is long and that no guest waits for: where processors are scarce, its
 * thread gets a thirtieth of what a vCPU gets from here on (nice value 15, sched(7)).
 */
void work_step_aside(void);

#endif
