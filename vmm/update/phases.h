/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an update of one VM, as two tables: what must hold in each phase, and the edges
 * between phases with the steps that each is made of. docs/live-update.md tells it in words.
 *
 *   running -> (preparing) -> prepared -> (freezing) -> frozen -> [kexec]
 *   [kexec] -> waiting -> retrieved -> loaded -> resumed -> running
 *
 * An exchange of the vmm on the same kernel:
 *   the old one: ... frozen -> released [ends; or, when the new one fails] -> retrieved -> ...
 *   the new one: waiting -> adopted, while the guest still runs -> retrieved -> ...
 *
 * A step that fails has changed nothing; the steps before it are undone in reverse, and the VM is
 * in the phase that the edge names for failure. Undoing cannot fail. What a step does is given as
 * functions (update/steps.h has the real ones), so that tests can fail each of them.
 *
 * Everything here belongs to the loop's thread; steps marked "work" run on a thread of their own.
 */
#ifndef HOLDFAST_VMM_UPDATE_PHASES_H
#define HOLDFAST_VMM_UPDATE_PHASES_H

#include <stdbool.h>

#include "base/loop.h"
#include "luo/timeline.h"

enum update_phase {
	UPDATE_RUNNING,
	UPDATE_PREPARING,
	UPDATE_PREPARED,
	UPDATE_FREEZING,
	UPDATE_FROZEN,
	UPDATE_WAITING,	  /* started to resume, nothing taken up yet */
	UPDATE_RETRIEVED, /* session and descriptors are here */
	UPDATE_LOADED,	  /* the machine is whole, the guest stands still */
	UPDATE_RESUMED,	  /* the guest runs, what was preserved is not given up yet */
	UPDATE_FAILED,	  /* could not resume; what was preserved is held for another try */
	UPDATE_ADOPTED,	  /* the files of a guest that another vmm still runs are here and mapped */
	UPDATE_RELEASED,  /* frozen, and the machine given up: the guest is in its files alone */
	UPDATE_PHASE_MAX,
};

const char *update_phase_name(enum update_phase phase);

enum update_verb {
	UPDATE_PREPARE,
	UPDATE_FREEZE,
	UPDATE_THAW,
	UPDATE_ABORT,
	UPDATE_RESUME, /* retrieve, load and run */
	UPDATE_LOAD,   /* inside of resume */
	UPDATE_RUN,    /* inside of resume; on its own for a guest that was paused by its user */
	UPDATE_FINISH,
	UPDATE_ADOPT,	/* all of a resume that can be done before the guest is frozen */
	UPDATE_STORE,	/* frozen: what was preserved is written to a disk */
	UPDATE_RELEASE, /* for the vmm that adopted: what only one process can have is free */
	UPDATE_VERB_MAX,
};

const char *update_verb_name(enum update_verb verb);

/* name, where it runs */
#define UPDATE_STEPS(X)                                                                   \
	X(PREFLIGHT, INLINE)  /* every reason not to begin */                             \
	X(KEEP, INLINE)	      /* devices give no guest memory back any more */            \
	X(OPEN, WORK)	      /* a session for what will be preserved */                  \
	X(STATE_FILE, INLINE) /* the memfd that the state will be written to */           \
	X(PRESERVE, WORK)     /* guest RAM and state file into the session: slow */       \
	X(GIVE_UP, INLINE)    /* the guest lets go of devices of the host */              \
	X(PAUSE, INLINE)      /* vCPUs out of the guest */                                \
	X(DRAIN, INLINE)      /* devices finish what they have taken, and take no more */ \
	X(SETTLE, INLINE)     /* what the guest asked for before the pause is heard */    \
	X(SAVE, INLINE)	      /* state into its file */                                   \
	X(STORE, WORK)	      /* all of it to a disk, if that is where it goes: slow */   \
	X(CONTINUE, INLINE)   /* vCPUs into the guest again */                            \
	X(CLOSE, WORK)	      /* the session and all in it given up: unpins guest RAM */  \
	X(RELEASE, INLINE)    /* devices may give guest memory back again */              \
	X(TAKE_BACK, INLINE)  /* it gets them back, since there is no update */           \
	X(TAKE, WORK)	      /* the session that the previous kernel handed over */      \
	X(READ_STATE, INLINE) /* state copied out and checked, configuration from it */   \
	X(READ_RAM, WORK)     /* guest RAM's memfds: slow */                              \
	X(BUILD, INLINE)      /* the machine, by the code of a cold boot */               \
	X(CHECK, INLINE)      /* the whole state, nothing changed */                      \
	X(APPLY, INLINE)      /* the same, into the machine */                            \
	X(ANNOUNCE, INLINE)   /* guest and devices are told that time has passed */       \
	X(RUN, INLINE)	      /* until every vCPU came out of its first KVM_RUN */        \
	X(RETURN, INLINE)     /* the guest gets devices of the host back */               \
	X(FINISH, WORK)	      /* what was preserved is ours, LUO forgets it */            \
	X(ADOPT, INLINE)      /* configuration read and guest RAM mapped beforehand */    \
	X(USE_RAM, INLINE)    /* that RAM is the machine's */                             \
	X(LET_GO, INLINE)     /* the machine given up, its files kept */                  \
	X(CLAIM, INLINE)      /* of all vmms that have the files, one runs the guest */

