/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_LUOCTL_PREFLIGHT_H
#define HOLDFAST_LUOCTL_PREFLIGHT_H

#include "luo/luoctl/luoctl.h"
#include "luo/preflight/preflight.h"

/*
 * preflight_run() with the VMs that luod knows, or, if `without`, those of them that can be
 * preserved; request->vms is filled and emptied here. Where no luod answers: -ECONNREFUSED if
 * need_luod, else a finding. With a URL it is luod that looks; *keep is a new reference then, which
 * has to live as long as the report.
 */
int ctl_preflight(const struct ctl *ctl, bool need_luod, bool without,
		  struct preflight_request *request, struct report *report, json_t **keep,
		  struct error *err);

#endif
