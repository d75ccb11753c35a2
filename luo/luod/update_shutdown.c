/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/update_shutdown.h"

#include "base/log.h"

/* A vmm that is told to end at once has nothing to wait for. */
#define FORCE_MS 10000U

/* One that is still there, or NULL. */
static const struct vm_record *left(const struct update *u)
{
	for (const struct vm_record *record = u->luod->registry.vms; record;
	     record = record->next) {
		if (record->vm->shut_down && record->pid > 0)
			return record;
	}
	return NULL;
}

static void tell_all(struct update *u, enum agent_verb verb)
{
	for (struct vm_record *record = u->luod->registry.vms; record; record = record->next) {
		struct error err = ERROR_INIT;

		if (!record->vm->shut_down || record->pid <= 0)
			continue;
		log_info("vm %s: %s, for the update cannot take it along", record->id,
			 agent_verb_name(verb));
		if (vm_tell(record->vm, verb, &err) < 0)
			log_warning("%s", error_message(&err));
	}
}

static void end(struct update *u, int result, const struct error *err)
{
	loop_timer_free(STEAL_PTR(u->shutdown_timer));
	engine_continue(&u->engine, result, err);
}

static void on_late(void *opaque)
{
	struct update *u = opaque;
	const struct vm_record *record = left(u);
	struct error err = ERROR_INIT;

	if (!u->shutdown_forced) {
		u->shutdown_forced = true;
		tell_all(u, AGENT_SHUTDOWN);
		loop_timer_arm(u->shutdown_timer, FORCE_MS * NSEC_PER_MSEC, 0);
		return;
	}
	error_set(&err, -ETIMEDOUT,
		  "vm %s: it cannot be preserved, and its vmm (pid %d) does not end when it is told"
		  " to; end it, and start the update again",
		  record ? record->id : "?", record ? record->pid : 0);
	end(u, err.code, &err);
}

int shutdown_begin(struct update *u, struct error *err)
{
	int r;

	if (!left(u))
		return 0;
	r = loop_timer_new(u->luod->loop, on_late, u, &u->shutdown_timer, err);
	if (r < 0)
		return r;
	u->shutdown_forced = false;
	loop_timer_arm(u->shutdown_timer, u->config.shutdown_timeout_ms * NSEC_PER_MSEC, 0);
	tell_all(u, AGENT_POWER_BUTTON);
	return UPDATE_PENDING;
}

void update_on_gone(struct update *u, struct vm *vm)
{
	if (!vm->shut_down)
		return;
	registry_set_text(vm->record->why, sizeof(vm->record->why),
			  "shut down for an update that could not take it along");
	if (u->shutdown_timer && !left(u))
		end(u, 0, NULL);
}
