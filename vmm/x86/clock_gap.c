/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86/clock_gap.h"

#define KHZ_PER_GHZ 1000000ULL

static uint64_t mul_div(uint64_t a, uint64_t mul, uint64_t div)
{
	unsigned __int128 result = (unsigned __int128)a * mul / div;

	return result > UINT64_MAX ? UINT64_MAX : (uint64_t)result;
}

uint64_t tsc_to_ns(uint64_t cycles, uint32_t tsc_khz)
{
	return mul_div(cycles, KHZ_PER_GHZ, tsc_khz);
}

uint64_t ns_to_tsc(uint64_t ns, uint32_t tsc_khz)
{
	return mul_div(ns, tsc_khz, KHZ_PER_GHZ);
}

bool tsc_khz_same(uint32_t a, uint32_t b)
{
	uint32_t high = a > b ? a : b, low = a > b ? b : a;

	return low > 0 && high - low <= high / 100;
}

struct clock_gap clock_gap(const struct clock_instant *saved, const struct clock_instant *now,
			   uint32_t tsc_khz)
{
	struct clock_gap gap = {.tsc_went_on = now->host_tsc >= saved->host_tsc};
	uint64_t wall_ns =
		now->realtime_ns > saved->realtime_ns ? now->realtime_ns - saved->realtime_ns : 0;

	if (gap.tsc_went_on) {
		gap.elapsed_ns = tsc_to_ns(now->host_tsc - saved->host_tsc, tsc_khz);
	} else {
		gap.elapsed_ns = wall_ns;
		gap.offset_delta = saved->host_tsc + ns_to_tsc(wall_ns, tsc_khz) - now->host_tsc;
	}
	gap.realtime_error_ns = (int64_t)(now->realtime_ns - saved->realtime_ns - gap.elapsed_ns);
	return gap;
}
