/* SPDX-License-Identifier: Apache-2.0 */
/* An update on the old kernel: from the request until reboot(KEXEC), or all the way back. */
#ifndef HOLDFAST_LUOD_UPDATE_H
#define HOLDFAST_LUOD_UPDATE_H

#include "luo/kexec.h"
#include "luo/luod/update_engine.h"
#include "luo/luod/vm.h"

#define UPDATE_FREEZE_TIMEOUT_MS   10000U
#define UPDATE_PREPARE_TIMEOUT_MS  1800000U
#define UPDATE_SYNC_TIMEOUT_MS	   120000U
#define UPDATE_SHUTDOWN_TIMEOUT_MS 60000U
#define UPDATE_AT_ONCE_MAX	   1024U

/* What a host with so many processors bears: preserving and loading are work for them. */
unsigned int update_default_at_once(void);

/* What becomes of a VM that cannot be taken through an update. */
enum update_unpreservable {
	UNPRESERVABLE_REFUSE,	/* there is no update */
	UNPRESERVABLE_SHUTDOWN, /* it is shut down when all others are prepared */
	UNPRESERVABLE_SNAPSHOT, /* it goes through the update in a file */
};

struct update_config {
	char kernel[PATH_MAX];
	char initrd[PATH_MAX]; /* "" for none */
	char cmdline[KEXEC_CMDLINE_MAX];
	bool reuse_cmdline;
	bool dry_run;	/* load and prepare, then take all back */
	bool stop_host; /* systemd stops the rest of the host before the freeze (update_host.h) */
	unsigned int freeze_timeout_ms;
	unsigned int prepare_timeout_ms;
	unsigned int pause_timeout_ms; /* from the first freeze to reboot(2); 0: none of its own */
	enum update_unpreservable unpreservable;
	char snapshot_dir[PATH_MAX];	  /* where those files are; "" for none */
	unsigned int shutdown_timeout_ms; /* until a guest that is shut down is switched off */
	unsigned int at_once;		  /* so many VMs prepare, or are taken up, side by side */
	json_t *order; /* owned: ids of VMs that come first; NULL: as they came */
};

/* One question to all VMs of an update; update_ask.h asks it. */
struct update_question {
	enum agent_verb verb;
	unsigned int timeout_ms; /* on the wire, 0 for none */
	unsigned int deadline_ms;
	bool with_session;    /* a duplicate of the VM's session goes with it */
	bool with_snapshot;   /* the file for its snapshot does */
	bool undo;	      /* failures are logged and do not stop it */
	unsigned int at_once; /* as many are asked, the next when one has answered; 0: all */
	bool (*wanted)(struct vm *vm);
};

struct update {
	struct luod *luod;
	struct update_config config;
	struct update_engine engine;
	int session_fd;	 /* owned: "luod" for the next kernel; FD_NONE */
	int registry_fd; /* owned: its memfd */
	/* Of the step that asks all VMs at once. */
	unsigned int waiting;
	int first_result;
	struct error first_error;
	bool asking_all; /* the step is still sending: answers do not end it yet */
	struct update_question question;
	unsigned int round;		   /* counts the questions */
	struct loop_timer *shutdown_timer; /* owned: while guests are shut down */
	bool shutdown_forced;
	uint64_t freeze_begin_ns; /* CLOCK_MONOTONIC; 0 before */
	bool asked_host;	  /* systemd is asked to stop the host; update_host.c only: */
	bool host_stopping;	  /* it does: there is no way back to a host that goes on */
	bool holding;		  /* the step waits for the hook */
	bool host_stopped;	  /* the hook has come */
};

extern const struct update_step update_steps[];
extern const unsigned int update_step_count;
/* How many of them a dry run takes. */
extern const unsigned int update_dry_steps;

/*
 * Checks what can be known at once, all problems in one message, and begins. The outcome is in
 * luod->registry.update. -EBUSY: one is under way. -EINVAL: options or command line. -ENOENT: this
 * host has no live update. -EPERM: a VM that cannot be preserved.
 */
int update_begin(struct luod *luod, const struct update_config *config, struct error *err);

/* The operator's abort. -EALREADY: it has ended or is past the point of no return. */
int update_abort(struct luod *luod, const char *why, struct error *err);

/* A VM's connection went away. */
void update_on_disconnect(struct update *u, struct vm *vm);

/* The process of a VM is gone. */
void update_on_gone(struct update *u, struct vm *vm);

/* Takes a VM whose guest has ended out of the update. */
void update_leave(struct vm *vm);

/* Whether there is something in the way of an update of this VM; err says what. 0: nothing. */
int update_check_vm(const struct vm_record *record, struct error *err);

#endif
