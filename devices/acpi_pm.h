/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware (ACPI 6.5, 4.8): PM1 event and control blocks, 32-bit PM timer, GPE0 block,
 * and the SCI as a level. There is no SMI: SCI_EN is always 1 and FADT SMI_CMD must be 0. BM_RLD
 * and GBL_RLS read 0. Of the PM1 events there are power button, RTC alarm and timer overflow; there
 * is no sleep button and nothing to wake from. SLP_EN with SLP_TYP ACPI_PM_SLP_TYP_S5 switches off;
 * any other is ignored with a log line (the DSDT offers only \_S5).
 *
 * The PM timer counts the guest's clock (struct device_clock) at 3.579545 MHz, 0 at the cold boot.
 * Only the moment at which it was 0 is saved: through an update it goes exactly as far as the
 * guest's other clocks do, so that an OS which checks one against the other sees no difference.
 */
#ifndef HOLDFAST_DEVICES_ACPI_PM_H
#define HOLDFAST_DEVICES_ACPI_PM_H

#include "base/error.h"
#include "base/loop.h"
#include "base/state.h"
#include "devices/attach.h"

/* One region of ports; the FADT describes its blocks. */
#define ACPI_PM_IO_SIZE	   0x30
#define ACPI_PM_EVT_OFFSET 0x00 /* PM1a_EVT_BLK, 4 bytes: status, enable */
#define ACPI_PM_CNT_OFFSET 0x04 /* PM1a_CNT_BLK, 2 bytes */
#define ACPI_PM_TMR_OFFSET 0x08 /* PM_TMR_BLK, 4 bytes */
#define ACPI_PM_GPE_OFFSET 0x20 /* GPE0_BLK, 16 bytes: 8 status, 8 enable */
#define ACPI_PM_GPE_COUNT  64

#define ACPI_PM_SLP_TYP_S5 5 /* what the DSDT's \_S5 says */

/* What the node takes of a state blob at most, in bytes. */
#define ACPI_PM_STATE_MAX 512

struct acpi_pm;

struct acpi_pm_params {
	struct irq_line sci; /* level-triggered, active high as seen here; only changes are told */
	struct loop *loop;
	struct machine_control control; /* MACHINE_REQUEST_POWEROFF */
	struct device_clock clock;	/* the guest's clock; zero: the host's CLOCK_MONOTONIC */
};

/* Loop's thread. */
int acpi_pm_new(const struct acpi_pm_params *params, struct acpi_pm **ret, struct error *err);
void acpi_pm_free(struct acpi_pm *pm); /* NULL is fine */

/* Presses the power button: PWRBTN_STS, SCI if enabled. Any thread. */
void acpi_pm_power_button(struct acpi_pm *pm);
/* The RTC's alarm went off: RTC_STS. Any thread; may be called from the RTC's interrupt line. */
void acpi_pm_rtc_alarm(struct acpi_pm *pm);
/* Sets status bit gpe (< ACPI_PM_GPE_COUNT) of GPE0. Any thread; may be called from an interrupt
 * line. */
void acpi_pm_raise_gpe(struct acpi_pm *pm, unsigned int gpe);

/* opaque: struct acpi_pm. vCPU threads. */
extern const struct io_ops acpi_pm_io_ops;
/* obj: struct acpi_pm. Node "acpi-pm". Loading sets the SCI. */
extern const struct state_ops acpi_pm_state_ops;

#endif
