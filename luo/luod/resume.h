/* SPDX-License-Identifier: Apache-2.0 */
/* The new kernel's half of an update: sessions handed to the vmms, finished, and the update ended.
 */
#ifndef HOLDFAST_LUOD_RESUME_H
#define HOLDFAST_LUOD_RESUME_H

#include "luo/luod/vm.h"

/*
 * Looks for the session "luod" of the previous kernel. 1: there is one, the registry is read from
 * it and the VMs are to be taken up. 0: none. Negative: there is one that cannot be used; it is
 * kept, and the VMs' own sessions are untouched.
 */
int resume_probe(struct luod *luod, struct error *err);

/* What resume_probe() left out, for no guest waits for it: the history of updates. To be called
 * before that is used or written; nothing when it is there. */
void resume_read_history(struct luod *luod);

/* Starts a vmm for every VM that waits to be taken up. */
void resume_begin(struct luod *luod);

/* A vmm waits for its session: it gets it. */
void resume_hand_over(struct vm *vm);
/* Frozen, and given up for another vmm that did not come: it is to go on with its guest. */
void resume_take_back(struct vm *vm);
/* It failed and has kept its session, of which luod has no duplicate: it tries again. */
int resume_again(struct vm *vm, struct error *err);
/* Its guest runs: now, and only now, what was preserved is given up. */
void resume_finish(struct vm *vm);
/* It cannot be taken up for now: the session stays. */
void resume_failed(struct vm *vm, const char *why);
/* Ends the update when no VM is left on its way. */
void resume_check_end(struct luod *luod);

#endif
