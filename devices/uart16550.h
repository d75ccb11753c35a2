/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16550A serial port (National Semiconductor PC16550D data sheet, June 1995), eight one-byte
 * registers. As on a PC the interrupt output is gated by MCR OUT2, a pin which loopback mode forces
 * inactive.
 *
 * Characters take no time: the transmitter is always empty, and word length, parity and stop bits
 * are kept but change nothing (always eight bits). The peer's modem lines are always active.
 *
 * Input: what the guest has no room for stays in the backend; nothing is lost.
 * Output: goes to the loop's thread through a buffer of UART16550_OUTPUT_MAX bytes, so that a vCPU
 * never waits for the backend. It is written at a newline, when the buffer is half full, or 2 ms
 * after its first byte. While the backend takes nothing, the newest UART16550_OUTPUT_MAX bytes are
 * kept and the oldest are dropped, with a rate-limited log line; whoever connects to a socket later
 * reads what was kept first. What is still in the buffer at a save travels with the state.
 */
#ifndef HOLDFAST_DEVICES_UART16550_H
#define HOLDFAST_DEVICES_UART16550_H

#include "base/error.h"
#include "base/loop.h"
#include "base/state.h"
#include "devices/attach.h"
#include "devices/chardev.h"

#define UART16550_IO_SIZE    8
#define UART16550_OUTPUT_MAX 65536
/* What the node takes of a state blob at most, in bytes, output included. */
#define UART16550_STATE_MAX (UART16550_OUTPUT_MAX + 1024)

struct uart16550;

struct uart16550_params {
	/* Set to the level of the interrupt output; only changes are told. */
	struct irq_line irq;
	struct chardev *backend; /* borrowed; NULL: nothing is plugged in */
	struct loop *loop;
};

/*
 * Loop's thread, as all functions here. The device is born stopped: output works, but no input is
 * taken from the backend until uart16550_start(), so that none is taken by a device whose state is
 * still to be loaded. Becomes the client of the backend.
 */
int uart16550_new(const struct uart16550_params *params, struct uart16550 **ret, struct error *err);
void uart16550_free(struct uart16550 *uart); /* flushes what the backend takes; NULL is fine */

/* Before the vCPUs run (first time, resume or thaw): input flows. */
void uart16550_start(struct uart16550 *uart);

/*
 * Freeze, vCPUs paused: takes no more input and hands the output over. 0: all of it is out.
 * -ETIMEDOUT: the backend did not take all within timeout_ms (-1: no limit), -ENOTCONN: nobody is
 * connected; what is left is kept and will be in the state: neither is a reason to give up a
 * freeze.
 */
int uart16550_stop(struct uart16550 *uart, int timeout_ms);

/* opaque: struct uart16550. vCPU threads. A wider access is that many one-byte accesses. */
extern const struct io_ops uart16550_io_ops;
/* obj: struct uart16550. Node "uart". Loading sets the interrupt line. */
extern const struct state_ops uart16550_state_ops;

#endif
