/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An update that lets systemd stop the rest of the host first. The guests run on meanwhile: luod
 * and the vmms outlive it (SurviveFinalKillSignal= of systemd.unit(5)). The last thing that
 * systemd-shutdown(8) does before its own reboot(2) is to run a hook, which has the update go on.
 */
#ifndef HOLDFAST_LUOD_UPDATE_HOST_H
#define HOLDFAST_LUOD_UPDATE_HOST_H

#include "luo/luod/update.h"

/*
 * For a step's run(): 0 when the host is not to be stopped. Else systemd is told to, and the step
 * ends with update_go_on(). A systemd that refuses fails the step; after that there is no way back.
 */
int host_begin(struct update *u, struct error *err);

/* The host is stopped but for the guests. -EALREADY: no update waits for that. */
int update_go_on(struct luod *luod, struct error *err);

/* The operator gives up; the guests run until systemd ends the host. */
void host_cancel(struct update *u);

#endif
