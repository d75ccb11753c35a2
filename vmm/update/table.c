/* SPDX-License-Identifier: Apache-2.0 */
/* Phases, their invariants, and the edges between them. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "vmm/update/phases.h"

#define MACHINE	  UPDATE_FACT_MACHINE
#define RUNNING	  UPDATE_FACT_RUNNING
#define SESSION	  UPDATE_FACT_SESSION
#define STATE	  UPDATE_FACT_STATE
#define PRESERVED UPDATE_FACT_PRESERVED
#define SAVED	  UPDATE_FACT_SAVED
#define RAM	  UPDATE_FACT_RAM
#define DRAINED	  UPDATE_FACT_DRAINED
#define KEPT	  UPDATE_FACT_KEPT

static const struct {
	const char *name;
	unsigned int must, must_not;
} phases[UPDATE_PHASE_MAX] = {
	[UPDATE_RUNNING] = {"running", MACHINE, SESSION | STATE | PRESERVED | SAVED | RAM | KEPT},
	[UPDATE_PREPARING] = {"preparing", MACHINE, SAVED | RAM},
	[UPDATE_PREPARED] = {"prepared", MACHINE | SESSION | STATE | PRESERVED | KEPT, SAVED | RAM},
	[UPDATE_FREEZING] = {"freezing", MACHINE | SESSION | STATE | PRESERVED | KEPT, RAM},
	[UPDATE_FROZEN] = {"frozen", MACHINE | SESSION | STATE | PRESERVED | SAVED | DRAINED | KEPT,
			   RUNNING | RAM},
	[UPDATE_WAITING] = {"waiting", 0, MACHINE | RUNNING | STATE | PRESERVED | SAVED | RAM},
	[UPDATE_RETRIEVED] = {"retrieved", SESSION | STATE | RAM, MACHINE | RUNNING | PRESERVED},
	[UPDATE_LOADED] = {"loaded", SESSION | MACHINE | DRAINED | KEPT, RUNNING | PRESERVED | RAM},
	[UPDATE_RESUMED] = {"resumed", SESSION | MACHINE | KEPT, PRESERVED | RAM | DRAINED},
	[UPDATE_FAILED] = {"failed", 0, MACHINE | RUNNING | STATE | PRESERVED | SAVED | RAM},
	[UPDATE_ADOPTED] = {"adopted", SESSION | RAM,
			    MACHINE | RUNNING | STATE | PRESERVED | SAVED},
	[UPDATE_RELEASED] = {"released", SESSION,
			     MACHINE | RUNNING | STATE | PRESERVED | SAVED | RAM},
};

static const char *const fact_names[] = {
	"a machine",
	"running vCPUs",
	"a session",
	"a state",
	"preserved files",
	"a saved state",
	"RAM without a machine",
	"a pause by the user",
	"drained devices",
	"kept memory",
};

const char *update_phase_name(enum update_phase phase)
{
	return phases[phase].name;
}

int update_check_invariant(enum update_phase phase, unsigned int facts, struct error *err)
{
	unsigned int missing = phases[phase].must & ~facts;
	unsigned int extra = phases[phase].must_not & facts;

	for (unsigned int i = 0; i < ARRAY_SIZE(fact_names); i++) {
		if ((missing | extra) & (1U << i))
			return error_set(err, -EUCLEAN,
					 "phase %s is entered %s %s: this is a bug in holdfast",
					 phases[phase].name,
					 missing & (1U << i) ? "without" : "with", fact_names[i]);
	}
	return 0;
}

static const char *const verb_names[UPDATE_VERB_MAX] = {
	[UPDATE_PREPARE] = "prepare", [UPDATE_FREEZE] = "freeze", [UPDATE_THAW] = "thaw",
	[UPDATE_ABORT] = "abort",     [UPDATE_RESUME] = "resume", [UPDATE_LOAD] = "load",
	[UPDATE_RUN] = "run",	      [UPDATE_FINISH] = "finish", [UPDATE_ADOPT] = "adopt",
	[UPDATE_RELEASE] = "release", [UPDATE_STORE] = "store",
};

const char *update_verb_name(enum update_verb verb)
{
	return verb_names[verb];
}

const char *update_step_name(enum update_step step)
{
	static const char *const names[] = {
#define X(name, where) #name,
		UPDATE_STEPS(X)
#undef X
	};

	return names[step];
}

#define NO_STAMP TIMELINE_PHASE_MAX
#define NO_VERB	 UPDATE_VERB_MAX
#define STEP(s)	 UPDATE_STEP_##s

#define EDGE(VERB, FROM, VIA, TO, FAILURE, STAMP, THEN, ...)                                     \
	{                                                                                        \
		.verb = UPDATE_##VERB, .from = UPDATE_##FROM, .via = UPDATE_##VIA,               \
		.to = UPDATE_##TO, .on_failure = UPDATE_##FAILURE, .stamp = STAMP, .then = THEN, \
		.step_count =                                                                    \
			sizeof((enum update_step[]){__VA_ARGS__}) / sizeof(enum update_step),    \
		.steps = {                                                                       \
			__VA_ARGS__                                                              \
		}                                                                                \
	}

/* Devices are given up last of what costs time beside the guest, so that it is without them for as
 * short as can be, and no other guest waits for this in its pause.
 * Memory is kept before the first page is preserved, and until nothing is preserved any more: what
 * is undone is undone last. */
