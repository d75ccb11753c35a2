/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a vCPU thread hands work to the loop's thread: wakeup_signal() from any thread makes fn run
 * on the loop. Signals before it runs are one.
 */
#ifndef HOLDFAST_DEVICES_WAKEUP_H
#define HOLDFAST_DEVICES_WAKEUP_H

#include "base/loop.h"

struct wakeup;

typedef void wakeup_fn(void *opaque);

/* Loop's thread. */
int wakeup_new(struct loop *loop, wakeup_fn *fn, void *opaque, struct wakeup **ret,
	       struct error *err);
void wakeup_free(struct wakeup *wakeup); /* NULL is fine */

/* Any thread, with any lock held. */
void wakeup_signal(struct wakeup *wakeup);

#endif
