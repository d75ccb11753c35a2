/* SPDX-License-Identifier: Apache-2.0 */
/* docs/state-format.md, "rtc". */
#include "base/util.h"
#include "devices/rtc_impl.h"

static int rtc_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	const struct rtc *rtc = obj;
	const struct rtc_regs *regs = &rtc->regs;

	pthread_mutex_lock(&rtc->self->lock);
	state_put_u32(w, "index", regs->index);
	state_put_u32(w, "nmi-masked", regs->nmi_masked);
	state_put_u32(w, "a", regs->a);
	state_put_u32(w, "b", regs->b);
	state_put_u32(w, "c", regs->c);
	state_put_u64(w, "offset-seconds", (uint64_t)regs->offset_s);
	state_put_u32(w, "phase-ns", regs->phase_ns);
	state_put_u32(w, "weekday-shift", regs->weekday_shift);
	state_put_u64(w, "seen-ns", regs->seen_ns);
	state_put_bytes(w, "cmos", regs->cmos, sizeof(regs->cmos));
	pthread_mutex_unlock(&rtc->self->lock);
	return 0;
}

/* Bytes that are kept elsewhere are 0, so that a state has one form. */
static void check_cmos(struct state_reader *r, const struct rtc_regs *regs)
{
	bool runs = rtc_clock_runs(regs);

	for (unsigned int i = 0; i < RTC_CMOS_SIZE; i++) {
		bool unused = (i >= RTC_A && i <= RTC_D) || (runs && rtc_is_time_register(i));

		state_require(r, !unused || regs->cmos[i] == 0, "cmos: byte 0x%02x must be 0", i);
	}
}

static void parse_regs(struct state_reader *r, struct rtc_regs *regs)
{
	*regs = (struct rtc_regs){
		.index = (uint8_t)state_get_u32_max(r, "index", RTC_CMOS_SIZE - 1),
		.nmi_masked = state_get_bool(r, "nmi-masked"),
		.a = (uint8_t)state_get_u32_max(r, "a", A_KEPT),
		.b = (uint8_t)state_get_u32_max(r, "b", 0xff),
		.c = (uint8_t)state_get_u32_max(r, "c", C_FLAGS),
		.offset_s = (int64_t)state_get_u64(r, "offset-seconds"),
		.phase_ns = state_get_u32_max(r, "phase-ns", NSEC_PER_SEC - 1),
		.weekday_shift = (uint8_t)state_get_u32_max(r, "weekday-shift", 6),
		.seen_ns = state_get_u64(r, "seen-ns"),
	};
	state_get_bytes(r, "cmos", regs->cmos, sizeof(regs->cmos));
	state_require(r, !(regs->c & ~C_FLAGS), "c: 0x%02x cannot be", regs->c);
	state_require(r, !(regs->b & B_SET) || !(regs->b & B_UIE),
		      "b: 0x%02x cannot be: SET clears UIE", regs->b);
	state_require(r, regs->offset_s >= -RTC_OFFSET_MAX && regs->offset_s <= RTC_OFFSET_MAX,
		      "offset-seconds: out of range");
	check_cmos(r, regs);
}

static int rtc_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		    enum state_mode mode, struct error *err)
{
	struct rtc *rtc = obj;
	struct rtc_regs regs;
	int ret;

	parse_regs(r, &regs);
	ret = state_reader_done(r, err);
	if (ret < 0 || mode == STATE_CHECK)
		return ret;
	pthread_mutex_lock(&rtc->lock);
	rtc->regs = regs;
	rtc_update_irq(rtc);
	/* What fell into the gap is raised from the loop. */
	rtc_kick(rtc);
	pthread_mutex_unlock(&rtc->lock);
	return 0;
}

const struct state_ops rtc_state_ops = {
	.name = "rtc", .version = 1, .min_version = 1, .save = rtc_save, .load = rtc_load};
