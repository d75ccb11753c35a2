/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that no kernel hands over: the guest gives them up, and gets them back. */
#include "base/util.h"
#include "vmm/update/steps_priv.h"

/* A driver may have to finish what the device does. The guest runs meanwhile. */
#define GIVE_UP_SECONDS 30U

/* One that the guest still has, or NULL. */
static const char *device_here(const struct steps *s)
{
	return vm_config_passed_here(machine_config(s->parts->machine));
}

static void take_back(struct steps *s, bool updated)
{
	machine_take_back(s->parts->machine, updated);
	vm_parts_learn(s->parts);
}

/* The step that waits is over; one that failed has changed nothing. */
static void end_waiting(struct steps *s, int result, const struct error *err)
{
	if (!s->giving_up)
		return;
	s->giving_up = false;
	loop_timer_disarm(s->give_up_timer);
	if (result < 0)
		take_back(s, false);
	update_step_done(s->update, UPDATE_STEP_GIVE_UP, result, err);
}

void steps_device_gone(struct steps *s)
{
	if (s->giving_up && !device_here(s))
		end_waiting(s, 0, NULL);
}

void steps_stop_waiting(struct steps *s, const struct error *why)
{
	end_waiting(s, why->code, why);
}

void steps_not_given_up(void *opaque)
{
	struct steps *s = opaque;
	const char *device = device_here(s);
	struct error err = ERROR_INIT;

	error_set(
		&err, -ETIMEDOUT,
		"VM %s: the guest has not given up device %s within %u seconds, and goes on: it "
		"must have a driver for ACPI hot plug, and nothing in it may keep the device busy",
		s->parts->config.id, device ? device : "", GIVE_UP_SECONDS);
	end_waiting(s, err.code, &err);
}

int step_give_up(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	const char *device = device_here(s);

	if (!device)
		return 0;
	if (s->parts->held)
		return error_set(
			err, -EBUSY,
			"VM %s: the guest is paused and cannot give up device %s: resume it "
			"(vm.resume), or remove the device before (vm.remove-device)",
			s->parts->config.id, device);
	s->giving_up = true;
	loop_timer_arm(s->give_up_timer, GIVE_UP_SECONDS * NSEC_PER_SEC, 0);
	machine_give_up(s->parts->machine);
	return UPDATE_PENDING;
}

void undo_give_up(void *opaque)
{
	take_back(opaque, false);
}

/* After an abort: as if nothing had been. */
int step_take_back(void *opaque, struct error *err _unused_)
{
	take_back(opaque, false);
	return 0;
}

/* After a resume, once the guest runs. A device that is not there any more is told, and is no
 * failure: the guest runs on without it. */
int step_return(void *opaque, struct error *err _unused_)
{
	take_back(opaque, true);
	return 0;
}
