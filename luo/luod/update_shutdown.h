/* SPDX-License-Identifier: Apache-2.0 */
/* The guests that an update cannot take along: told to switch off, and waited for. */
#ifndef HOLDFAST_LUOD_UPDATE_SHUTDOWN_H
#define HOLDFAST_LUOD_UPDATE_SHUTDOWN_H

#include "luo/luod/update.h"

/* For a step's run(): 0 when there is none. One that does not obey in time loses its power. */
int shutdown_begin(struct update *u, struct error *err);

#endif
