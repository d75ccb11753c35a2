/* SPDX-License-Identifier: Apache-2.0 */
/* The real steps of an update, for the engine in update/phases.h. */
#ifndef HOLDFAST_VMM_UPDATE_STEPS_H
#define HOLDFAST_VMM_UPDATE_STEPS_H

#include "vmm/update/phases.h"
#include "vmm/update/source.h"
#include "vmm/vm_parts.h"

/* How long vCPUs have to stop in and devices to drain, unless the request says otherwise. */
#define FREEZE_TIMEOUT_MS_DEFAULT 5000U

struct steps;

extern const struct update_steps update_real_steps;

/* parts is borrowed; the result is the opaque of update_real_steps. */
int steps_new(struct vm_parts *parts, struct steps **ret, struct error *err);
/* Closes the session, if one is still open: what is in it is given up. NULL is fine. */
void steps_free(struct steps *steps);

/* The engine, once it is made: for stamps, and for steps that end later. */
void steps_set_update(struct steps *steps, struct update *update);

/*
 * Where the next prepare or resume puts its files, or finds them. Takes source. One that is open
 * already stays, the new one is freed and false is returned: on a second try the session is in
 * hand.
 */
bool steps_set_source(struct steps *steps, struct source *source);
/* The LUO session that the VM is preserved in, borrowed; FD_NONE: none. */
int steps_session(const struct steps *steps);
void steps_set_freeze_timeout(struct steps *steps, unsigned int timeout_ms);

/* A guest has given a device up: ends the step that waits for the last of them. */
void steps_device_gone(struct steps *steps);
/* It will not give up any more: that step fails, if it is under way. */
void steps_stop_waiting(struct steps *steps, const struct error *why);

bool steps_session_is_open(const struct steps *steps);

/* Whether what is preserved or was taken up is in a file on a disk. */
bool steps_have_snapshot(const struct steps *steps);
/* Whether it is a table of descriptors: an exchange of the vmm. */
bool steps_have_table(const struct steps *steps);
/* What is in it, borrowed; 0: there is none. */
unsigned int steps_table(const struct steps *steps, const struct source_entry **ret);

#endif
