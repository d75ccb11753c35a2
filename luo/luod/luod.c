/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/luod.h"

#include "base/clock.h"
#include "luo/luod/update.h"

/* So many times as long as a save took, and no longer than this, nothing is saved after it. */
#define SAVE_PAUSE	  9
#define SAVE_PAUSE_MAX_NS NSEC_PER_SEC

/* Below this the measured rate is too rough. */
#define TSC_MEASURE_MIN_NS (100 * NSEC_PER_MSEC)

void luod_changed(struct luod *luod)
{
	luod->revision++;
	loop_timer_arm(luod->save_timer, 0, 0);
}

bool luod_may_save(struct luod *luod)
{
	uint64_t now = clock_monotonic_ns();

	if (now >= luod->save_after_ns || luod->registry.update.state != UPDATE_RESUMING)
		return true;
	loop_timer_arm(luod->save_timer, luod->save_after_ns - now, 0);
	return false;
}

void luod_saved(struct luod *luod, uint64_t begin_ns)
{
	uint64_t end_ns = clock_monotonic_ns();

	luod->save_after_ns = end_ns + MIN_OF(SAVE_PAUSE * (end_ns - begin_ns), SAVE_PAUSE_MAX_NS);
}

uint64_t luod_tsc_khz(struct luod *luod)
{
	uint64_t ns = clock_monotonic_ns() - luod->start_ns;
	uint64_t ticks = clock_tsc() - luod->start_tsc;

	if (luod->registry.tsc_khz || ns < TSC_MEASURE_MIN_NS)
		return luod->registry.tsc_khz;
	return (uint64_t)((double)ticks * 1e6 / (double)ns);
}

void luod_stop(struct luod *luod)
{
	luod->stopping = true;
	if (luod->update)
		update_abort(luod, "luod was told to end", NULL);
	/* Exchanges end by themselves soon, and are worse off half done. */
	else if (luod->upgrades == 0)
		loop_stop(luod->loop);
}
