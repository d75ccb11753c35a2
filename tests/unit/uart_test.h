/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of devices/uart16550 share: the data sheet's numbers, and a port on a socket pair.
 */
#ifndef HOLDFAST_TESTS_UNIT_UART_TEST_H
#define HOLDFAST_TESTS_UNIT_UART_TEST_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "devices/uart16550.h"
#include "tests/unit/device_test.h"

/* PC16550D data sheet, June 1995, table II: registers. */
#define SPEC_RBR       0
#define SPEC_THR       0
#define SPEC_DLL       0
#define SPEC_IER       1
#define SPEC_DLM       1
#define SPEC_IIR       2
#define SPEC_FCR       2
#define SPEC_LCR       3
#define SPEC_MCR       4
#define SPEC_LSR       5
#define SPEC_MSR       6
#define SPEC_SCR       7
#define SPEC_IER_RX    0x01
#define SPEC_IER_THRE  0x02
#define SPEC_IER_LINE  0x04
#define SPEC_IER_MODEM 0x08
/* Table IV: interrupt identification. */
#define SPEC_IIR_NONE	 0x01
#define SPEC_IIR_LINE	 0x06
#define SPEC_IIR_RX	 0x04
#define SPEC_IIR_TIMEOUT 0x0c
#define SPEC_IIR_THRE	 0x02
#define SPEC_IIR_MODEM	 0x00
#define SPEC_IIR_FIFOS	 0xc0
#define SPEC_FCR_ENABLE	 0x01
#define SPEC_FCR_CLEAR	 0x06
#define SPEC_FCR_AT_4	 0x40
#define SPEC_FCR_AT_8	 0x80
#define SPEC_FCR_AT_14	 0xc0
#define SPEC_LCR_DLAB	 0x80
#define SPEC_LCR_8N1	 0x03
#define SPEC_MCR_DTR	 0x01
#define SPEC_MCR_RTS	 0x02
#define SPEC_MCR_OUT1	 0x04
#define SPEC_MCR_OUT2	 0x08
#define SPEC_MCR_LOOP	 0x10
#define SPEC_LSR_DR	 0x01
#define SPEC_LSR_OE	 0x02
#define SPEC_LSR_BI	 0x10
#define SPEC_LSR_THRE	 0x20
#define SPEC_LSR_TEMT	 0x40
#define SPEC_LSR_FIFOERR 0x80
#define SPEC_LSR_IDLE	 (SPEC_LSR_THRE | SPEC_LSR_TEMT)
#define SPEC_MSR_DCTS	 0x01
#define SPEC_MSR_DDSR	 0x02
#define SPEC_MSR_TERI	 0x04
#define SPEC_MSR_DDCD	 0x08
#define SPEC_MSR_CTS	 0x10
#define SPEC_MSR_DSR	 0x20
#define SPEC_MSR_RI	 0x40
#define SPEC_MSR_DCD	 0x80
#define SPEC_FIFO_SIZE	 16

/* Promised in the header. */
#define OUTPUT_KEPT 65536

struct fixture {
	struct loop *loop;
	struct chardev *backend;
	struct uart16550 *u;
	struct fake_line irq;
	int peer; /* the user's end of a socket pair */
};

static inline struct uart16550 *new_uart(struct loop *loop, struct chardev *backend,
					 struct fake_line *line)
{
	struct uart16550_params params = {
		.irq = fake_line_of(line), .backend = backend, .loop = loop};
	struct uart16550 *u;

	assert_int_equal(uart16550_new(&params, &u, NULL), 0);
	return u;
}

static inline int setup_type(void **state, int type)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int pair[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_new(&f->loop, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, type, 0, pair), 0);
	assert_int_equal(chardev_new_fds(f->loop, pair[0], pair[0], &f->backend, NULL), 0);
	f->peer = pair[1];
	f->u = new_uart(f->loop, f->backend, &f->irq);
	uart16550_start(f->u);
	*state = f;
	return 0;
}

static inline int setup(void **state)
{
	return setup_type(state, SOCK_STREAM);
}

/* Each write(2) of the device is one message. */
static inline int setup_messages(void **state)
{
	return setup_type(state, SOCK_SEQPACKET);
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	uart16550_free(f->u);
	chardev_free(f->backend);
	loop_free(f->loop);
	close(f->peer);
	free(f);
	return 0;
}

static inline uint8_t rd(struct uart16550 *u, unsigned int reg)
{
	return (uint8_t)uart16550_io_ops.read(u, reg, 1);
}

static inline void wr(struct uart16550 *u, unsigned int reg, uint8_t value)
{
	uart16550_io_ops.write(u, reg, value, 1);
}

static inline void print(struct uart16550 *u, const char *text)
{
	for (; *text; text++)
		wr(u, SPEC_THR, (uint8_t)*text);
}

/* As a driver brings the port up. */
static inline void bring_up(struct uart16550 *u, uint8_t trigger, uint8_t ier)
{
	wr(u, SPEC_IER, 0);
	wr(u, SPEC_FCR, SPEC_FCR_ENABLE | SPEC_FCR_CLEAR);
	wr(u, SPEC_LCR, SPEC_LCR_8N1 | SPEC_LCR_DLAB);
	wr(u, SPEC_DLL, 1);
	wr(u, SPEC_DLM, 0);
	wr(u, SPEC_LCR, SPEC_LCR_8N1);
	wr(u, SPEC_FCR, SPEC_FCR_ENABLE | trigger);
	wr(u, SPEC_MCR, SPEC_MCR_DTR | SPEC_MCR_RTS | SPEC_MCR_OUT2);
	rd(u, SPEC_LSR);
	rd(u, SPEC_MSR);
	wr(u, SPEC_IER, ier);
}

static inline void type(struct fixture *f, const void *data, size_t size)
{
	assert_int_equal(write(f->peer, data, size), size);
}

#define T(name)	 cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TM(name) cmocka_unit_test_setup_teardown(name, setup_messages, teardown)

#endif