enum update_step {
#define X(name, where) UPDATE_STEP_##name,
	UPDATE_STEPS(X)
#undef X
		UPDATE_STEP_MAX,
};

const char *update_step_name(enum update_step step);

/* What is true of the VM, as far as phases care. */
enum update_fact {
	UPDATE_FACT_MACHINE = 1 << 0,	/* there is one */
	UPDATE_FACT_RUNNING = 1 << 1,	/* its vCPUs run */
	UPDATE_FACT_SESSION = 1 << 2,	/* one is open */
	UPDATE_FACT_STATE = 1 << 3,	/* a state file, or a state read from one */
	UPDATE_FACT_PRESERVED = 1 << 4, /* RAM and state file are in the session */
	UPDATE_FACT_SAVED = 1 << 5,	/* the state file says where the guest stands */
	UPDATE_FACT_RAM = 1 << 6,	/* retrieved memfds that no machine has yet */
	UPDATE_FACT_HELD = 1 << 7,	/* paused by its user: stays so when all else is restored */
	UPDATE_FACT_DRAINED = 1 << 8,	/* its devices stand still */
	UPDATE_FACT_KEPT = 1 << 9,	/* they give none of its memory back to the host */
};

/* A step that goes on after run() has returned; update_step_done() ends it. Not for work steps. */
#define UPDATE_PENDING 1

struct update_steps {
	struct {
		/* 0, UPDATE_PENDING or a negative errno; a failed one has changed nothing. */
		int (*run)(void *opaque, struct error *err);
		/* NULL: nothing to undo. */
		void (*undo)(void *opaque);
	} step[UPDATE_STEP_MAX];
	unsigned int (*facts)(void *opaque);
};

struct update;

/* Result of a verb: 0, or a negative errno with words. */
typedef void update_done_fn(void *opaque, int result, const struct error *err);
/* Told after every change of phase. */
typedef void update_phase_fn(void *opaque, enum update_phase phase);

/* phase: UPDATE_RUNNING or UPDATE_WAITING. steps is borrowed. */
int update_new(struct loop *loop, enum update_phase phase, const struct update_steps *steps,
	       void *opaque, update_phase_fn *on_phase, void *on_phase_opaque, struct update **ret,
	       struct error *err);
/* No edge may be under way: see update_is_busy(). NULL is fine. */
void update_free(struct update *update);

/*
 * Starts an edge. Refused with -EBUSY, the phase in the message, when the verb has no edge from
 * here or another one is under way; done is not called then. Otherwise done is called once, with
 * the new phase in place, perhaps before this returns.
 */
int update_request(struct update *update, enum update_verb verb, update_done_fn *done, void *opaque,
		   struct error *err);

/*
 * The edge under way fails at its next step with this code and message, and is undone. Only
 * preparing and freezing can be cancelled; else nothing happens and false is returned.
 */
bool update_cancel(struct update *update, int code, const char *why);

/* Ends a pending step. Nothing happens if it is not the one being waited for. */
void update_step_done(struct update *update, enum update_step step, int result,
		      const struct error *err);

enum update_phase update_phase(const struct update *update);
bool update_is_busy(const struct update *update);
/* Whether the verb would be taken now; -EBUSY and the reason. */
int update_can(const struct update *update, enum update_verb verb, struct error *err);
struct timeline *update_timeline(struct update *update); /* borrowed */

/* 0, or -EUCLEAN naming the fact that does not fit the phase: a bug in us. */
int update_check_invariant(enum update_phase phase, unsigned int facts, struct error *err);

/* ---- The table, for tests and documentation. ---- */

#define UPDATE_EDGE_STEPS_MAX 6

struct update_edge {
	enum update_verb verb;
	enum update_phase from;
	enum update_phase via; /* while under way */
	enum update_phase to;
	enum update_phase on_failure;
	enum timeline_phase stamp; /* TIMELINE_PHASE_MAX: none */
	enum update_verb then;	   /* follows at once; UPDATE_VERB_MAX: none */
	unsigned int step_count;
	enum update_step steps[UPDATE_EDGE_STEPS_MAX];
};

extern const struct update_edge update_edges[];
extern const unsigned int update_edge_count;
/* NULL: none. */
const struct update_edge *update_edge_find(enum update_phase from, enum update_verb verb);

#endif
