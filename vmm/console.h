/* SPDX-License-Identifier: Apache-2.0 */
/* A console of the configuration as a byte backend. */
#ifndef HOLDFAST_VMM_CONSOLE_H
#define HOLDFAST_VMM_CONSOLE_H

#include "devices/attach.h"
#include "devices/chardev.h"
#include "vmm/config.h"

/*
 * key: as the user knows it ("console"), for messages. Ctrl-A x on a terminal asks `control`, which
 * must outlive the backend, to switch the machine off. Loop's thread.
 */
int console_open(const char *key, const struct console_config *config, struct loop *loop,
		 struct machine_control *control, struct chardev **ret, struct error *err);

#endif
