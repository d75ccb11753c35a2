/* SPDX-License-Identifier: Apache-2.0 */
/* The registers: the side of the vCPUs. */
#include "devices/uart16550.h"

#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "devices/uart16550_impl.h"

/* Register offsets; DLAB selects the divisor in the first two (data sheet, table II). */
enum {
	REG_DATA = 0,
	REG_IER = 1,
	REG_IIR_FCR = 2,
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

/* Interrupt Identification Register, the highest priority first. */
enum {
	IIR_LINE = 0x06,
	IIR_RX = 0x04,
	IIR_TIMEOUT = 0x0c,
	IIR_THRE = 0x02,
	IIR_MSR = 0x00,
	IIR_NONE = 0x01,
	IIR_FIFOS = 0xc0,
};

unsigned int uart16550_capacity(const struct uart16550_regs *regs)
{
	return regs->fcr & FCR_ENABLE ? UART_FIFO_SIZE : 1;
}

static unsigned int trigger_level(const struct uart16550_regs *regs)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return regs->fcr & FCR_ENABLE ? levels[regs->fcr >> 6] : 1;
}

static uint8_t identify_interrupt(const struct uart16550_regs *regs)
{
	if ((regs->ier & IER_LINE) && regs->lsr_errors)
		return IIR_LINE;
	if ((regs->ier & IER_RX) && regs->fifo.count >= trigger_level(regs))
		return IIR_RX;
	if ((regs->ier & IER_RX) && regs->timeout_pending)
		return IIR_TIMEOUT;
	if ((regs->ier & IER_THRE) && regs->thre_pending)
		return IIR_THRE;
	if ((regs->ier & IER_MSR) && regs->msr_delta)
		return IIR_MSR;
	return IIR_NONE;
}

