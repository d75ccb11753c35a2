/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread of a vmm that a guest has taken over: it stands where that thread stands, behind the
 * limits that a real vmm puts on it, and tries what an attacker would. For unit tests, and for the
 * emulated host (tests/host/programs/hostile.c).
 */
#ifndef HOLDFAST_TESTS_UNIT_HOSTILE_H
#define HOLDFAST_TESTS_UNIT_HOSTILE_H

#include <sys/types.h>

#include "vmm/config.h"

/* What belongs to others. "" and 0: left out, and then not attacked. */
struct hostile_victim {
	const char *disk;   /* another VM's */
	const char *secret; /* a file of the host that is there */
	const char *socket; /* another VM's API, which listens */
	pid_t pid;	    /* a process that must live */
};

struct hostile_attack {
	const char *name;
	/* 0: it was done. Negative errno: the kernel refused it. */
	int (*run)(const struct hostile_victim *victim, const struct vm_config *own);
};

extern const struct hostile_attack hostile_attacks[]; /* ended by a name of NULL */
/* What the same threads do all day: must be done. NULL as name ends each. */
extern const struct hostile_attack hostile_duties[];

enum hostile_end {
	HOSTILE_DONE,
	HOSTILE_REFUSED, /* with an errno, the process goes on */
	HOSTILE_KILLED,	 /* by SIGSYS */
	HOSTILE_BROKEN,	 /* the test itself does not work */
};

struct hostile_result {
	enum hostile_end end;
	int code;	 /* of HOSTILE_REFUSED: the errno */
	char said[2048]; /* what the process wrote to its log */
};

/* In a process of its own, confined as the vmm of that configuration, on a thread of that role
 * ("main": the main thread). */
void hostile_run(const char *role, const struct hostile_attack *attack,
		 const struct hostile_victim *victim, const struct vm_config *own,
		 struct hostile_result *ret);

#endif
