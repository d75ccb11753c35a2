/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/rtc.h"

#include "base/clock.h"
#include "base/util.h"
#include "devices/rtc_impl.h"

/*
 * Data sheet, "update cycle": UIP rises 244 us before the update starts, which takes 1984 us. Here
 * the time changes at the end of both, at once.
 */
#define UIP_NS (244000 + 1984000)
/* After the divider is released, the first update comes half a second later. */
#define DIVIDER_RELEASE_NS (NSEC_PER_SEC / 2)

uint64_t rtc_now(const struct rtc *rtc)
{
	return rtc->realtime.now_ns(rtc->realtime.opaque) + rtc->regs.phase_ns;
}

void rtc_update_irq(struct rtc *rtc)
{
	bool level = rtc->regs.b & rtc->regs.c & C_FLAGS;

	if (level == rtc->irq_level)
		return;
	rtc->irq_level = level;
	irq_line_set(&rtc->irq, level);
}

void rtc_kick(struct rtc *rtc)
{
	if (rtc->kicked)
		return;
	rtc->kicked = true;
	wakeup_signal(rtc->wakeup);
}

static int64_t clock_seconds(const struct rtc_regs *regs, uint64_t now)
{
	return (int64_t)(now / NSEC_PER_SEC) + regs->offset_s;
}

static void hold_time(struct rtc_regs *regs, uint64_t now)
{
	rtc_time_encode(clock_seconds(regs, now), regs->weekday_shift, regs->b, regs->cmos);
}

static void release_time(struct rtc_regs *regs, uint64_t now)
{
	int64_t seconds = rtc_time_decode(regs->cmos, regs->b, &regs->weekday_shift);

	regs->offset_s = seconds - (int64_t)(now / NSEC_PER_SEC);
	for (unsigned int i = 0; i < RTC_CMOS_SIZE; i++) {
		if (rtc_is_time_register(i))
			regs->cmos[i] = 0;
	}
}

/* The second starts anew so that `now` is `into_second` into it; returns the new `now`. */
static uint64_t shift_phase(struct rtc_regs *regs, uint64_t now, uint64_t into_second)
{
	uint64_t old = regs->phase_ns;
	uint64_t shift = (into_second + NSEC_PER_SEC - now % NSEC_PER_SEC) % NSEC_PER_SEC;

	regs->phase_ns = (uint32_t)((old + shift) % NSEC_PER_SEC);
	now = now - old + regs->phase_ns;
	regs->seen_ns = now;
	return now;
}

/* Writes A or B (the time's registers follow if the clock stops or starts by it). */
static void write_control(struct rtc_regs *regs, uint8_t a, uint8_t b, uint64_t now)
{
	bool ran = rtc_clock_runs(regs), divided = rtc_divider_runs(regs);
	struct rtc_regs next = *regs;

	next.a = a;
	next.b = b;
	if (ran && !rtc_clock_runs(&next))
		hold_time(regs, now);
	regs->a = a;
	regs->b = b;
	/* Data sheet, register B: SET going high clears UIE. */
	if (b & B_SET)
		regs->b &= (uint8_t)~B_UIE;
	if (!divided && rtc_divider_runs(regs))
		now = shift_phase(regs, now, DIVIDER_RELEASE_NS);
	if (!ran && rtc_clock_runs(regs))
		release_time(regs, now);
}

static void write_time(struct rtc_regs *regs, uint8_t value, uint64_t now)
{
	bool runs = rtc_clock_runs(regs);

	if (runs)
		hold_time(regs, now);
	regs->cmos[regs->index] = value;
	if (runs)
		release_time(regs, now);
}

static void write_data(struct rtc *rtc, uint8_t value)
{
	struct rtc_regs *regs = &rtc->regs;
	uint64_t now = rtc_now(rtc);

	rtc_catch_up(regs, now);
	if (rtc_is_time_register(regs->index))
		write_time(regs, value, now);
	else if (regs->index == RTC_A)
		write_control(regs, value & A_KEPT, regs->b, now);
	else if (regs->index == RTC_B)
		write_control(regs, regs->a, value, now);
	else if (regs->index != RTC_C && regs->index != RTC_D)
		regs->cmos[regs->index] = value;
	rtc_update_irq(rtc);
	if (regs->index < RTC_C)
		rtc_kick(rtc);
}

