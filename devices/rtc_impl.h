/* SPDX-License-Identifier: Apache-2.0 */
/* Inside devices/rtc*.c only. Names are those of the MC146818A data sheet. */
#ifndef HOLDFAST_DEVICES_RTC_IMPL_H
#define HOLDFAST_DEVICES_RTC_IMPL_H

#include <pthread.h>

#include "devices/rtc.h"
#include "devices/wakeup.h"

enum {
	RTC_SECONDS = 0x00,
	RTC_SECONDS_ALARM = 0x01,
	RTC_MINUTES = 0x02,
	RTC_MINUTES_ALARM = 0x03,
	RTC_HOURS = 0x04,
	RTC_HOURS_ALARM = 0x05,
	RTC_WEEKDAY = 0x06, /* 1 to 7, Sunday is 1 */
	RTC_MONTHDAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0a,
	RTC_B = 0x0b,
	RTC_C = 0x0c,
	RTC_D = 0x0d,
	RTC_CMOS_SIZE = 0x80,
};

/* Register A. */
#define A_UIP	  0x80 /* read-only */
#define A_KEPT	  0x7f
#define A_DV	  0x70 /* 000 to 010: running; 11x: divider held in reset */
#define A_DV_LAST 0x20
#define A_RS	  0x0f
/* Register B. */
#define B_SET 0x80
#define B_PIE 0x40
#define B_AIE 0x20
#define B_UIE 0x10
#define B_DM  0x04 /* binary, else BCD */
#define B_24H 0x02
/* Register C; the flags stand where register B has their enables. */
#define C_IRQF	0x80
#define C_PF	0x40
#define C_AF	0x20
#define C_UF	0x10
#define C_FLAGS (C_PF | C_AF | C_UF)
/* Register D. */
#define D_VRT 0x80

/* The year 9999, the last that the registers can say, from any time the host may have. Seconds. */
#define RTC_OFFSET_MAX (10000LL * 366 * 86400)

struct rtc_regs {
	uint8_t index;
	bool nmi_masked;
	uint8_t a, b, c;   /* a without UIP, c without IRQF: these follow from the rest */
	int64_t offset_s;  /* the clock's seconds less those of realtime plus phase */
	uint32_t phase_ns; /* shifts the second's edge: the guest can reset the divider */
	uint8_t weekday_shift;
	/* Realtime plus phase up to which flags were raised. */
	uint64_t seen_ns;
	/* Alarm and RAM; the time's registers, too, while the clock does not run, else they are 0.
	 */
	uint8_t cmos[RTC_CMOS_SIZE];
};

struct rtc {
	struct rtc *self;     /* for const functions: the mutex is no part of the value */
	pthread_mutex_t lock; /* guards regs, irq_level and kicked */
	struct rtc_regs regs;
	bool irq_level;
	bool kicked;

	/* Never changed after birth. */
	struct irq_line irq;
	struct device_clock realtime;
	struct wakeup *wakeup;
	struct loop_timer *timer;
};

/* rtc_time.c: no state. */

bool rtc_is_time_register(unsigned int index);
/* Seconds since 1970 into the time's registers, in the format that b selects. */
void rtc_time_encode(int64_t seconds, uint8_t weekday_shift, uint8_t b, uint8_t *cmos);
/* The inverse; a value that is no time is taken as the nearest that is one. */
int64_t rtc_time_decode(const uint8_t *cmos, uint8_t b, uint8_t *ret_weekday_shift);
/* Seconds (1 to 86400) from this second of the day until the alarm matches; 0: it never does. */
uint32_t rtc_alarm_distance(const uint8_t *cmos, uint8_t b, uint32_t second_of_day);

/* rtc_events.c. now: realtime plus phase. */

bool rtc_clock_runs(const struct rtc_regs *regs);
bool rtc_divider_runs(const struct rtc_regs *regs);
/* Raises the flags of everything that happened up to now. */
void rtc_catch_up(struct rtc_regs *regs, uint64_t now);
/* Nanoseconds until something may raise the interrupt line; 0: nothing will. */
uint64_t rtc_next_event(const struct rtc_regs *regs, uint64_t now);

/* rtc.c, with the lock held. */
uint64_t rtc_now(const struct rtc *rtc);
void rtc_update_irq(struct rtc *rtc);
void rtc_kick(struct rtc *rtc);

#endif
