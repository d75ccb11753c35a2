/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the flags of register C rise. They are found by comparing two moments, so that nothing has
 * to run while the guest does not look, and nothing is lost in an update.
 */
#include "base/util.h"
#include "devices/rtc_impl.h"

#define TICKS_PER_SEC	32768ULL
#define SECONDS_PER_DAY 86400
/* The host's wall clock may be set while a timer runs, so a far alarm is looked at again. */
#define RECHECK_NS (10 * NSEC_PER_SEC)

bool rtc_divider_runs(const struct rtc_regs *regs)
{
	return (regs->a & A_DV) <= A_DV_LAST;
}

bool rtc_clock_runs(const struct rtc_regs *regs)
{
	return !(regs->b & B_SET) && rtc_divider_runs(regs);
}

/* In 32768ths of a second; 0: no periodic event (data sheet, table 5). */
static uint64_t period_ticks(const struct rtc_regs *regs)
{
	unsigned int rs = regs->a & A_RS;

	if (rs == 0)
		return 0;
	return 1ULL << (rs < 3 ? rs + 6 : rs - 1);
}

static uint64_t to_ticks(uint64_t ns)
{
	return ns / NSEC_PER_SEC * TICKS_PER_SEC + ns % NSEC_PER_SEC * TICKS_PER_SEC / NSEC_PER_SEC;
}

static uint32_t second_of_day(const struct rtc_regs *regs, uint64_t ns)
{
	int64_t second = ((int64_t)(ns / NSEC_PER_SEC) + regs->offset_s) % SECONDS_PER_DAY;

	return (uint32_t)(second < 0 ? second + SECONDS_PER_DAY : second);
}

static uint32_t alarm_distance(const struct rtc_regs *regs, uint64_t ns)
{
	return rtc_alarm_distance(regs->cmos, regs->b, second_of_day(regs, ns));
}

static void catch_up_clock(struct rtc_regs *regs, uint64_t now)
{
	uint64_t passed = now / NSEC_PER_SEC - regs->seen_ns / NSEC_PER_SEC;
	uint32_t distance;

	if (passed == 0)
		return;
	regs->c |= C_UF;
	if (regs->c & C_AF)
		return;
	distance = alarm_distance(regs, regs->seen_ns);
	if (distance > 0 && distance <= passed)
		regs->c |= C_AF;
}

void rtc_catch_up(struct rtc_regs *regs, uint64_t now)
{
	uint64_t period = period_ticks(regs);

	/* The host's clock was set back: nothing happened. */
	if (now < regs->seen_ns)
		regs->seen_ns = now;
	if (rtc_clock_runs(regs))
		catch_up_clock(regs, now);
	if (rtc_divider_runs(regs) && period > 0 &&
	    to_ticks(now) / period != to_ticks(regs->seen_ns) / period)
		regs->c |= C_PF;
	regs->seen_ns = now;
}

static uint64_t next_period(const struct rtc_regs *regs, uint64_t into_second)
{
	uint64_t period = period_ticks(regs);
	uint64_t tick;

	if (period == 0)
		return UINT64_MAX;
	/* Every period divides a second. */
	tick = (into_second * TICKS_PER_SEC / NSEC_PER_SEC / period + 1) * period;
	return (tick * NSEC_PER_SEC + TICKS_PER_SEC - 1) / TICKS_PER_SEC - into_second;
}

uint64_t rtc_next_event(const struct rtc_regs *regs, uint64_t now)
{
	uint64_t into_second = now % NSEC_PER_SEC, next = UINT64_MAX;
	uint32_t distance;

	/* The line is up already: the next event is that the guest reads C. */
	if (regs->b & regs->c & C_FLAGS)
		return 0;
	if ((regs->b & B_PIE) && rtc_divider_runs(regs))
		next = MIN_OF(next, next_period(regs, into_second));
	if ((regs->b & B_UIE) && rtc_clock_runs(regs))
		next = MIN_OF(next, NSEC_PER_SEC - into_second);
	if ((regs->b & B_AIE) && rtc_clock_runs(regs)) {
		distance = alarm_distance(regs, now);
		if (distance > 0)
			next = MIN_OF(next,
				      MIN_OF(distance * NSEC_PER_SEC - into_second, RECHECK_NS));
	}
	return next == UINT64_MAX ? 0 : next;
}
