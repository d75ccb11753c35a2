/* SPDX-License-Identifier: Apache-2.0 */
/* The guests that an update cannot take along and that are to go on after it: into files. */
#ifndef HOLDFAST_LUOD_UPDATE_SNAPSHOT_H
#define HOLDFAST_LUOD_UPDATE_SNAPSHOT_H

#include "luo/luod/update.h"

/* Whether files in that folder can be there for the next kernel. -EINVAL: no absolute path, no
 * folder, or in memory. */
int snapshot_check_folder(const char *folder, struct error *err);

/* For steps. All such guests stand still, and are in files that have no name yet. */
int snapshot_begin(struct update *u, struct error *err);
/* They go on. */
int snapshot_undo(struct update *u);

/* The files get their names, beside the loop. UPDATE_PENDING. */
int snapshot_keep(struct update *u, struct error *err);
/* And lose them: what is in them is of the past. */
void snapshot_unkeep(struct update *u);

#endif
