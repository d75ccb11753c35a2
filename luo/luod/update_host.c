/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/update_host.h"

#include "base/log.h"
#include "base/work.h"
#include "luo/luod/systemctl.h"

static int host_run(void *opaque _unused_, struct error *err)
{
	return systemctl_kexec(err);
}

static void host_done(void *opaque, int result, struct error *err)
{
	struct update *u = opaque;

	if (result == 0) {
		log_info("update %s: systemd stops the rest of the host",
			 u->luod->registry.update.id);
		u->host_stopping = true;
	}
	/* The hook, or an abort, may have been quicker than this thread. */
	if (result < 0 || u->host_stopped || u->engine.cancelled)
		engine_continue(&u->engine, result, err);
	else
		u->holding = true;
}

int host_begin(struct update *u, struct error *err)
{
	int r;

	if (!u->config.stop_host)
		return 0;
	u->asked_host = true;
	r = work_start(u->luod->loop, "stop-host", host_run, host_done, u, err);
	return r < 0 ? r : UPDATE_PENDING;
}

static void end_hold(struct update *u)
{
	if (!u->holding)
		return;
	u->holding = false;
	engine_continue(&u->engine, 0, NULL);
}

int update_go_on(struct luod *luod, struct error *err)
{
	struct update *u = luod->update;

	if (!u || !u->asked_host || u->host_stopped || u->engine.undoing)
		return error_set(err, -EALREADY, "update: none waits for the host to be stopped");
	u->host_stopped = true;
	end_hold(u);
	return 0;
}

void host_cancel(struct update *u)
{
	if (u->host_stopping)
		log_warning("update %s: given up while the host is being stopped: its guests end "
			    "with it",
			    u->luod->registry.update.id);
	end_hold(u);
}
