/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_VMM_UPDATE_STEPS_PRIV_H
#define HOLDFAST_VMM_UPDATE_STEPS_PRIV_H

#include "vmm/passthrough_preserve.h"
#include "vmm/update/record.h"
#include "vmm/update/state_file.h"
#include "vmm/update/steps.h"

struct steps {
	struct vm_parts *parts;	   /* borrowed */
	struct update *update;	   /* borrowed */
	struct timeline *timeline; /* borrowed from update */
	struct source *source;	   /* owned; NULL before the first update */

	/* Before the update. */
	struct state_file file;
	struct kept_devices kept;    /* of the host; before the update and after it */
	struct state_writer *writer; /* owned: made before the guest stands still */
	unsigned int freeze_timeout_ms;
	bool preserved, saved;
	uint64_t freeze_end_ns; /* CLOCK_MONOTONIC: vCPUs and devices stand still by then */
	bool paused_by_us;	/* the guest ran when freeze began */
	bool drained_by_us;	/* and its devices did */
	struct loop_timer *settle_timer; /* owned */
	unsigned int settle_turns;
	bool giving_up; /* the guest was asked for devices, and has some of them still */
	struct loop_timer *give_up_timer; /* owned: how long it may */

	/* After it. */
	int state_fd; /* owned: stays open beside the session, for whoever looks into a failure */
	void *bytes;  /* owned: private copy of the state file */
	struct state_blob blob;
	bool read; /* bytes, blob and the configuration in parts are the preserved ones */
	struct vm_config config_before; /* what parts had until then */
	int ram_fds[RAM_REGIONS_MAX];	/* owned */
	unsigned int ram_count;
	struct guest_ram *ram; /* owned: mapped already, by an adoption */
	int lock_fd;	       /* owned: no other process takes this state up meanwhile */
	bool claimed;	       /* nobody else can take this state up any more */
};

/* steps_prepare.c */
int step_preflight(void *opaque, struct error *err);
int step_keep(void *opaque, struct error *err);
void undo_keep(void *opaque);
int step_open(void *opaque, struct error *err);
void undo_open(void *opaque);
int step_state_file(void *opaque, struct error *err);
void undo_state_file(void *opaque);
int step_preserve(void *opaque, struct error *err);
int step_close(void *opaque, struct error *err);
int step_release(void *opaque, struct error *err);

/* steps_freeze.c */
int step_pause(void *opaque, struct error *err);
void undo_pause(void *opaque);
int step_drain(void *opaque, struct error *err);
void undo_drain(void *opaque);
int step_settle(void *opaque, struct error *err);
int step_save(void *opaque, struct error *err);
void undo_save(void *opaque);
int step_store(void *opaque, struct error *err);
int step_continue(void *opaque, struct error *err);
void steps_settled(void *opaque);
int steps_make_writer(struct steps *s, struct error *err);

/* steps_devices.c */
int step_give_up(void *opaque, struct error *err);
void undo_give_up(void *opaque);
void steps_not_given_up(void *opaque);
int step_take_back(void *opaque, struct error *err);
int step_return(void *opaque, struct error *err);

/* steps_exchange.c */
int step_adopt(void *opaque, struct error *err);
int step_use_ram(void *opaque, struct error *err);
int step_let_go(void *opaque, struct error *err);
/* For the time in which a machine is built and tried: two of one guest would be in each other's
 * way. */
int steps_lock(struct steps *s, struct error *err);
int step_claim(void *opaque, struct error *err);
void undo_claim(void *opaque);
/* So that an adoption has a configuration to read before the guest is frozen. */
int steps_write_preview(struct steps *s, struct error *err);

/* steps_resume.c */
/* The state file and a copy of it, both the caller's; *ret points into the copy. */
int steps_read_blob(struct steps *s, int *ret_fd, void **ret_bytes, struct state_blob *ret,
		    struct error *err);
int steps_read_record(struct steps *s, const struct state_blob *blob, struct record *ret,
		      struct error *err);
int steps_retrieve_ram(struct steps *s, const struct vm_config *config, struct error *err);
int step_take(void *opaque, struct error *err);
int step_read_state(void *opaque, struct error *err);
void undo_read_state(void *opaque);
void steps_forget_state(struct steps *s);
int step_read_ram(void *opaque, struct error *err);
void undo_read_ram(void *opaque);
int step_build(void *opaque, struct error *err);
void undo_build(void *opaque);
int step_check(void *opaque, struct error *err);
int step_apply(void *opaque, struct error *err);
int step_announce(void *opaque, struct error *err);
int step_run(void *opaque, struct error *err);
int step_finish(void *opaque, struct error *err);

#endif
