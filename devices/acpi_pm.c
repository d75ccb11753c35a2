/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/acpi_pm.h"

#include "base/clock.h"
#include "base/util.h"
#include "devices/acpi_pm_impl.h"

#define PM_TIMER_HZ 3579545U

/* The counter without its end at 32 bits. */
static uint64_t timer_ticks(const struct acpi_pm *pm, uint64_t now)
{
	uint64_t passed = now - pm->regs.timer_start_ns;

	return (uint64_t)((unsigned __int128)passed * PM_TIMER_HZ / NSEC_PER_SEC);
}

static uint64_t clock_now(const struct acpi_pm *pm)
{
	return pm->clock.now_ns(pm->clock.opaque);
}

/* ACPI 6.5, 4.8.2.1: TMR_STS is set whenever the uppermost bit changes. */
static void catch_up_timer(struct acpi_pm *pm, uint64_t now)
{
	uint64_t halves = timer_ticks(pm, now) >> 31;

	if (halves == pm->regs.timer_halves)
		return;
	pm->regs.timer_halves = halves;
	pm->regs.status |= PM1_TMR;
}

/* Nanoseconds until the uppermost bit changes. */
static uint64_t next_half(const struct acpi_pm *pm, uint64_t now)
{
	uint64_t passed = now - pm->regs.timer_start_ns;
	unsigned __int128 tick = (unsigned __int128)((timer_ticks(pm, now) >> 31) + 1) << 31;

	return (uint64_t)((tick * NSEC_PER_SEC + PM_TIMER_HZ - 1) / PM_TIMER_HZ) - passed;
}

void acpi_pm_update_sci(struct acpi_pm *pm)
{
	bool level = pm->regs.status & pm->regs.enable;

	for (unsigned int i = 0; i < GPE_BYTES; i++)
		level |= (pm->regs.gpe_status[i] & pm->regs.gpe_enable[i]) != 0;
	if (level == pm->sci_level)
		return;
	pm->sci_level = level;
	irq_line_set(&pm->sci, level);
}

void acpi_pm_kick(struct acpi_pm *pm)
{
	if (pm->kicked)
		return;
	pm->kicked = true;
	wakeup_signal(pm->wakeup);
}

static uint8_t byte_of(uint64_t value, unsigned int byte)
{
	return (uint8_t)(value >> (8 * byte));
}

/* ticks: read once for the whole access, so that a 32-bit read is one moment. */
static uint8_t read_byte(const struct acpi_pm *pm, unsigned int offset, uint64_t ticks)
{
	const struct acpi_pm_regs *regs = &pm->regs;

	switch (offset) {
	case ACPI_PM_EVT_OFFSET ... ACPI_PM_EVT_OFFSET + 1:
		return byte_of(regs->status, offset - ACPI_PM_EVT_OFFSET);
	case ACPI_PM_EVT_OFFSET + 2 ... ACPI_PM_EVT_OFFSET + 3:
		return byte_of(regs->enable, offset - ACPI_PM_EVT_OFFSET - 2);
	case ACPI_PM_CNT_OFFSET ... ACPI_PM_CNT_OFFSET + 1:
		return byte_of(regs->control | CNT_SCI_EN, offset - ACPI_PM_CNT_OFFSET);
	case ACPI_PM_TMR_OFFSET ... ACPI_PM_TMR_OFFSET + 3:
		return byte_of(ticks, offset - ACPI_PM_TMR_OFFSET);
	case ACPI_PM_GPE_OFFSET ... ACPI_PM_GPE_OFFSET + GPE_BYTES - 1:
		return regs->gpe_status[offset - ACPI_PM_GPE_OFFSET];
	case ACPI_PM_GPE_OFFSET + GPE_BYTES... ACPI_PM_GPE_OFFSET + 2 * GPE_BYTES - 1:
		return regs->gpe_enable[offset - ACPI_PM_GPE_OFFSET - GPE_BYTES];
	default:
		return 0;
	}
}