static uint8_t read_c(struct rtc *rtc)
{
	struct rtc_regs *regs = &rtc->regs;
	uint8_t value = regs->c | (regs->b & regs->c & C_FLAGS ? C_IRQF : 0);

	regs->c = 0;
	rtc_update_irq(rtc);
	if (regs->b & C_FLAGS)
		rtc_kick(rtc);
	return value;
}

static uint8_t read_time(const struct rtc_regs *regs, uint64_t now)
{
	struct rtc_regs copy;

	if (!rtc_clock_runs(regs))
		return regs->cmos[regs->index];
	copy = *regs;
	hold_time(&copy, now);
	return copy.cmos[regs->index];
}

static uint8_t read_data(struct rtc *rtc)
{
	struct rtc_regs *regs = &rtc->regs;
	uint64_t now = rtc_now(rtc);
	bool updating = rtc_clock_runs(regs) && now % NSEC_PER_SEC >= NSEC_PER_SEC - UIP_NS;

	rtc_catch_up(regs, now);
	rtc_update_irq(rtc);
	if (rtc_is_time_register(regs->index))
		return read_time(regs, now);
	switch (regs->index) {
	case RTC_A:
		return regs->a | (updating ? A_UIP : 0);
	case RTC_B:
		return regs->b;
	case RTC_C:
		return read_c(rtc);
	case RTC_D:
		return D_VRT;
	default:
		return regs->cmos[regs->index];
	}
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct rtc *rtc = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&rtc->lock);
	for (unsigned int i = 0; i < size; i++) {
		/* The index cannot be read back. */
		uint64_t byte = offset + i == 0 ? 0xff : read_data(rtc);

		value |= byte << (8 * i);
	}
	pthread_mutex_unlock(&rtc->lock);
	return value;
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct rtc *rtc = opaque;

	pthread_mutex_lock(&rtc->lock);
	for (unsigned int i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(value >> (8 * i));

		if (offset + i == 0) {
			rtc->regs.index = byte & 0x7f;
			rtc->regs.nmi_masked = byte & 0x80;
		} else {
			write_data(rtc, byte);
		}
	}
	pthread_mutex_unlock(&rtc->lock);
}

const struct io_ops rtc_io_ops = {.name = "rtc", .read = rtc_read, .write = rtc_write};

bool rtc_nmi_masked(struct rtc *rtc)
{
	bool masked;

	pthread_mutex_lock(&rtc->lock);
	masked = rtc->regs.nmi_masked;
	pthread_mutex_unlock(&rtc->lock);
	return masked;
}

/* Loop's thread: what was due is raised, and the timer set for what comes next. */
static void rtc_service(void *opaque)
{
	struct rtc *rtc = opaque;
	uint64_t now, next;

	pthread_mutex_lock(&rtc->lock);
	rtc->kicked = false;
	now = rtc_now(rtc);
	rtc_catch_up(&rtc->regs, now);
	rtc_update_irq(rtc);
	next = rtc_next_event(&rtc->regs, now);
	pthread_mutex_unlock(&rtc->lock);
	if (next > 0)
		loop_timer_arm(rtc->timer, next, 0);
	else
		loop_timer_disarm(rtc->timer);
}

static uint64_t host_realtime(void *opaque _unused_)
{
	return clock_realtime_ns();
}

int rtc_new(const struct rtc_params *params, struct rtc **ret, struct error *err)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int r;

	if (!rtc)
		return error_set(err, -ENOMEM, "clock: out of memory");
	rtc->self = rtc;
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->irq = params->irq;
	rtc->realtime = params->realtime;
	if (!rtc->realtime.now_ns)
		rtc->realtime.now_ns = host_realtime;
	/* As a PC's firmware leaves them: running, 1024 Hz selected, BCD, 24 hours. */
	rtc->regs.a = 0x26;
	rtc->regs.b = B_24H;
	rtc->regs.seen_ns = rtc_now(rtc);
	r = wakeup_new(params->loop, rtc_service, rtc, &rtc->wakeup, err);
	if (r == 0)
		r = loop_timer_new(params->loop, rtc_service, rtc, &rtc->timer, err);
	if (r < 0) {
		rtc_free(rtc);
		return r;
	}
	*ret = rtc;
	return 0;
}

void rtc_free(struct rtc *rtc)
{
	if (!rtc)
		return;
	wakeup_free(rtc->wakeup);
	loop_timer_free(rtc->timer);
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}
