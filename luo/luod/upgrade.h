/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vmm of a VM exchanged on the same kernel: a new process takes over what the old one exports
 * (luo/agent.h). All that can fail is tried while the guest runs in the old one; what fails later
 * is taken back by the old one. Loop thread only.
 */
#ifndef HOLDFAST_LUOD_UPGRADE_H
#define HOLDFAST_LUOD_UPGRADE_H

#include "luo/luod/update_engine.h"
#include "luo/luod/vm.h"

#define UPGRADE_PREPARE_TIMEOUT_MS 120000U

/*
 * Begins; how it ends is in vm->upgraded. binary: a path; NULL for the one that luod starts new VMs
 * with. -EINVAL: no such program. -EBUSY: an update or another exchange is under way, or the guest
 * does not run. -ENOTCONN: no vmm is there. -EPERM: a VM that cannot be preserved.
 */
int upgrade_begin(struct vm *vm, const char *binary, unsigned int freeze_timeout_ms,
		  struct error *err);

/* The new vmm of an exchange of `vm` that is that process, or NULL. */
struct vm *upgrade_next(const struct vm *vm, pid_t pid);

/* Of the new vmm: it said hello, its process is gone. */
void upgrade_on_hello(struct upgrade *u);
void upgrade_on_next_gone(struct upgrade *u, const char *text);
/* Of the old one. True: what it had is in luod's hands, and nothing is to be done about it. */
bool upgrade_on_gone(struct upgrade *u, const char *text);

#endif
