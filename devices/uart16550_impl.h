/* SPDX-License-Identifier: Apache-2.0 */
/* Inside devices/uart16550*.c only. Register names are those of the PC16550D data sheet, June 1995,
 * section 8. */
#ifndef HOLDFAST_DEVICES_UART16550_IMPL_H
#define HOLDFAST_DEVICES_UART16550_IMPL_H

#include <pthread.h>

#include "base/log.h"
#include "devices/output_ring.h"
#include "devices/uart16550.h"
#include "devices/wakeup.h"

/* Interrupt Enable Register. */
#define IER_RX	 0x01
#define IER_THRE 0x02
#define IER_LINE 0x04
#define IER_MSR	 0x08
#define IER_MASK 0x0f
/* FIFO Control Register. The reset bits clear themselves. */
#define FCR_ENABLE   0x01
#define FCR_RX_RESET 0x02
#define FCR_DMA	     0x08
#define FCR_TRIGGER  0xc0
#define FCR_KEPT     (FCR_ENABLE | FCR_DMA | FCR_TRIGGER)
/* Line Control Register. */
#define LCR_WORD   0x03
#define LCR_STOP   0x04
#define LCR_PARITY 0x08
#define LCR_DLAB   0x80
/* MODEM Control Register. */
#define MCR_DTR	 0x01
#define MCR_RTS	 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f
/* Line Status Register. */
#define LSR_DR		 0x01
#define LSR_OVERRUN	 0x02
#define LSR_BREAK	 0x10
#define LSR_THRE	 0x20
#define LSR_TEMT	 0x40
#define LSR_FIFO_ERROR	 0x80
#define LSR_ERRORS_KNOWN (LSR_OVERRUN | LSR_BREAK)
/* MODEM Status Register. */
#define MSR_DCTS   0x01
#define MSR_DDSR   0x02
#define MSR_TERI   0x04
#define MSR_DDCD   0x08
#define MSR_DELTAS 0x0f
#define MSR_CTS	   0x10
#define MSR_DSR	   0x20
#define MSR_RI	   0x40
#define MSR_DCD	   0x80

#define UART_FIFO_SIZE 16
/* One read of a whole FIFO that became smaller meanwhile, and a break after it. */
#define UART_WAITING_MAX (UART_FIFO_SIZE + 1)

/* Received characters, the oldest first. */
struct rx_queue {
	unsigned int count;
	uint8_t data[UART_WAITING_MAX];
	uint8_t errors[UART_WAITING_MAX]; /* LSR_BREAK or 0, for each */
};

/* Everything a guest can see, and what else must survive an update. */
struct uart16550_regs {
	uint8_t ier, fcr, lcr, mcr, scr;
	uint8_t msr_delta;
	uint8_t lsr_errors; /* seen at the top of the FIFO and not read yet */
	uint16_t divisor;
	bool thre_pending; /* THRE interrupt raised and not yet seen in IIR; only with IER_THRE */
	bool timeout_pending;
	struct rx_queue fifo;	 /* or, FIFOs off, the one character in RBR */
	struct rx_queue waiting; /* read from the backend, no room in the FIFO */
};

struct uart16550 {
	struct uart16550 *self; /* for const functions: the mutex is no part of the value */
	pthread_mutex_t lock;	/* guards everything down to `loop` */
	struct uart16550_regs regs;
	struct output_ring output;
	uint8_t *linear; /* owned: UART16550_OUTPUT_MAX bytes for save, so that it cannot fail */
	bool irq_level;
	bool flush_now; /* output shall not wait for the timer */
	bool kicked;	/* the wakeup was signalled and has not run yet */
	bool input_off; /* the loop does not watch the backend: tell it when there is room */
	bool timeout_armed;
	bool blocked; /* the backend takes nothing, the loop waits for it; written by the loop's
			 thread only */
	uint64_t last_rx_ns; /* last character in or out of the FIFO */
	uint64_t dropped;    /* bytes of output, since the backend last took all of it */

	/* Never changed after birth, or the loop's thread only. */
	struct loop *loop;
	struct chardev *backend; /* borrowed, or NULL */
	struct irq_line irq;
	struct wakeup *wakeup;
	struct loop_timer *flush_timer, *timeout_timer;
	bool started, input_ended;
	struct log_ratelimit drop_log, error_log;
};

/* All with the lock held. */
void uart16550_update_irq(struct uart16550 *u);
/* Asks for the loop's thread. */
void uart16550_kick(struct uart16550 *u);
/* One character from the line. */
void uart16550_receive(struct uart16550 *u, uint8_t byte, uint8_t error);
/* How many characters may be read from the backend now. */
unsigned int uart16550_room(const struct uart16550 *u);
/* Moves waiting characters into the FIFO. */
void uart16550_refill(struct uart16550 *u);
unsigned int uart16550_capacity(const struct uart16550_regs *regs);

#endif
