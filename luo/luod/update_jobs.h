/* SPDX-License-Identifier: Apache-2.0 */
/* The steps that block in the kernel: each runs beside the loop and then lets the engine go on. */
#ifndef HOLDFAST_LUOD_UPDATE_JOBS_H
#define HOLDFAST_LUOD_UPDATE_JOBS_H

#include "luo/luod/update.h"

/* All: UPDATE_PENDING, or a negative errno when the job could not be begun. */

/* kexec_file_load of the configured image. */
int job_load(struct update *u, struct error *err);

/* The session "luod" with the registry's memfd in it, and one session for each VM of the update:
 * u->session_fd and vm->session_fd. */
int job_sessions(struct update *u, struct error *err);

/* sync(2) with a deadline: -ETIMEDOUT when a file system does not come to an end. */
int job_sync(struct update *u, unsigned int timeout_ms, struct error *err);

#endif
