/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orderly end: the power button first, force after a deadline or on a second request. What
 * SIGTERM and SIGINT do.
 */
#ifndef HOLDFAST_VMM_SHUTDOWN_H
#define HOLDFAST_VMM_SHUTDOWN_H

#include "vmm/vm.h"

struct shutdown;

int shutdown_new(struct vm *vm, struct loop *loop, unsigned int timeout_s, struct shutdown **ret,
		 struct error *err);
void shutdown_free(struct shutdown *s); /* NULL is fine */

/* Never ends a process that holds the only copy of a guest: that is logged with the way out. */
void shutdown_request(struct shutdown *s, const char *who);

#endif
