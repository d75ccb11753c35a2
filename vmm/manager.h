/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager of a vmm that is a service of its own, without luod: it hears how the VM gets
 * on, and keeps the VM's LUO session across a kexec (LUOSession= and FileDescriptorStorePreserve=
 * of systemd.service(5)). Loop thread only.
 */
#ifndef HOLDFAST_VMM_MANAGER_H
#define HOLDFAST_VMM_MANAGER_H

#include "base/loop.h"
#include "base/notify.h"
#include "vmm/update/phases.h"

/* The name of the session among what the manager passes: LUOSession=session. */
#define MANAGER_SESSION "session"

struct manager {
	struct notify notify;
	struct loop_timer *watchdog; /* owned; NULL: nobody wants signs of life */
	int session_fd;		     /* owned: passed, and not used yet; FD_NONE */
	bool stored;		     /* the manager has a copy of a session that is in use */
	bool ready;
};

/* Before other threads start: reads the environment. */
void manager_init(struct manager *m);
void manager_done(struct manager *m);

/* Signs of life from this loop, where they are asked for. */
int manager_start(struct manager *m, struct loop *loop, struct error *err);

/*
 * Whether the session that was passed came from the previous kernel with a VM in it. An error: it
 * did, and what is in it cannot be had.
 */
int manager_has_vm(const struct manager *m, bool *ret, struct error *err);

/* The session for the next prepare or resume, the caller's then; FD_NONE: none was passed. */
int manager_take_session(struct manager *m);

/* The VM is in this phase; session_fd: borrowed, what it is preserved in, or FD_NONE. */
void manager_on_phase(struct manager *m, enum update_phase phase, int session_fd);

#endif
