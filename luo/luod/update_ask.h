/* SPDX-License-Identifier: Apache-2.0 */
/* One question to all VMs of an update at once, and the answers counted. */
#ifndef HOLDFAST_LUOD_UPDATE_ASK_H
#define HOLDFAST_LUOD_UPDATE_ASK_H

#include "luo/luod/update.h"

/*
 * For a step's run() or undo(): 0 when nobody had to be asked, else UPDATE_PENDING, and the engine
 * goes on when the last has answered. The first VM that refuses fails the step, but all answers are
 * waited for: none is left in a phase that nobody knows. Each VM's own reason is in its record.
 */
int update_ask(struct update *u, const struct update_question *question, struct error *err);

#endif
