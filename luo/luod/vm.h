/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM at run time: its connection, the request under way, and luod's duplicate of its session.
 * Loop thread only.
 */
#ifndef HOLDFAST_LUOD_VM_H
#define HOLDFAST_LUOD_VM_H

#include "base/new_file.h"
#include "luo/luod/handover.h"
#include "luo/luod/luod.h"

struct peer;
struct upgrade;

/* How the last exchange of a VM's vmm went. */
enum upgrade_state {
	UPGRADE_NONE,
	UPGRADE_UNDER_WAY,
	UPGRADE_DONE,
	UPGRADE_FAILED,
};

/*
 * The end of a request. result 0: reply is there and ok. Negative: err has the words (the vmm's own
 * when it refused, -ETIMEDOUT, or -EPIPE when it is gone), reply may be NULL. The phase and the
 * timeline of the record are up to date already.
 */
typedef void vm_reply_fn(struct vm *vm, int result, struct error *err, void *opaque);

struct vm {
	struct luod *luod;
	struct vm_record *record;
	struct peer *peer; /* NULL: not connected */
	int session_fd;	   /* owned; FD_NONE: none */
	uint32_t next_seq;
	struct {
		bool active;
		uint32_t seq;
		enum agent_verb verb;
		vm_reply_fn *fn;
		void *opaque;
	} request;
	struct loop_timer *timer;	  /* deadline of the request */
	struct loop_timer *hello_timer;	  /* deadline of the hello of a vmm that luod started */
	bool asked_prepare, asked_freeze; /* what an undo has to take back */
	bool by_snapshot;		  /* it goes through the update in a file */
	bool asked_snapshot;		  /* what an undo has to take back */
	struct new_file snapshot;	  /* that file, until it has its name */
	bool shut_down;			  /* an update takes place without it: it is to end */
	unsigned int asked_round;	  /* the last question of an update that came to it */
	bool went_away; /* while it was asked, and neither is it back nor how it ended known */
	bool taking_up; /* in the new kernel: has one of the places for those that load at once */
	bool restart;	/* once its vmm is gone, start it again to take up its session */
	int pid_fd;	/* pidfd of a vmm that others started; FD_NONE for our own children */
	struct loop_source *pid_source;
	struct upgrade *upgrade;  /* its vmm is being exchanged; NULL: it is not */
	struct upgrade *next_of;  /* this is the new vmm of that exchange, and in no registry */
	struct handover handover; /* what a vmm exported, until another runs the guest */
	struct {
		enum upgrade_state state;
		char binary[PATH_MAX];
		char why[ERROR_MESSAGE_MAX];
	} upgraded;
};

/* The VM of that id, made if there is none. */
int vm_get(struct luod *luod, const char *id, struct vm **ret, struct error *err);
/* Gives a record that was read from a registry its run-time half. */
int vm_attach(struct luod *luod, struct vm_record *record, struct error *err);
/* Closes its session and forgets it. Its connection and request must be gone. */
void vm_forget(struct vm *vm);

/*
 * Asks its vmm. timeout_ms goes on the wire (0: none); luod itself waits deadline_ms. session_fd is
 * borrowed, FD_NONE for none. Exactly one of: a negative return, or one call of fn later.
 * -ENOTCONN: no vmm is there. -EBUSY: it is being asked something else.
 */
int vm_request(struct vm *vm, const struct agent_request *request, unsigned int deadline_ms,
	       int session_fd, vm_reply_fn *fn, void *opaque, struct error *err);
/* The same with any number of descriptors, borrowed. */
int vm_request_fds(struct vm *vm, const struct agent_request *request, unsigned int deadline_ms,
		   const int *fds, unsigned int fd_count, vm_reply_fn *fn, void *opaque,
		   struct error *err);
/* The same, with the outcome only logged. */
int vm_tell(struct vm *vm, enum agent_verb verb, struct error *err);

/* From its connection. */
void vm_on_hello(struct vm *vm, struct peer *peer, const struct agent_hello *hello);
/* Of one that has said it before: what it has said has changed. */
void vm_on_hello_again(struct vm *vm, const struct agent_hello *hello);
/* fds: taken. */
void vm_on_reply(struct vm *vm, const struct agent_reply *reply, const int *fds,
		 unsigned int fd_count);
void vm_on_event(struct vm *vm, const struct agent_event *event);
void vm_on_disconnect(struct vm *vm);

/* Sets what is wrong with it, and its status. */
void vm_fail(struct vm *vm, enum vm_status status, const char *why);
void vm_set_status(struct vm *vm, enum vm_status status);

#endif
