/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits of a vmm, from before its guest's first instruction: which user it is, what it has
 * open, which system calls each of its threads can make, which files it can reach.
 * docs/confinement.md has the table of what each may. Main thread, while there are no others.
 */
#ifndef HOLDFAST_VMM_CONFINE_CONFINE_H
#define HOLDFAST_VMM_CONFINE_CONFINE_H

#include "base/confine/landlock.h"
#include "base/loop.h"
#include "vmm/config.h"

extern const struct filter vmm_filters[]; /* made of confine/policy.c */

struct confine {
	struct loop_guard guard; /* for the main loop (loop_set_guard()) */
	enum filter_mode seccomp;
	bool entered;
};

/*
 * As soon as the process starts: descriptors that nobody named are closed, rights that no VMM needs
 * go, and with config->confine.user the process becomes that user. later: the configuration of the
 * VM may come from elsewhere (a session, a snapshot, the API), and with it a user that
 * confine_enter() has to become. log_fd and session_fd stay open.
 */
int confine_begin(const struct vm_config *config, bool later, int log_fd, int session_fd,
		  struct error *err);

/*
 * Puts all limits in force that config asks for, for good; a second call does nothing. Before
 * the machine is made; a file of the VM that is missing puts it off, because making the machine is
 * going to fail then, and may be tried again when the file is there. last: the guest is about to
 * run; -EBUSY if the limits are not in force.
 */
int confine_enter(struct confine *c, const struct vm_config *config, bool last, struct error *err);

/*
 * Appends to the message of an error, if it is -EACCES, by far the likeliest reason, which nothing
 * about the file itself shows. Of a vmm that is confined.
 */
void confine_explain(const struct vm_config *config, int code, struct error *err);

/* paths.c: all that a VM of that configuration opens, now and after its guest's reset. *missing:
 * one of its files is not there. */
int confine_allow_paths(struct landlock *l, const struct vm_config *config, bool *missing,
			struct error *err);

#endif
