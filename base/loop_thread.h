/* SPDX-License-Identifier: Apache-2.0 */
/* An event loop on a thread of its own, for devices whose I/O should not wait for the main loop. */
#ifndef HOLDFAST_BASE_LOOP_THREAD_H
#define HOLDFAST_BASE_LOOP_THREAD_H

#include "base/loop.h"

struct loop_thread;

/* name: of the thread, 15 bytes at most. All signals are blocked in it. */
int loop_thread_new(const char *name, struct loop_thread **ret, struct error *err);
/* The same for the work of a loop: the guard of `beside` lets the thread in as that role, or this
 * fails. beside and role must live as long. */
int loop_thread_new_beside(struct loop *beside, const char *role, const char *name,
			   struct loop_thread **ret, struct error *err);
/* Stops and joins the thread. Sources, timers and callers of its loop must be gone. NULL is fine.
 */
void loop_thread_free(struct loop_thread *thread);
struct loop *loop_thread_loop(struct loop_thread *thread); /* borrowed */

#endif
