/* SPDX-License-Identifier: Apache-2.0 */
/* docs/state-format.md, "acpi-pm". */
#include "base/util.h"
#include "devices/acpi_pm_impl.h"

static int pm_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	const struct acpi_pm *pm = obj;
	const struct acpi_pm_regs *regs = &pm->regs;

	pthread_mutex_lock(&pm->self->lock);
	state_put_u32(w, "pm1-status", regs->status);
	state_put_u32(w, "pm1-enable", regs->enable);
	state_put_u32(w, "pm1-control", regs->control);
	state_put_bytes(w, "gpe-status", regs->gpe_status, sizeof(regs->gpe_status));
	state_put_bytes(w, "gpe-enable", regs->gpe_enable, sizeof(regs->gpe_enable));
	state_put_u64(w, "timer-start-ns", regs->timer_start_ns);
	state_put_u64(w, "timer-halves", regs->timer_halves);
	pthread_mutex_unlock(&pm->self->lock);
	return 0;
}

static int pm_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		   enum state_mode mode, struct error *err)
{
	struct acpi_pm *pm = obj;
	struct acpi_pm_regs regs = {
		.status = (uint16_t)state_get_u32_max(r, "pm1-status", 0xffff),
		.enable = (uint16_t)state_get_u32_max(r, "pm1-enable", 0xffff),
		.control = (uint16_t)state_get_u32_max(r, "pm1-control", 0xffff),
		.timer_start_ns = state_get_u64(r, "timer-start-ns"),
		.timer_halves = state_get_u64(r, "timer-halves"),
	};
	int ret;

	state_get_bytes(r, "gpe-status", regs.gpe_status, sizeof(regs.gpe_status));
	state_get_bytes(r, "gpe-enable", regs.gpe_enable, sizeof(regs.gpe_enable));
	state_require(r, !(regs.status & ~PM1_STS_MASK), "pm1-status: 0x%04x cannot be",
		      regs.status);
	state_require(r, !(regs.enable & ~PM1_EN_MASK), "pm1-enable: 0x%04x cannot be",
		      regs.enable);
	state_require(r, !(regs.control & ~CNT_SLP_TYP), "pm1-control: 0x%04x cannot be",
		      regs.control);
	ret = state_reader_done(r, err);
	if (ret < 0 || mode == STATE_CHECK)
		return ret;
	pthread_mutex_lock(&pm->lock);
	pm->regs = regs;
	acpi_pm_update_sci(pm);
	/* The timer is set from the loop. */
	acpi_pm_kick(pm);
	pthread_mutex_unlock(&pm->lock);
	return 0;
}

const struct state_ops acpi_pm_state_ops = {
	.name = "acpi-pm", .version = 1, .min_version = 1, .save = pm_save, .load = pm_load};
