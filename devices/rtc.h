/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818A real-time clock (Motorola data sheet, 1984) with 128 bytes of CMOS RAM and the PC's
 * additions: century at 0x32 (FADT CENTURY), shutdown status byte at 0x0f, NMI mask in bit 7 of the
 * index port.
 *
 * The time is the host's CLOCK_REALTIME plus an offset, which is 0 (UTC) until the guest sets the
 * time. The offset is what is saved: the time is right after an update, however long that took, and
 * an alarm that fell into it is raised when the guest runs again.
 *
 * Of the divider chain, 32768 Hz operation and reset are there. Daylight saving (DSE) and the
 * square wave are kept as bits only. Battery: always good.
 */
#ifndef HOLDFAST_DEVICES_RTC_H
#define HOLDFAST_DEVICES_RTC_H

#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/state.h"
#include "devices/attach.h"

#define RTC_IO_SIZE	2 /* index, data */
#define RTC_CENTURY_REG 0x32
/* What the node takes of a state blob at most, in bytes. */
#define RTC_STATE_MAX 1024

struct rtc;

struct rtc_params {
	struct irq_line irq; /* level of the inverted IRQ pin: true from an event until C is read */
	struct loop *loop;
	struct device_clock
		realtime; /* wall clock, ns since 1970; zero: the host's CLOCK_REALTIME */
};

/* Loop's thread. */
int rtc_new(const struct rtc_params *params, struct rtc **ret, struct error *err);
void rtc_free(struct rtc *rtc); /* NULL is fine */

/* Bit 7 of the index port: the guest asked for NMIs to be held back. Any thread. */
bool rtc_nmi_masked(struct rtc *rtc);

/* opaque: struct rtc. vCPU threads. */
extern const struct io_ops rtc_io_ops;
/* obj: struct rtc. Node "rtc". Loading sets the interrupt line. */
extern const struct state_ops rtc_state_ops;

#endif
