/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timeline of one VM through one update: a TSC stamp at the begin and end of each phase, on
 * both kernels. See docs/decisions for why the TSC. Plain data; carried in state, registry and API
 * as an array of
 *   {"phase": "freeze", "begin": <tsc>, "end": <tsc>}
 */
#ifndef HOLDFAST_LUO_TIMELINE_H
#define HOLDFAST_LUO_TIMELINE_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

enum timeline_phase {
	TIMELINE_PREFLIGHT,
	TIMELINE_PREPARE,
	TIMELINE_FREEZE, /* from the request to pause the vCPUs until the state is written */
	TIMELINE_KEXEC,	 /* luod: from reboot(2) to the first instruction of luod in the new kernel
			  */
	TIMELINE_RETRIEVE, /* session and descriptors by token */
	TIMELINE_LOAD,	   /* machine built, state loaded */
	TIMELINE_RUN,	   /* until every vCPU has come out of its first KVM_RUN */
	TIMELINE_FINISH,
	TIMELINE_PHASE_MAX,
};

struct timeline {
	struct {
		uint64_t begin_tsc; /* 0: has not begun */
		uint64_t end_tsc;   /* 0: has not ended */
	} phases[TIMELINE_PHASE_MAX];
};

const char *timeline_phase_name(enum timeline_phase phase);
/* -EINVAL: no such phase. */
int timeline_phase_parse(const char *name, enum timeline_phase *ret);
void timeline_begin(struct timeline *t, enum timeline_phase phase);
void timeline_end(struct timeline *t, enum timeline_phase phase);
/* New reference; phases that have not begun are left out. */
json_t *timeline_to_json(const struct timeline *t);
/* "end" is left out of a phase that has not ended. Refuses unknown or repeated phases, stamps that
 * do not fit in 63 bits and an end before its begin. */
int timeline_from_json(const json_t *json, struct timeline *ret, struct error *err);
/* Takes from `from` every phase that it has. */
void timeline_merge(struct timeline *t, const struct timeline *from);
/* How long the guest stood still, in TSC ticks: begin of freeze to end of run. 0: not known. */
uint64_t timeline_blackout_tsc(const struct timeline *t);

#endif
