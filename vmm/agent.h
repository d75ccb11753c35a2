/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vmm's side of luo/agent.h: says hello, does what luod asks, one request at a time, and
 * connects again when luod was restarted.
 */
#ifndef HOLDFAST_VMM_AGENT_H
#define HOLDFAST_VMM_AGENT_H

#include "vmm/vm.h"

struct agent;

/* path: copied. A luod that is not there yet is waited for; that is no error. */
int agent_new(struct vm *vm, struct loop *loop, const char *path, struct agent **ret,
	      struct error *err);
void agent_free(struct agent *agent); /* NULL is fine */

void agent_phase_changed(struct agent *agent, enum update_phase phase);	    /* NULL is fine */
void agent_config_changed(struct agent *agent);				    /* NULL is fine */
void agent_say_device(struct agent *agent, const struct device_news *news); /* NULL is fine */
void agent_say_exit(struct agent *agent, const char *reason);		    /* NULL is fine */

#endif
