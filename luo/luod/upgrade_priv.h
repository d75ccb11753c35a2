/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_LUOD_UPGRADE_PRIV_H
#define HOLDFAST_LUOD_UPGRADE_PRIV_H

#include "luo/luod/upgrade.h"

struct upgrade {
	struct vm *vm;		 /* borrowed; the old vmm is connected as it */
	struct vm *next;	 /* owned; the new one, until it is promoted */
	struct vm_record record; /* of next: in no list */
	struct update_engine engine;
	unsigned int freeze_timeout_ms;
	/* The step under way waits for this of the new vmm's process. */
	enum { WAIT_FOR_NOTHING, WAIT_FOR_HELLO, WAIT_FOR_END } waits;
	bool frozen;		      /* the state is written: what luod holds is a whole guest */
	bool next_died;		      /* by itself, and the exchange failed with it */
	char gone[ERROR_MESSAGE_MAX]; /* how the new vmm ended, "" before */
};

extern const struct update_step upgrade_steps[];
extern const unsigned int upgrade_step_count;

#endif
