/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/reset.h"

#include <stdatomic.h>

#include "base/util.h"

/* RST_CNT. SYS_RST and FULL_RST say how to reset, which is all the same here; RST_CPU does it. */
#define CF9_SYS_RST  0x02
#define CF9_RST_CPU  0x04
#define CF9_FULL_RST 0x08
#define CF9_KEPT     (CF9_SYS_RST | CF9_FULL_RST)

/* "Pulse output port", bit 0 (the CPU's reset line) low. */
#define KBD_CMD_RESET 0xfe

struct reset {
	struct machine_control control;
	/*
	 * One byte, so no mutex is needed. RST_CPU is not kept: the machine is gone by then, and
	 * the register reads it as 0.
	 */
	_Atomic uint8_t cf9;
};

static void request_reset(struct reset *reset)
{
	if (reset->control.request)
		reset->control.request(reset->control.opaque, MACHINE_REQUEST_RESET);
}

static uint64_t cf9_read(void *opaque, uint64_t offset _unused_, unsigned int size _unused_)
{
	struct reset *reset = opaque;

	return atomic_load(&reset->cf9);
}

static void cf9_write(void *opaque, uint64_t offset _unused_, uint64_t value,
		      unsigned int size _unused_)
{
	struct reset *reset = opaque;

	atomic_store(&reset->cf9, (uint8_t)(value & CF9_KEPT));
	if (value & CF9_RST_CPU)
		request_reset(reset);
}

const struct io_ops reset_cf9_io_ops = {.name = "reset", .read = cf9_read, .write = cf9_write};

static uint64_t kbd_read(void *opaque _unused_, uint64_t offset _unused_,
			 unsigned int size _unused_)
{
	return 0;
}

static void kbd_write(void *opaque, uint64_t offset _unused_, uint64_t value,
		      unsigned int size _unused_)
{
	if ((uint8_t)value == KBD_CMD_RESET)
		request_reset(opaque);
}

const struct io_ops reset_kbd_io_ops = {
	.name = "keyboard-reset", .read = kbd_read, .write = kbd_write};

static int reset_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	const struct reset *reset = obj;

	state_put_u32(w, "cf9", atomic_load(&reset->cf9));
	return 0;
}

static int reset_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		      enum state_mode mode, struct error *err)
{
	struct reset *reset = obj;
	uint32_t cf9 = state_get_u32_max(r, "cf9", CF9_KEPT);
	int ret;

	state_require(r, !(cf9 & ~(uint32_t)CF9_KEPT), "cf9: 0x%02x cannot be", cf9);
	ret = state_reader_done(r, err);
	if (ret == 0 && mode == STATE_APPLY)
		atomic_store(&reset->cf9, (uint8_t)cf9);
	return ret;
}

const struct state_ops reset_state_ops = {
	.name = "reset", .version = 1, .min_version = 1, .save = reset_save, .load = reset_load};

int reset_new(const struct reset_params *params, struct reset **ret, struct error *err)
{
	struct reset *reset = calloc(1, sizeof(*reset));

	if (!reset)
		return error_set(err, -ENOMEM, "reset control: out of memory");
	reset->control = params->control;
	*ret = reset;
	return 0;
}

void reset_free(struct reset *reset)
{
	free(reset);
}
