/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_VMM_VM_PRIV_H
#define HOLDFAST_VMM_VM_PRIV_H

#include "vmm/update/steps.h"
#include "vmm/vm.h"
#include "vmm/vm_parts.h"

/* What has happened and is not dealt with yet. */
enum vm_pending {
	VM_PENDING_RAN = 1 << 0,
	VM_PENDING_RESET = 1 << 1,
	VM_PENDING_POWEROFF = 1 << 2,
	VM_PENDING_CRASH = 1 << 3,
	VM_PENDING_DEVICE_GONE = 1 << 4,
};

struct vm {
	struct vm_parts parts;
	struct steps *steps;   /* owned */
	struct update *update; /* owned */
	const struct vm_callbacks *callbacks;
	void *opaque;

	struct loop_timer *timer; /* owned: deals with `pending` in a turn of its own */
	unsigned int pending;	  /* enum vm_pending */
	const char *reason;	  /* of a power-off */
	struct error crash;

	/* The request whose edge is under way. */
	vm_done_fn *done;
	void *done_opaque;
	struct error snapshot_error; /* of one that failed, until its undo has ended */
	bool snapshot_stays;	     /* the guest stays frozen after it */
	bool own_session; /* this process opened the session: it finishes by itself, too */
	bool over;	  /* the exit was told */
};

/* vm_verbs.c */
int vm_start_edge(struct vm *vm, enum update_verb verb, update_done_fn *then, vm_done_fn *done,
		  void *opaque, struct error *err);
/* The end of a request's edges. */
void vm_answer(void *opaque, int result, const struct error *err);
/* The same after a resume: finishes what this process has taken up by itself. */
void vm_resumed(void *opaque, int result, const struct error *err);
/* Two drivers of one update would meet in the middle. -EPERM: the agent is the one. */
int vm_refuse_beside_agent(const struct vm *vm, const struct vm_request *request,
			   struct error *err);

/* vm_snapshot.c: VM_SNAPSHOT and VM_RESTORE, as vm_request(); take the descriptor. */
int vm_request_snapshot(struct vm *vm, const struct vm_request *request, vm_done_fn *done,
			void *opaque, struct error *err);
int vm_request_restore(struct vm *vm, const struct vm_request *request, vm_done_fn *done,
		       void *opaque, struct error *err);

/* vm_devices.c. Devices came or went, or memory came. */
void vm_config_changed(struct vm *vm);

/* vm.c */
void vm_raise(struct vm *vm, unsigned int pending);
/* An edge is over: what came while it was under way can be dealt with. */
void vm_look_again(struct vm *vm);
void vm_end(struct vm *vm, int exit_code, const char *reason);

#endif
