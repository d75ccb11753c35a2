/* SPDX-License-Identifier: Apache-2.0 */
/* Inside devices/acpi_pm*.c only. Bits: ACPI 6.5, 4.8.3. */
#ifndef HOLDFAST_DEVICES_ACPI_PM_IMPL_H
#define HOLDFAST_DEVICES_ACPI_PM_IMPL_H

#include <pthread.h>

#include "base/log.h"
#include "devices/acpi_pm.h"
#include "devices/wakeup.h"

#define GPE_BYTES (ACPI_PM_GPE_COUNT / 8)

#define PM1_TMR	   0x0001
#define PM1_GBL	   0x0020
#define PM1_PWRBTN 0x0100
#define PM1_RTC	   0x0400
/* GBL is never raised, but an OS that enables it reads its bit back. */
#define PM1_STS_MASK  (PM1_TMR | PM1_PWRBTN | PM1_RTC)
#define PM1_EN_MASK   (PM1_STS_MASK | PM1_GBL)
#define CNT_SCI_EN    0x0001
#define CNT_SLP_TYP   0x1c00
#define CNT_SLP_SHIFT 10
#define CNT_SLP_EN    0x2000

struct acpi_pm_regs {
	uint16_t status, enable; /* PM1 */
	uint16_t control;	 /* SLP_TYP only */
	uint8_t gpe_status[GPE_BYTES], gpe_enable[GPE_BYTES];
	uint64_t timer_start_ns; /* guest's clock when the PM timer was 0 */
	uint64_t timer_halves;	 /* how often its uppermost bit had changed when last looked at */
};

struct acpi_pm {
	struct acpi_pm *self; /* for const functions: the mutex is no part of the value */
	pthread_mutex_t lock; /* guards regs, sci_level and kicked */
	struct acpi_pm_regs regs;
	bool sci_level;
	bool kicked;

	/* Never changed after birth, but for the rate limit, which only vCPU threads under lock
	 * use. */
	struct irq_line sci;
	struct machine_control control;
	struct device_clock clock;
	struct wakeup *wakeup;
	struct loop_timer *timer;
	struct log_ratelimit sleep_log;
};

/* With the lock held. */
void acpi_pm_update_sci(struct acpi_pm *pm);
void acpi_pm_kick(struct acpi_pm *pm);

#endif