/* True: SLP_EN was written. */
static bool write_byte(struct acpi_pm *pm, unsigned int offset, uint8_t value)
{
	struct acpi_pm_regs *regs = &pm->regs;

	switch (offset) {
	case ACPI_PM_EVT_OFFSET:
		regs->status &= (uint16_t)~value;
		break;
	case ACPI_PM_EVT_OFFSET + 1:
		regs->status &= (uint16_t)~(value << 8);
		break;
	case ACPI_PM_EVT_OFFSET + 2:
		regs->enable = (uint16_t)((regs->enable & 0xff00) | value) & PM1_EN_MASK;
		break;
	case ACPI_PM_EVT_OFFSET + 3:
		regs->enable = (uint16_t)((regs->enable & 0xff) | value << 8) & PM1_EN_MASK;
		break;
	case ACPI_PM_CNT_OFFSET + 1:
		regs->control = (uint16_t)(value << 8) & CNT_SLP_TYP;
		return (value << 8) & CNT_SLP_EN;
	case ACPI_PM_GPE_OFFSET ... ACPI_PM_GPE_OFFSET + GPE_BYTES - 1:
		regs->gpe_status[offset - ACPI_PM_GPE_OFFSET] &= (uint8_t)~value;
		break;
	case ACPI_PM_GPE_OFFSET + GPE_BYTES... ACPI_PM_GPE_OFFSET + 2 * GPE_BYTES - 1:
		regs->gpe_enable[offset - ACPI_PM_GPE_OFFSET - GPE_BYTES] = value;
		break;
	default:
		/* The PM timer and SCI_EN are not for the OS to write. */
		break;
	}
	return false;
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = opaque;
	uint64_t value = 0, now;

	pthread_mutex_lock(&pm->lock);
	now = clock_now(pm);
	catch_up_timer(pm, now);
	acpi_pm_update_sci(pm);
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)read_byte(pm, (unsigned int)offset + i, timer_ticks(pm, now))
			 << (8 * i);
	pthread_mutex_unlock(&pm->lock);
	return value;
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct acpi_pm *pm = opaque;
	bool sleeps = false, off = false;
	unsigned int type;

	pthread_mutex_lock(&pm->lock);
	catch_up_timer(pm, clock_now(pm));
	for (unsigned int i = 0; i < size; i++)
		sleeps |= write_byte(pm, (unsigned int)offset + i, byte_of(value, i));
	acpi_pm_update_sci(pm);
	if (pm->regs.enable & PM1_TMR)
		acpi_pm_kick(pm);
	type = pm->regs.control >> CNT_SLP_SHIFT;
	off = sleeps && type == ACPI_PM_SLP_TYP_S5;
	if (sleeps && !off)
		log_ratelimited(&pm->sleep_log, LOG_LEVEL_WARNING,
				"ACPI: the guest asked for a sleep state that is not offered "
				"(SLP_TYP %u): ignored",
				type);
	pthread_mutex_unlock(&pm->lock);
	if (off && pm->control.request)
		pm->control.request(pm->control.opaque, MACHINE_REQUEST_POWEROFF);
}

const struct io_ops acpi_pm_io_ops = {.name = "acpi-pm", .read = pm_read, .write = pm_write};

static void raise_status(struct acpi_pm *pm, uint16_t bit)
{
	pthread_mutex_lock(&pm->lock);
	pm->regs.status |= bit;
	acpi_pm_update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
	raise_status(pm, PM1_PWRBTN);
}

void acpi_pm_rtc_alarm(struct acpi_pm *pm)
{
	raise_status(pm, PM1_RTC);
}

void acpi_pm_raise_gpe(struct acpi_pm *pm, unsigned int gpe)
{
	pthread_mutex_lock(&pm->lock);
	pm->regs.gpe_status[gpe / 8] |= (uint8_t)(1U << gpe % 8);
	acpi_pm_update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

/* Loop's thread. A timer is only needed where its event would interrupt. */
static void pm_service(void *opaque)
{
	struct acpi_pm *pm = opaque;
	uint64_t now, next = 0;

	pthread_mutex_lock(&pm->lock);
	pm->kicked = false;
	now = clock_now(pm);
	catch_up_timer(pm, now);
	acpi_pm_update_sci(pm);
	if ((pm->regs.enable & PM1_TMR) && !(pm->regs.status & PM1_TMR))
		next = next_half(pm, now);
	pthread_mutex_unlock(&pm->lock);
	if (next > 0)
		loop_timer_arm(pm->timer, next, 0);
	else
		loop_timer_disarm(pm->timer);
}

static uint64_t host_monotonic(void *opaque _unused_)
{
	return clock_monotonic_ns();
}

int acpi_pm_new(const struct acpi_pm_params *params, struct acpi_pm **ret, struct error *err)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));
	int r;

	if (!pm)
		return error_set(err, -ENOMEM, "ACPI power management: out of memory");
	pm->self = pm;
	pthread_mutex_init(&pm->lock, NULL);
	pm->sci = params->sci;
	pm->control = params->control;
	pm->clock = params->clock;
	if (!pm->clock.now_ns)
		pm->clock.now_ns = host_monotonic;
	pm->regs.timer_start_ns = clock_now(pm);
	r = wakeup_new(params->loop, pm_service, pm, &pm->wakeup, err);
	if (r == 0)
		r = loop_timer_new(params->loop, pm_service, pm, &pm->timer, err);
	if (r < 0) {
		acpi_pm_free(pm);
		return r;
	}
	*ret = pm;
	return 0;
}

void acpi_pm_free(struct acpi_pm *pm)
{
	if (!pm)
		return;
	wakeup_free(pm->wakeup);
	loop_timer_free(pm->timer);
	pthread_mutex_destroy(&pm->lock);
	free(pm);
}
