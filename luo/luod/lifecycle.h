/* SPDX-License-Identifier: Apache-2.0 */
/* How VMs come and go: started, adopted, ended; and what luod does when one says hello. */
#ifndef HOLDFAST_LUOD_LIFECYCLE_H
#define HOLDFAST_LUOD_LIFECYCLE_H

#include "luo/luod/vm.h"

/*
 * Writes the configuration to <run>/vms/<id>.json and starts a vmm with it. The VM can be taken
 * through updates unless the configuration says "preserve-on-update": false. -EINVAL: no valid id,
 * or an "agent" of its own. -EEXIST: such a VM is there. Whether the vmm takes the rest shows
 * later: the VM becomes connected or failed.
 */
int lifecycle_start(struct luod *luod, json_t *config, struct vm **ret, struct error *err);

/* Writes the configuration in the same way and leaves the VM stopped. Errors as those. */
int lifecycle_define(struct luod *luod, json_t *config, struct vm **ret, struct error *err);

/*
 * Starts a vmm that takes up the VM's session, with the recorded program, or with `binary` when not
 * NULL. One that failed and is still there is ended first. -EINVAL: the VM has nothing preserved.
 * -EALREADY: it is on its way.
 */
int lifecycle_resume(struct vm *vm, const char *binary, struct error *err);

/*
 * Forgets a VM that does not run. With `discard`, also what the previous kernel preserved of it:
 * the guest is lost then. -EBUSY: its vmm is there. -ENOTEMPTY: it has preserved memory and discard
 * is not given.
 */
int lifecycle_forget(struct vm *vm, bool discard, struct error *err);

/*
 * Starts binary as a vmm that waits for the guest it is to take up, and for its hello within
 * hello_ms. -ENOEXEC: it cannot be started.
 */
int lifecycle_start_resuming(struct vm *vm, const char *binary, unsigned int hello_ms,
			     struct error *err);

/* Looks out for the end of the VM's process, whoever has started it. */
void lifecycle_watch(struct vm *vm);

/* A child has ended (from SIGCHLD). */
void lifecycle_reap(struct luod *luod);

/* The process of a vmm is gone for good; text tells how, clean: with status 0. */
void lifecycle_on_gone(struct vm *vm, const char *text, bool clean);

/* What vm.c hears. */
void lifecycle_on_hello(struct vm *vm);
void lifecycle_on_no_hello(struct vm *vm);
void lifecycle_on_phase(struct vm *vm);
void lifecycle_on_disconnect(struct vm *vm);

#endif
