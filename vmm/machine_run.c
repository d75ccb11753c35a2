/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "vmm/machine_priv.h"

/*
 * How often vCPUs that have not been seen to run are interrupted. Ever more seldom, so that on a
 * slow host they get into the guest between two interruptions.
 */
#define NUDGE_FIRST_NS (1 * NSEC_PER_MSEC)
#define NUDGE_LAST_NS  (256 * NSEC_PER_MSEC)

void machine_nudge(void *opaque)
{
	struct machine *m = opaque;

	if (!vcpu_set_is_running(m->vcpus) || vcpu_set_nudge(m->vcpus) == 0)
		return;
	m->nudge_delay_ns = MIN_OF(2 * m->nudge_delay_ns, NUDGE_LAST_NS);
	loop_timer_arm(m->nudge, m->nudge_delay_ns, 0);
}

int machine_start(struct machine *m, struct error *err)
{
	int r;

	if (machine_is_running(m))
		return 0;
	/* Stood still on this kernel (pause, thaw): the same as after an update for its watchdogs.
	 */
	if (m->started && (r = arch_resumed(m->arch, err)) < 0)
		return r;
	r = vcpu_set_start(m->vcpus, err);
	if (r < 0)
		return r;
	machine_undrain(m);
	m->started = true;
	m->nudge_delay_ns = NUDGE_FIRST_NS;
	loop_timer_arm(m->nudge, m->nudge_delay_ns, 0);
	return 0;
}

static unsigned int ms_until(uint64_t end_ns)
{
	uint64_t now = clock_monotonic_ns();

	return now < end_ns ? (unsigned int)((end_ns - now) / NSEC_PER_MSEC) : 0;
}

int machine_pause(struct machine *m, unsigned int timeout_ms, struct error *err)
{
	int r;

	if (!machine_is_running(m))
		return 0;
	r = vcpu_set_pause(m->vcpus, timeout_ms, err);
	if (r < 0)
		return r;
	loop_timer_disarm(m->nudge);
	return 0;
}

int machine_drain(struct machine *m, unsigned int timeout_ms, struct error *err)
{
	uint64_t end_ns = clock_monotonic_ns() + timeout_ms * NSEC_PER_MSEC;
	int r;

	if (!m->devices_run)
		return 0;
	if (machine_is_running(m))
		return error_set(err, -EBUSY, "cannot drain the devices of a guest that runs");
	/* What a guest has let go of is not to be saved. */
	machine_pci_settle(m->pci);
	r = machine_devices_drain(m->devices, end_ns, err);
	if (r < 0)
		return r;
	arch_platform_stop(m->platform, ms_until(end_ns));
	m->devices_run = false;
	return 0;
}

void machine_undrain(struct machine *m)
{
	if (m->devices_run)
		return;
	m->devices_run = true;
	arch_platform_start(m->platform);
	machine_devices_thaw(m->devices);
}

bool machine_is_drained(const struct machine *m)
{
	return !m->devices_run;
}

bool machine_is_running(const struct machine *m)
{
	return vcpu_set_is_running(m->vcpus);
}

int machine_can_preserve(struct machine *m, struct error *err)
{
	struct problems problems = {0};
	struct error why = ERROR_INIT;

	if (arch_can_preserve(m->arch, &why) < 0)
		problem_add(&problems, "%s", error_message(&why));
	machine_devices_check_update(m->devices, &problems);
	return problems.count ? error_set(err, -EOPNOTSUPP, "%s", problems.text) : 0;
}

int machine_resumed(struct machine *m, struct error *err)
{
	int r = arch_resumed(m->arch, err);

	if (r == 0)
		machine_devices_resumed(m->devices);
	return r;
}
