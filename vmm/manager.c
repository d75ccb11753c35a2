/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/manager.h"

#include <stdio.h>

#include "luo/client.h"
#include "luo/tokens.h"

void manager_init(struct manager *m)
{
	*m = (struct manager){.session_fd = FD_NONE};
	notify_init(&m->notify);
	m->session_fd = notify_take(&m->notify, MANAGER_SESSION);
}

void manager_done(struct manager *m)
{
	loop_timer_free(STEAL_PTR(m->watchdog));
	close_fdp(&m->session_fd);
	notify_done(&m->notify);
}

int manager_start(struct manager *m, struct loop *loop, struct error *err)
{
	return notify_watchdog_new(&m->notify, loop, &m->watchdog, err);
}

int manager_has_vm(const struct manager *m, bool *ret, struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE;
	int r;

	*ret = false;
	if (m->session_fd < 0)
		return 0;
	/* Retrieved again later, it is the same file (Linux luo_file.c). */
	r = luo_session_retrieve_fd(m->session_fd, TOKEN_VM_STATE, "state", &fd, err);
	*ret = r == 0;
	/* A session of this kernel has nothing to give; one that was handed over empty is no VM's.
	 */
	if (r == -EINVAL || r == -ENOENT) {
		error_clear(err);
		return 0;
	}
	return r;
}

int manager_take_session(struct manager *m)
{
	if (m->session_fd >= 0)
		m->stored = true;
	return steal_fd(&m->session_fd);
}

void manager_on_phase(struct manager *m, enum update_phase phase, int session_fd)
{
	bool runs = phase == UPDATE_RUNNING || phase == UPDATE_RESUMED;
	char text[128];

	/* A session of our own making, which the next kernel's manager is to have for us. */
	if (phase == UPDATE_PREPARED && session_fd >= 0 && !m->stored) {
		notify_store(&m->notify, session_fd, MANAGER_SESSION);
		m->stored = true;
	}
	/* Given up or finished: as long as the manager holds it, its memory stays preserved. */
	if (phase == UPDATE_RUNNING && m->stored) {
		notify_unstore(&m->notify, MANAGER_SESSION);
		m->stored = false;
	}
	snprintf(text, sizeof(text), "%sSTATUS=%s", runs && !m->ready ? "READY=1\n" : "",
		 update_phase_name(phase));
	m->ready |= runs;
	notify_say(&m->notify, text);
}
