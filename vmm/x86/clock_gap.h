/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much time has passed for a guest between save and load. Arithmetic only.
 *
 * The host's TSC is the one clock that goes on through a kexec: the CPU is not reset, and Linux
 * touches IA32_TSC_ADJUST only where firmware left it wrong, which the first kernel has put right
 * already. So where the TSC now is past the TSC at the save, the TSC is believed, and nothing else:
 * the guest's own TSC keeps its offset to the host's (it never notices), and kvmclock is set
 * forward by the TSC's advance, at the rate that the OLD kernel measured, because the new one may
 * not have refined its own measurement yet (Linux does so a second after boot). Both of the guest's
 * clocks then agree to a microsecond, whichever it uses.
 *
 * The host's wall clock is the second choice only: right after a boot it comes from the RTC, which
 * has whole seconds, may be minutes wrong until NTP has looked at it, and hours where it holds
 * local time. It decides only where the TSC has stepped back (the CPU was reset: not a kexec), and
 * then every vCPU's TSC offset is moved by the same amount, so that the guest's TSC, too, goes on
 * from where it was. If the wall clock stepped back as well, no time has passed: a guest's
 * monotonic clock must not go backwards.
 */
#ifndef HOLDFAST_VMM_X86_CLOCK_GAP_H
#define HOLDFAST_VMM_X86_CLOCK_GAP_H

#include <stdbool.h>
#include <stdint.h>

/* One instant on the host: before, or now. */
struct clock_instant {
	uint64_t host_tsc;
	uint64_t realtime_ns;
};

struct clock_gap {
	bool tsc_went_on;
	uint64_t elapsed_ns;
	/* To be added to each vCPU's TSC offset, modulo 2^64; 0 if the TSC went on. */
	uint64_t offset_delta;
	/* By how much the wall clock says otherwise: its gap minus elapsed_ns. For a message. */
	int64_t realtime_error_ns;
};

/* tsc_khz: rate of the host's TSC as measured before the gap; not 0. */
struct clock_gap clock_gap(const struct clock_instant *saved, const struct clock_instant *now,
			   uint32_t tsc_khz);

/* TSC cycles to nanoseconds and back, with no overflow on the way; a result too large is cut to
 * UINT64_MAX. */
uint64_t tsc_to_ns(uint64_t cycles, uint32_t tsc_khz);
uint64_t ns_to_tsc(uint64_t ns, uint32_t tsc_khz);

/* Whether two measurements can be of the same counter: within 1 %. Calibration against the PIT is
 * good to 0.05 %. */
bool tsc_khz_same(uint32_t a, uint32_t b);

#endif
