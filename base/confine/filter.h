/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp(2) filters that were made when Holdfast was built (policy.h), put on a thread. Threads
 * that a thread starts have its filters; a further one can only take away.
 *
 * A call that is not allowed raises SIGSYS: one line says which thread made which call, then the
 * process ends by that signal. With FILTER_LOG the call is made, and the kernel writes a line of
 * its own ("type=1326", see auditd(8) and dmesg(1)).
 */
#ifndef HOLDFAST_BASE_CONFINE_FILTER_H
#define HOLDFAST_BASE_CONFINE_FILTER_H

#include <linux/filter.h>

#include "base/error.h"

enum filter_mode {
	FILTER_ON,
	FILTER_LOG,
	FILTER_OFF,
};

struct filter {
	const char *role; /* NULL ends an array */
	const struct sock_filter *code;
	unsigned short count;
};

/* In a program: stands for the low half of the process's id. */
#define FILTER_OWN_PID 0x48464f50U

/* A call that no program makes, and that each filter ends the process for (its handler's way to
 * end). */
#define FILTER_END_CALL	     SYS_vserver
#define FILTER_END_CALL_NAME "vserver"

/* That array's filter of that role, or NULL. */
const struct filter *filter_find(const struct filter *filters, const char *role);

/* Lets the end of the process be told: once, before the first filter_enter(). */
int filter_report(struct error *err);

/* Puts the filter on the calling thread, and SIGSYS through to it. Needs no_new_privs or
 * CAP_SYS_ADMIN. FILTER_OFF: does nothing. */
int filter_enter(const struct filter *filter, enum filter_mode mode, struct error *err);

#endif