void uart16550_update_irq(struct uart16550 *u)
{
	/* On a PC the OUT2 pin opens the way to the interrupt controller; loopback forces it off.
	 */
	bool gate = (u->regs.mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
	bool level = gate && identify_interrupt(&u->regs) != IIR_NONE;

	if (level == u->irq_level)
		return;
	u->irq_level = level;
	irq_line_set(&u->irq, level);
}

void uart16550_kick(struct uart16550 *u)
{
	if (u->kicked)
		return;
	u->kicked = true;
	wakeup_signal(u->wakeup);
}

/* Line Status Register: an error is reported when its character comes to the top of the FIFO. */
static void reveal_error(struct uart16550_regs *regs)
{
	if (regs->fifo.count == 0)
		return;
	regs->lsr_errors |= regs->fifo.errors[0];
	regs->fifo.errors[0] = 0;
}

static void queue_push(struct rx_queue *q, uint8_t byte, uint8_t error)
{
	q->data[q->count] = byte;
	q->errors[q->count++] = error;
}

static void queue_pop(struct rx_queue *q, uint8_t *byte, uint8_t *error)
{
	*byte = q->data[0];
	*error = q->errors[0];
	q->count--;
	memmove(q->data, q->data + 1, q->count);
	memmove(q->errors, q->errors + 1, q->count);
}

static void fifo_push(struct uart16550 *u, uint8_t byte, uint8_t error)
{
	queue_push(&u->regs.fifo, byte, error);
	u->regs.timeout_pending = false;
	u->last_rx_ns = clock_monotonic_ns();
	reveal_error(&u->regs);
}

unsigned int uart16550_room(const struct uart16550 *u)
{
	/* In loopback the receiver is cut off from the line. */
	if ((u->regs.mcr & MCR_LOOP) || u->regs.waiting.count > 0)
		return 0;
	return uart16550_capacity(&u->regs) - u->regs.fifo.count;
}

void uart16550_refill(struct uart16550 *u)
{
	uint8_t byte, error;

	while (!(u->regs.mcr & MCR_LOOP) && u->regs.waiting.count > 0 &&
	       u->regs.fifo.count < uart16550_capacity(&u->regs)) {
		queue_pop(&u->regs.waiting, &byte, &error);
		fifo_push(u, byte, error);
	}
}

void uart16550_receive(struct uart16550 *u, uint8_t byte, uint8_t error)
{
	if (uart16550_room(u) > 0)
		fifo_push(u, byte, error);
	else
		queue_push(&u->regs.waiting, byte, error);
}

/* The transmitter's own character. Here, and only here, an overrun can happen. */
static void loop_back(struct uart16550 *u, uint8_t byte)
{
	struct uart16550_regs *regs = &u->regs;

	if (regs->fifo.count < uart16550_capacity(regs)) {
		fifo_push(u, byte, 0);
		return;
	}
	regs->lsr_errors |= LSR_OVERRUN;
	if (!(regs->fcr & FCR_ENABLE))
		regs->fifo.data[0] = byte;
}

static void send(struct uart16550 *u, uint8_t byte)
{
	unsigned int lost = output_ring_put(&u->output, byte);
	size_t used = output_ring_used(&u->output);
	bool now = byte == '\n' || used == u->output.size / 2;

	if (!u->backend) {
		output_ring_take_to(&u->output, u->output.end);
		return;
	}
	u->flush_now |= now;
	/* The loop says once that output is lost. */
	if (lost > 0 && u->dropped == 0)
		uart16550_kick(u);
	u->dropped += lost;
	if ((now || used == 1) && !u->blocked)
		uart16550_kick(u);
}

static void write_data(struct uart16550 *u, uint8_t byte)
{
	if (u->regs.mcr & MCR_LOOP)
		loop_back(u, byte);
	else
		send(u, byte);
	/*
	 * Writing clears the THRE interrupt and the character, which is gone at once, raises it
	 * again. Where it was pending the line is left up: whoever waits for it has seen the
	 * edge, and a driver that fills the FIFO would get an edge for each character.
	 */
	u->regs.thre_pending = (u->regs.ier & IER_THRE) != 0;
}

static uint8_t read_data(struct uart16550 *u)
{
	uint8_t byte, error;

	if (u->regs.fifo.count == 0)
		return 0;
	queue_pop(&u->regs.fifo, &byte, &error);
	u->regs.timeout_pending = false;
	u->last_rx_ns = clock_monotonic_ns();
	reveal_error(&u->regs);
	return byte;
}

static void write_ier(struct uart16550 *u, uint8_t value)
{
	uint8_t risen = value & (uint8_t)~u->regs.ier;

	u->regs.ier = value & IER_MASK;
	/* Enabling it while THR is empty raises it, once. */
	if (risen & IER_THRE)
		u->regs.thre_pending = true;
	if (!(value & IER_THRE))
		u->regs.thre_pending = false;
}

static void write_fcr(struct uart16550 *u, uint8_t value)
{
	struct uart16550_regs *regs = &u->regs;
	bool changed = (value ^ regs->fcr) & FCR_ENABLE;

	/* The other bits take only while bit 0 is written as 1; changing it empties the FIFOs.
	 */
	regs->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
	if (!changed && (value & (FCR_ENABLE | FCR_RX_RESET)) != (FCR_ENABLE | FCR_RX_RESET))
		return;
	regs->fifo.count = 0;
	regs->timeout_pending = false;
}

static uint8_t modem_status(const struct uart16550_regs *regs)
{
	uint8_t status = 0;

	if (!(regs->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	status |= regs->mcr & MCR_RTS ? MSR_CTS : 0;
	status |= regs->mcr & MCR_DTR ? MSR_DSR : 0;
	status |= regs->mcr & MCR_OUT1 ? MSR_RI : 0;
	status |= regs->mcr & MCR_OUT2 ? MSR_DCD : 0;
	return status;
}

static void write_mcr(struct uart16550 *u, uint8_t value)
{
	uint8_t before = modem_status(&u->regs), after, changed;

	u->regs.mcr = value & MCR_MASK;
	after = modem_status(&u->regs);
	changed = before ^ after;
	u->regs.msr_delta |= changed & MSR_CTS ? MSR_DCTS : 0;
	u->regs.msr_delta |= changed & MSR_DSR ? MSR_DDSR : 0;
	u->regs.msr_delta |= changed & MSR_DCD ? MSR_DDCD : 0;
	/* Only the trailing edge of RI. */
	u->regs.msr_delta |= changed & before & MSR_RI ? MSR_TERI : 0;
}

static uint8_t read_iir(struct uart16550 *u)
{
	uint8_t id = identify_interrupt(&u->regs);

	if (id == IIR_THRE)
		u->regs.thre_pending = false;
	return id | (u->regs.fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(struct uart16550 *u)
{
	struct uart16550_regs *regs = &u->regs;
	uint8_t value = LSR_THRE | LSR_TEMT | regs->lsr_errors;
	uint8_t errors = regs->lsr_errors & LSR_BREAK;

	if (regs->fifo.count > 0)
		value |= LSR_DR;
	for (unsigned int i = 0; i < regs->fifo.count; i++)
		errors |= regs->fifo.errors[i];
	if (errors && (regs->fcr & FCR_ENABLE))
		value |= LSR_FIFO_ERROR;
	regs->lsr_errors = 0;
	return value;
}

static uint8_t read_msr(struct uart16550 *u)
{
	uint8_t value = modem_status(&u->regs) | u->regs.msr_delta;

	u->regs.msr_delta = 0;
	return value;
}

static uint8_t read_register(struct uart16550 *u, unsigned int reg)
{
	bool dlab = u->regs.lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return dlab ? (uint8_t)u->regs.divisor : read_data(u);
	case REG_IER:
		return dlab ? (uint8_t)(u->regs.divisor >> 8) : u->regs.ier;
	case REG_IIR_FCR:
		return read_iir(u);
	case REG_LCR:
		return u->regs.lcr;
	case REG_MCR:
		return u->regs.mcr;
	case REG_LSR:
		return read_lsr(u);
	case REG_MSR:
		return read_msr(u);
	case REG_SCR:
		return u->regs.scr;
	default:
		return 0xff;
	}
}

static void write_divisor(struct uart16550 *u, unsigned int shift, uint8_t value)
{
	u->regs.divisor = (uint16_t)((u->regs.divisor & ~(0xffU << shift)) | value << shift);
}

static void write_register(struct uart16550 *u, unsigned int reg, uint8_t value)
{
	bool dlab = u->regs.lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		dlab ? write_divisor(u, 0, value) : write_data(u, value);
		break;
	case REG_IER:
		dlab ? write_divisor(u, 8, value) : write_ier(u, value);
		break;
	case REG_IIR_FCR:
		write_fcr(u, value);
		break;
	case REG_LCR:
		u->regs.lcr = value;
		break;
	case REG_MCR:
		write_mcr(u, value);
		break;
	case REG_SCR:
		u->regs.scr = value;
		break;
	default:
		/* Writing LSR is for factory tests, MSR is an input. */
		break;
	}
}

/* What may follow from any access. */
static void settle(struct uart16550 *u)
{
	uart16550_refill(u);
	uart16550_update_irq(u);
	if (u->input_off && uart16550_room(u) > 0)
		uart16550_kick(u);
	if (u->regs.fifo.count > 0 && (u->regs.fcr & FCR_ENABLE) && !u->regs.timeout_pending &&
	    !u->timeout_armed)
		uart16550_kick(u);
}

static uint64_t uart_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct uart16550 *u = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&u->lock);
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)read_register(u, (unsigned int)offset + i) << (8 * i);
	settle(u);
	pthread_mutex_unlock(&u->lock);
	return value;
}

static void uart_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct uart16550 *u = opaque;

	pthread_mutex_lock(&u->lock);
	for (unsigned int i = 0; i < size; i++)
		write_register(u, (unsigned int)offset + i, (uint8_t)(value >> (8 * i)));
	settle(u);
	pthread_mutex_unlock(&u->lock);
}

const struct io_ops uart16550_io_ops = {
	.name = "uart16550", .read = uart_read, .write = uart_write};
