/* SPDX-License-Identifier: Apache-2.0 */
/* Opening /dev/liveupdate, and why it cannot be. Private to luo/. */
#ifndef HOLDFAST_LUO_DEVICE_H
#define HOLDFAST_LUO_DEVICE_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Opens the device, waiting for another opener up to timeout_ms. The caller owns *ret_fd and closes
 * it after one call. Errors as luo_probe() of luo/client.h.
 */
int luo_device_open(unsigned int timeout_ms, int *ret_fd, struct error *err);

/* What can be read about a kernel whose device node is missing. */
struct luo_host_facts {
	const char *cmdline; /* /proc/cmdline; NULL: unreadable */
	const char *config;  /* text of /proc/config.gz; NULL: this kernel does not show it */
	bool misc_listed;    /* /proc/misc has "liveupdate": the driver is there */
};

/* Sets -ENOENT with the reason and the way out. */
int luo_explain_absence(const struct luo_host_facts *facts, struct error *err);

/* The same with this host's own facts. */
int luo_explain_missing_device(struct error *err);

/*
 * Whether the kernel command line switches option on ("kho=on", "kho=1", "kho=y"; the last one
 * counts, as the kernel has it). -ENOENT: the option is not there at all.
 */
int luo_cmdline_switch(const char *cmdline, const char *option, bool *ret);

#endif