const struct update_edge update_edges[] = {
	EDGE(PREPARE, RUNNING, PREPARING, PREPARED, RUNNING, TIMELINE_PREPARE, NO_VERB,
	     STEP(PREFLIGHT), STEP(KEEP), STEP(OPEN), STEP(STATE_FILE), STEP(PRESERVE),
	     STEP(GIVE_UP)),
	EDGE(FREEZE, PREPARED, FREEZING, FROZEN, PREPARED, TIMELINE_FREEZE, NO_VERB, STEP(PAUSE),
	     STEP(DRAIN), STEP(SETTLE), STEP(SAVE)),
	EDGE(STORE, FROZEN, FROZEN, FROZEN, FROZEN, NO_STAMP, NO_VERB, STEP(STORE)),
	EDGE(THAW, FROZEN, FROZEN, PREPARED, FROZEN, NO_STAMP, NO_VERB, STEP(CONTINUE)),
	EDGE(ABORT, PREPARED, PREPARED, RUNNING, PREPARED, NO_STAMP, NO_VERB, STEP(TAKE_BACK),
	     STEP(CLOSE), STEP(RELEASE)),
	/* The guest first: giving up a session takes time in proportion to its RAM. */
	EDGE(ABORT, FROZEN, FROZEN, RUNNING, FROZEN, NO_STAMP, NO_VERB, STEP(CONTINUE),
	     STEP(TAKE_BACK), STEP(CLOSE), STEP(RELEASE)),
	EDGE(RESUME, WAITING, WAITING, RETRIEVED, FAILED, TIMELINE_RETRIEVE, UPDATE_LOAD,
	     STEP(TAKE), STEP(READ_STATE), STEP(READ_RAM)),
	EDGE(RESUME, FAILED, FAILED, RETRIEVED, FAILED, TIMELINE_RETRIEVE, UPDATE_LOAD, STEP(TAKE),
	     STEP(READ_STATE), STEP(READ_RAM)),
	EDGE(LOAD, RETRIEVED, RETRIEVED, LOADED, FAILED, TIMELINE_LOAD, UPDATE_RUN, STEP(BUILD),
	     STEP(CHECK), STEP(APPLY)),
	EDGE(RUN, LOADED, LOADED, RESUMED, FAILED, TIMELINE_RUN, NO_VERB, STEP(ANNOUNCE),
	     STEP(CLAIM), STEP(RUN)),
	EDGE(FINISH, RESUMED, RESUMED, RUNNING, RESUMED, TIMELINE_FINISH, NO_VERB, STEP(RETURN),
	     STEP(FINISH), STEP(CLOSE), STEP(RELEASE)),
	EDGE(ADOPT, WAITING, WAITING, ADOPTED, WAITING, NO_STAMP, NO_VERB, STEP(TAKE), STEP(ADOPT)),
	EDGE(RESUME, ADOPTED, ADOPTED, RETRIEVED, ADOPTED, TIMELINE_RETRIEVE, UPDATE_LOAD,
	     STEP(READ_STATE), STEP(USE_RAM)),
	EDGE(RELEASE, FROZEN, FROZEN, RELEASED, FROZEN, NO_STAMP, NO_VERB, STEP(LET_GO)),
	EDGE(RESUME, RELEASED, RELEASED, RETRIEVED, FAILED, TIMELINE_RETRIEVE, UPDATE_LOAD,
	     STEP(TAKE), STEP(READ_STATE), STEP(READ_RAM)),
};

const unsigned int update_edge_count = ARRAY_SIZE(update_edges);

const struct update_edge *update_edge_find(enum update_phase from, enum update_verb verb)
{
	for (unsigned int i = 0; i < update_edge_count; i++) {
		if (update_edges[i].from == from && update_edges[i].verb == verb)
			return &update_edges[i];
	}
	return NULL;
}
