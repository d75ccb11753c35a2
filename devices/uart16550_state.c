/* SPDX-License-Identifier: Apache-2.0 */
/* docs/state-format.md, "uart". */
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "devices/uart16550_impl.h"

static void save_queue(struct state_writer *w, const char *data, const char *errors,
		       const struct rx_queue *q)
{
	state_put_bytes(w, data, q->data, q->count);
	state_put_bytes(w, errors, q->errors, q->count);
}

static int uart_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	const struct uart16550 *u = obj;
	const struct uart16550_regs *regs = &u->regs;
	uint64_t position;
	size_t size;

	pthread_mutex_lock(&u->self->lock);
	state_put_u32(w, "ier", regs->ier);
	state_put_u32(w, "fcr", regs->fcr);
	state_put_u32(w, "lcr", regs->lcr);
	state_put_u32(w, "mcr", regs->mcr);
	state_put_u32(w, "scr", regs->scr);
	state_put_u32(w, "divisor", regs->divisor);
	state_put_u32(w, "lsr-errors", regs->lsr_errors);
	state_put_u32(w, "msr-delta", regs->msr_delta);
	state_put_u32(w, "thre-pending", regs->thre_pending);
	state_put_u32(w, "timeout-pending", regs->timeout_pending);
	save_queue(w, "rx-data", "rx-errors", &regs->fifo);
	save_queue(w, "waiting-data", "waiting-errors", &regs->waiting);
	size = output_ring_peek(&u->output, u->linear, UART16550_OUTPUT_MAX, &position);
	state_put_bytes(w, "output", u->linear, size);
	pthread_mutex_unlock(&u->self->lock);
	return 0;
}

static void load_queue(struct state_reader *r, const char *data, const char *errors,
		       unsigned int max, struct rx_queue *q)
{
	size_t data_size, errors_size;
	const void *d = state_get_blob(r, data, max, &data_size);
	const void *e = state_get_blob(r, errors, max, &errors_size);

	state_require(r, data_size == errors_size, "%s: as long as %s expected", errors, data);
	if (r->code)
		return;
	q->count = (unsigned int)data_size;
	memcpy(q->data, d, data_size);
	memcpy(q->errors, e, errors_size);
	for (unsigned int i = 0; i < q->count; i++)
		state_require(r, q->errors[i] == 0 || (q->errors[i] == LSR_BREAK && !q->data[i]),
			      "%s: character %u: not 0, nor a break with a zero character", errors,
			      i);
}

static void parse_regs(struct state_reader *r, struct uart16550_regs *regs)
{
	*regs = (struct uart16550_regs){
		.ier = (uint8_t)state_get_u32_max(r, "ier", IER_MASK),
		.fcr = (uint8_t)state_get_u32_max(r, "fcr", FCR_KEPT),
		.lcr = (uint8_t)state_get_u32_max(r, "lcr", 0xff),
		.mcr = (uint8_t)state_get_u32_max(r, "mcr", MCR_MASK),
		.scr = (uint8_t)state_get_u32_max(r, "scr", 0xff),
		.divisor = (uint16_t)state_get_u32_max(r, "divisor", 0xffff),
		.lsr_errors = (uint8_t)state_get_u32_max(r, "lsr-errors", LSR_ERRORS_KNOWN),
		.msr_delta = (uint8_t)state_get_u32_max(r, "msr-delta", MSR_DELTAS),
		.thre_pending = state_get_bool(r, "thre-pending"),
		.timeout_pending = state_get_bool(r, "timeout-pending"),
	};
	load_queue(r, "rx-data", "rx-errors", uart16550_capacity(regs), &regs->fifo);
	load_queue(r, "waiting-data", "waiting-errors", UART_WAITING_MAX, &regs->waiting);
	state_require(r, !(regs->fcr & ~FCR_KEPT) && (!regs->fcr || (regs->fcr & FCR_ENABLE)),
		      "fcr: 0x%02x cannot be", regs->fcr);
	state_require(r, !(regs->lsr_errors & ~LSR_ERRORS_KNOWN), "lsr-errors: 0x%02x cannot be",
		      regs->lsr_errors);
	state_require(r, !regs->thre_pending || (regs->ier & IER_THRE),
		      "thre-pending: its interrupt is not enabled in ier");
	state_require(r, !regs->timeout_pending || ((regs->fcr & FCR_ENABLE) && regs->fifo.count),
		      "timeout-pending: there is no character in a FIFO");
	state_require(r, regs->fifo.count == 0 || regs->fifo.errors[0] == 0,
		      "rx-errors: the first character's belongs to lsr-errors");
}

static void commit(struct uart16550 *u, const struct uart16550_regs *regs, const void *output,
		   size_t output_size)
{
	pthread_mutex_lock(&u->lock);
	u->regs = *regs;
	u->last_rx_ns = clock_monotonic_ns();
	memcpy(u->output.data, output, output_size);
	u->output.start = 0;
	u->output.end = output_size;
	u->flush_now = output_size > 0;
	uart16550_update_irq(u);
	uart16550_kick(u);
	pthread_mutex_unlock(&u->lock);
}

static int uart_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		     enum state_mode mode, struct error *err)
{
	struct uart16550_regs regs;
	const void *output;
	size_t output_size;
	int ret;

	parse_regs(r, &regs);
	output = state_get_blob(r, "output", UART16550_OUTPUT_MAX, &output_size);
	ret = state_reader_done(r, err);
	if (ret == 0 && mode == STATE_APPLY)
		commit(obj, &regs, output, output_size);
	return ret;
}

const struct state_ops uart16550_state_ops = {
	.name = "uart", .version = 1, .min_version = 1, .save = uart_save, .load = uart_load};
