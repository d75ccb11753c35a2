/* SPDX-License-Identifier: Apache-2.0 */
/* devices/uart16550: registers and interrupts as the data sheet has them, used as a driver does. */
#include "tests/unit/device_test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "devices/uart16550.h"

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

static struct uart16550 *new_uart(struct loop *loop, struct chardev *backend,
				  struct fake_line *line)
{
	struct uart16550_params params = {
		.irq = fake_line_of(line), .backend = backend, .loop = loop};
	struct uart16550 *u;

	assert_int_equal(uart16550_new(&params, &u, NULL), 0);
	return u;
}

static int setup_type(void **state, int type)
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

static int setup(void **state)
{
	return setup_type(state, SOCK_STREAM);
}

/* Each write(2) of the device is one message. */
static int setup_messages(void **state)
{
	return setup_type(state, SOCK_SEQPACKET);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	uart16550_free(f->u);
	chardev_free(f->backend);
	loop_free(f->loop);
	close(f->peer);
	free(f);
	return 0;
}

static uint8_t rd(struct uart16550 *u, unsigned int reg)
{
	return (uint8_t)uart16550_io_ops.read(u, reg, 1);
}

static void wr(struct uart16550 *u, unsigned int reg, uint8_t value)
{
	uart16550_io_ops.write(u, reg, value, 1);
}

static void print(struct uart16550 *u, const char *text)
{
	for (; *text; text++)
		wr(u, SPEC_THR, (uint8_t)*text);
}

/* As a driver brings the port up. */
static void bring_up(struct uart16550 *u, uint8_t trigger, uint8_t ier)
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

static void type(struct fixture *f, const void *data, size_t size)
{
	assert_int_equal(write(f->peer, data, size), size);
}

static void test_reset_values(void **state)
{
	struct fixture *f = *state;

	/* Table III. */
	assert_int_equal(rd(f->u, SPEC_IER), 0);
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_NONE);
	assert_int_equal(rd(f->u, SPEC_LCR), 0);
	assert_int_equal(rd(f->u, SPEC_MCR), 0);
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
	assert_int_equal(rd(f->u, SPEC_MSR), SPEC_MSR_CTS | SPEC_MSR_DSR | SPEC_MSR_DCD);
	assert_false(f->irq.level);
}

static void test_registers_keep_their_bits(void **state)
{
	struct fixture *f = *state;

	for (unsigned int v = 0; v < 256; v++) {
		wr(f->u, SPEC_SCR, (uint8_t)v);
		assert_int_equal(rd(f->u, SPEC_SCR), v);
	}
	wr(f->u, SPEC_IER, 0xff);
	assert_int_equal(rd(f->u, SPEC_IER), 0x0f);
	wr(f->u, SPEC_MCR, 0xff);
	assert_int_equal(rd(f->u, SPEC_MCR), 0x1f);
	/* Read-only. */
	wr(f->u, SPEC_LSR, 0xff);
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
	/* The divisor is behind DLAB, and IER is not touched by it. */
	wr(f->u, SPEC_IER, SPEC_IER_RX);
	wr(f->u, SPEC_LCR, SPEC_LCR_DLAB);
	wr(f->u, SPEC_DLL, 0x34);
	wr(f->u, SPEC_DLM, 0x12);
	assert_int_equal(uart16550_io_ops.read(f->u, SPEC_DLL, 2), 0x1234);
	wr(f->u, SPEC_LCR, 0);
	assert_int_equal(rd(f->u, SPEC_IER), SPEC_IER_RX);
	/* FIFO bits in IIR follow FCR bit 0 (without it, other bits of FCR do not take). */
	wr(f->u, SPEC_FCR, SPEC_FCR_AT_14);
	assert_int_equal(rd(f->u, SPEC_IIR) & SPEC_IIR_FIFOS, 0);
	wr(f->u, SPEC_FCR, SPEC_FCR_ENABLE);
	assert_int_equal(rd(f->u, SPEC_IIR) & SPEC_IIR_FIFOS, SPEC_IIR_FIFOS);
}

static void test_thre_interrupt(void **state)
{
	struct fixture *f = *state;

	/* Gated by OUT2. */
	wr(f->u, SPEC_IER, SPEC_IER_THRE);
	assert_false(f->irq.level);
	wr(f->u, SPEC_MCR, SPEC_MCR_OUT2);
	assert_true(f->irq.level);
	/* Reading IIR, when it is the source, clears it. */
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_THRE);
	assert_false(f->irq.level);
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_NONE);
	/* Sent: empty again. */
	wr(f->u, SPEC_THR, 'x');
	assert_true(f->irq.level);
	assert_int_equal(f->irq.rises, 2);
	/* The same enable written again raises nothing; a new one does. */
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_THRE);
	wr(f->u, SPEC_IER, SPEC_IER_THRE);
	assert_false(f->irq.level);
	wr(f->u, SPEC_IER, 0);
	wr(f->u, SPEC_IER, SPEC_IER_THRE);
	assert_true(f->irq.level);
	/* Disabled while pending. */
	wr(f->u, SPEC_IER, 0);
	assert_false(f->irq.level);
	wr(f->u, SPEC_THR, 'x');
	assert_false(f->irq.level);
}

/* An interrupt handler that sends a long text by 16, as drivers do. */
static void test_interrupt_driven_output(void **state)
{
	struct fixture *f = *state;
	char text[256], got[256];
	unsigned int sent = 0, interrupts = 0;

	for (unsigned int i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	bring_up(f->u, SPEC_FCR_AT_8, SPEC_IER_THRE);
	while (sent < sizeof(text)) {
		assert_true(f->irq.level);
		interrupts++;
		assert_int_equal(rd(f->u, SPEC_IIR) & 0x0f, SPEC_IIR_THRE);
		assert_true(rd(f->u, SPEC_LSR) & SPEC_LSR_THRE);
		for (unsigned int i = 0; i < SPEC_FIFO_SIZE; i++)
			wr(f->u, SPEC_THR, (uint8_t)text[sent++]);
	}
	wr(f->u, SPEC_IER, 0);
	assert_int_equal(interrupts, sizeof(text) / SPEC_FIFO_SIZE);
	/* One edge for each burst, and the first. */
	assert_int_equal(f->irq.rises, interrupts + 1);
	assert_int_equal(uart16550_stop(f->u, 1000), 0);
	assert_int_equal(recv(f->peer, got, sizeof(got), MSG_WAITALL), sizeof(got));
	assert_memory_equal(got, text, sizeof(text));
}

static void test_receive_trigger_levels(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint8_t fcr;
		unsigned int level;
	} spec[] = {{0, 1}, {SPEC_FCR_AT_4, 4}, {SPEC_FCR_AT_8, 8}, {SPEC_FCR_AT_14, 14}};

	for (unsigned int i = 0; i < ARRAY_SIZE(spec); i++) {
		unsigned int n = spec[i].level;

		bring_up(f->u, spec[i].fcr, SPEC_IER_RX);
		/* So slow a line that no time-out comes between. */
		wr(f->u, SPEC_LCR, SPEC_LCR_8N1 | SPEC_LCR_DLAB);
		wr(f->u, SPEC_DLM, 0xff);
		wr(f->u, SPEC_LCR, SPEC_LCR_8N1);
		if (n > 1)
			type(f, "abcdefghijklmnop", n - 1);
		loop_settle(f->loop);
		assert_int_equal(rd(f->u, SPEC_LSR) & SPEC_LSR_DR, n > 1 ? SPEC_LSR_DR : 0);
		assert_false(f->irq.level);
		type(f, "z", 1);
		loop_until(f->loop, f->irq.level);
		assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_FIFOS | SPEC_IIR_RX);
		/* Below the level it goes; the rest is still there. */
		rd(f->u, SPEC_RBR);
		assert_false(f->irq.level);
		for (unsigned int k = 1; k < n; k++)
			assert_int_equal(rd(f->u, SPEC_RBR), k == n - 1 ? 'z' : 'a' + (int)k);
		assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
	}
}

static void test_receive_timeout(void **state)
{
	struct fixture *f = *state;

	bring_up(f->u, SPEC_FCR_AT_8, SPEC_IER_RX);
	type(f, "abc", 3);
	loop_until(f->loop, f->irq.level);
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_FIFOS | SPEC_IIR_TIMEOUT);
	/* Reading a character clears it, and it comes again for those that are left. */
	assert_int_equal(rd(f->u, SPEC_RBR), 'a');
	assert_false(f->irq.level);
	loop_until(f->loop, f->irq.level);
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_FIFOS | SPEC_IIR_TIMEOUT);
	assert_int_equal(rd(f->u, SPEC_RBR), 'b');
	assert_int_equal(rd(f->u, SPEC_RBR), 'c');
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_FIFOS | SPEC_IIR_NONE);
	for (unsigned int i = 0; i < 4; i++)
		loop_run_once(f->loop, 5);
	assert_int_equal(f->irq.rises, 2);
}

static void test_without_fifos(void **state)
{
	struct fixture *f = *state;

	wr(f->u, SPEC_MCR, SPEC_MCR_OUT2);
	wr(f->u, SPEC_IER, SPEC_IER_RX);
	type(f, "abc", 3);
	for (char c = 'a'; c <= 'c'; c++) {
		loop_until(f->loop, f->irq.level);
		assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_RX);
		assert_int_equal(rd(f->u, SPEC_RBR), c);
		assert_false(f->irq.level);
	}
}

static void test_back_pressure_loses_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t data[3000];
	unsigned int got = 0;
	int queued;

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31);
	bring_up(f->u, SPEC_FCR_AT_14, SPEC_IER_RX);
	type(f, data, sizeof(data));
	loop_settle(f->loop);
	for (unsigned int i = 0; i < 50; i++)
		loop_run_once(f->loop, 0);
	/* Sixteen are in; no overrun; and the loop sleeps although there is input. */
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE | SPEC_LSR_DR);
	while (got < sizeof(data)) {
		/* In odd pieces, with the FIFO switched off and on at times. */
		for (unsigned int i = 0; i < 1 + got % 5; i++) {
			if (rd(f->u, SPEC_LSR) & SPEC_LSR_DR)
				assert_int_equal(rd(f->u, SPEC_RBR), data[got++]);
		}
		queued = loop_run_once(f->loop, 0);
		assert_int_equal(queued, 0);
	}
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
}

static void test_fifo_reset(void **state)
{
	struct fixture *f = *state;

	bring_up(f->u, SPEC_FCR_AT_4, SPEC_IER_RX);
	type(f, "abcdef", 6);
	loop_until(f->loop, f->irq.level);
	wr(f->u, SPEC_FCR, SPEC_FCR_ENABLE | SPEC_FCR_CLEAR | SPEC_FCR_AT_4);
	assert_false(f->irq.level);
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
	/* Changing bit 0 empties them, too. */
	type(f, "abcdef", 6);
	loop_until(f->loop, f->irq.level);
	wr(f->u, SPEC_FCR, 0);
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
}

static void test_loopback(void **state)
{
	struct fixture *f = *state;

	wr(f->u, SPEC_MCR, SPEC_MCR_LOOP | SPEC_MCR_OUT2 | SPEC_MCR_RTS);
	assert_int_equal(rd(f->u, SPEC_MSR) & 0xf0, SPEC_MSR_DCD | SPEC_MSR_CTS);
	wr(f->u, SPEC_MCR, SPEC_MCR_LOOP | SPEC_MCR_DTR | SPEC_MCR_OUT1);
	assert_int_equal(rd(f->u, SPEC_MSR), SPEC_MSR_DSR | SPEC_MSR_RI | SPEC_MSR_DCTS |
						     SPEC_MSR_DDSR | SPEC_MSR_DDCD);
	assert_int_equal(rd(f->u, SPEC_MSR), SPEC_MSR_DSR | SPEC_MSR_RI);
	wr(f->u, SPEC_MCR, SPEC_MCR_LOOP | SPEC_MCR_DTR);
	assert_int_equal(rd(f->u, SPEC_MSR), SPEC_MSR_DSR | SPEC_MSR_TERI);

	/* Characters come back and do not leave; the line is cut off meanwhile. */
	type(f, "L", 1);
	wr(f->u, SPEC_THR, 'A');
	loop_settle(f->loop);
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE | SPEC_LSR_DR);
	assert_int_equal(rd(f->u, SPEC_RBR), 'A');
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
	/* Without FIFOs the second overwrites the first; with them, the seventeenth is lost. */
	print(f->u, "AB");
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE | SPEC_LSR_DR | SPEC_LSR_OE);
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE | SPEC_LSR_DR);
	assert_int_equal(rd(f->u, SPEC_RBR), 'B');
	wr(f->u, SPEC_FCR, SPEC_FCR_ENABLE);
	print(f->u, "0123456789abcdefX");
	assert_true(rd(f->u, SPEC_LSR) & SPEC_LSR_OE);
	for (unsigned int i = 0; i < SPEC_FIFO_SIZE; i++)
		assert_int_equal(rd(f->u, SPEC_RBR), "0123456789abcdef"[i]);
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
	/* Out of loopback the line's own character arrives. */
	wr(f->u, SPEC_MCR, SPEC_MCR_OUT2);
	loop_until(f->loop, rd(f->u, SPEC_LSR) & SPEC_LSR_DR);
	assert_int_equal(rd(f->u, SPEC_RBR), 'L');
}

static void test_interrupt_priorities(void **state)
{
	struct fixture *f = *state;

	/* All four at once, made in loopback, where the line cannot rise. */
	wr(f->u, SPEC_MCR, SPEC_MCR_LOOP);
	rd(f->u, SPEC_MSR);
	wr(f->u, SPEC_IER, 0x0f);
	print(f->u, "AB");
	wr(f->u, SPEC_MCR, SPEC_MCR_LOOP | SPEC_MCR_DTR | SPEC_MCR_OUT2);
	assert_false(f->irq.level);
	wr(f->u, SPEC_MCR, SPEC_MCR_OUT2);
	assert_true(f->irq.level);
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_LINE);
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_LINE);
	rd(f->u, SPEC_LSR);
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_RX);
	rd(f->u, SPEC_RBR);
	/* This read clears it, the ones above did not. */
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_THRE);
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_MODEM);
	assert_true(f->irq.level);
	rd(f->u, SPEC_MSR);
	assert_int_equal(rd(f->u, SPEC_IIR), SPEC_IIR_NONE);
	assert_false(f->irq.level);
	assert_int_equal(f->irq.rises, 1);
}

static void test_wide_access_is_several_bytes(void **state)
{
	struct fixture *f = *state;

	uart16550_io_ops.write(f->u, SPEC_LCR, SPEC_MCR_OUT2 << 8 | SPEC_LCR_8N1, 2);
	assert_int_equal(rd(f->u, SPEC_LCR), SPEC_LCR_8N1);
	assert_int_equal(rd(f->u, SPEC_MCR), SPEC_MCR_OUT2);
	assert_int_equal(uart16550_io_ops.read(f->u, SPEC_LCR, 4) & 0xffff,
			 SPEC_MCR_OUT2 << 8 | SPEC_LCR_8N1);
}

/* ---- Output towards the backend. ---- */

static unsigned int messages(struct fixture *f, char *text, size_t size)
{
	unsigned int count = 0;
	size_t used = 0;
	ssize_t n;

	while ((n = recv(f->peer, text + used, size - used - 1, MSG_DONTWAIT)) > 0) {
		used += (size_t)n;
		count++;
	}
	text[used] = '\0';
	return count;
}

static void test_a_line_is_one_write(void **state)
{
	struct fixture *f = *state;
	char text[512];

	print(f->u, "a line of output that a kernel prints, one character at a time\r\n");
	loop_settle(f->loop);
	assert_int_equal(messages(f, text, sizeof(text)), 1);
	assert_string_equal(text,
			    "a line of output that a kernel prints, one character at a time\r\n");
}

static void test_a_heartbeat_without_newline_comes_by_itself(void **state)
{
	struct fixture *f = *state;
	struct pollfd p = {.fd = f->peer, .events = POLLIN};
	char text[16];

	print(f->u, "tick");
	loop_until(f->loop, poll(&p, 1, 0) == 1);
	assert_int_equal(messages(f, text, sizeof(text)), 1);
	assert_string_equal(text, "tick");
	print(f->u, "tock");
	loop_until(f->loop, poll(&p, 1, 0) == 1);
	assert_int_equal(messages(f, text, sizeof(text)), 1);
	assert_string_equal(text, "tock");
}

static void read_all(int fd, uint8_t *data, size_t max, size_t *ret_size, struct loop *loop)
{
	unsigned int idle = 0;

	*ret_size = 0;
	while (idle < 3) {
		ssize_t n = recv(fd, data + *ret_size, max - *ret_size, MSG_DONTWAIT);

		idle = n > 0 ? 0 : idle + 1;
		*ret_size += n > 0 ? (size_t)n : 0;
		loop_run_once(loop, 5);
	}
}

static void test_slow_reader_costs_the_oldest_output(void **state)
{
	struct fixture *f = *state;
	const uint32_t words = 200000;
	size_t size, max = words * sizeof(uint32_t);
	uint8_t *got = malloc(max);
	uint32_t last, expected = words - OUTPUT_KEPT / 4;

	/* The guest is never held up: this would hang if it were. */
	for (uint32_t w = 0; w < words; w++) {
		for (unsigned int i = 0; i < 4; i++)
			wr(f->u, SPEC_THR, (uint8_t)(w >> (8 * i)));
		if (w % 1000 == 0)
			loop_run_once(f->loop, 0);
	}
	loop_settle(f->loop);
	assert_int_equal(uart16550_stop(f->u, 10), -ETIMEDOUT);
	read_all(f->peer, got, max, &size, f->loop);
	assert_true(size < max);
	assert_true(size > OUTPUT_KEPT);
	/* The newest are all there. */
	for (size_t at = size - OUTPUT_KEPT; at < size; at += 4) {
		memcpy(&last, got + at, 4);
		assert_int_equal(last, expected++);
	}
	assert_int_equal(uart16550_stop(f->u, 1000), 0);
	/* And it goes on. */
	print(f->u, "back\n");
	read_all(f->peer, got, max, &size, f->loop);
	assert_int_equal(size, 5);
	assert_memory_equal(got, "back\n", 5);
	free(got);
}

static void test_stop_hands_everything_over(void **state)
{
	struct fixture *f = *state;
	char text[64];

	print(f->u, "last words");
	assert_int_equal(uart16550_stop(f->u, 1000), 0);
	messages(f, text, sizeof(text));
	assert_string_equal(text, "last words");
	/* Stopped: input stays where it is; output still works. */
	type(f, "in", 2);
	print(f->u, "more\n");
	loop_settle(f->loop);
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
	messages(f, text, sizeof(text));
	assert_string_equal(text, "more\n");
	uart16550_start(f->u);
	loop_until(f->loop, rd(f->u, SPEC_LSR) & SPEC_LSR_DR);
	assert_int_equal(rd(f->u, SPEC_RBR), 'i');
}

static void test_reader_that_is_gone(void **state)
{
	struct fixture *f = *state;

	close(f->peer);
	f->peer = FD_NONE;
	for (unsigned int i = 0; i < 100; i++)
		print(f->u, "nobody reads this\n");
	loop_settle(f->loop);
	assert_int_equal(uart16550_stop(f->u, -1), 0);
}

static void test_no_backend(void **state)
{
	struct fixture *f = *state;
	struct fake_line line = {0};
	struct uart16550 *u = new_uart(f->loop, NULL, &line);

	uart16550_start(u);
	for (unsigned int i = 0; i < 100000; i++)
		wr(u, SPEC_THR, '\n');
	assert_int_equal(uart16550_stop(u, -1), 0);
	assert_int_equal(rd(u, SPEC_LSR), SPEC_LSR_IDLE);
	uart16550_free(u);
}

/* A break typed at a terminal: one zero character with BI when it comes to the top. */
static void test_break(void **state)
{
	struct fixture *f = *state;
	struct chardev_params params = {.kind = CHARDEV_STDIO, .loop = f->loop};
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave, saved = dup(STDIN_FILENO);
	struct fake_line line = {0};
	struct chardev *tty;
	struct uart16550 *u;
	uint8_t lsr;

	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	dup2(slave, STDIN_FILENO);
	assert_int_equal(chardev_new(&params, &tty, NULL), 0);
	dup2(saved, STDIN_FILENO);
	u = new_uart(f->loop, tty, &line);
	bring_up(u, SPEC_FCR_AT_4, SPEC_IER_LINE | SPEC_IER_RX);
	uart16550_start(u);
	assert_int_equal(write(master,
			       "a\x01"
			       "bc",
			       4),
			 4);
	loop_until(f->loop, line.level);
	/* In the FIFO, not at the top yet. */
	lsr = rd(u, SPEC_LSR);
	assert_int_equal(lsr, SPEC_LSR_IDLE | SPEC_LSR_DR | SPEC_LSR_FIFOERR);
	assert_int_equal(rd(u, SPEC_RBR), 'a');
	assert_int_equal(rd(u, SPEC_IIR), SPEC_IIR_FIFOS | SPEC_IIR_LINE);
	lsr = rd(u, SPEC_LSR);
	assert_int_equal(lsr, SPEC_LSR_IDLE | SPEC_LSR_DR | SPEC_LSR_BI | SPEC_LSR_FIFOERR);
	assert_int_equal(rd(u, SPEC_LSR), SPEC_LSR_IDLE | SPEC_LSR_DR);
	assert_int_equal(rd(u, SPEC_RBR), 0);
	loop_until(f->loop, rd(u, SPEC_LSR) & SPEC_LSR_DR);
	assert_int_equal(rd(u, SPEC_RBR), 'c');
	uart16550_free(u);
	chardev_free(tty);
	close(master);
	close(slave);
	close(saved);
}

/* ---- State. ---- */

struct resumed {
	struct fake_line line;
	struct chardev *backend;
	struct uart16550 *u;
	int peer;
};

static struct resumed resume(struct fixture *f, struct fake_line *line)
{
	struct resumed r;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(chardev_new_fds(f->loop, pair[0], pair[0], &r.backend, NULL), 0);
	r.peer = pair[1];
	r.u = new_uart(f->loop, r.backend, line);
	assert_round_trip(&uart16550_state_ops, f->u, r.u);
	return r;
}

static void resumed_free(struct resumed *r)
{
	uart16550_free(r->u);
	chardev_free(r->backend);
	close(r->peer);
}

static void test_state_keeps_a_pending_thre_interrupt(void **state)
{
	struct fixture *f = *state;
	struct fake_line line = {0};
	struct resumed r;

	bring_up(f->u, SPEC_FCR_AT_8, SPEC_IER_THRE);
	r = resume(f, &line);
	assert_true(line.level);
	assert_int_equal(rd(r.u, SPEC_IIR), SPEC_IIR_FIFOS | SPEC_IIR_THRE);
	resumed_free(&r);
	/* And does not make one up. */
	rd(f->u, SPEC_IIR);
	memset(&line, 0, sizeof(line));
	r = resume(f, &line);
	assert_false(line.level);
	assert_int_equal(rd(r.u, SPEC_IIR), SPEC_IIR_FIFOS | SPEC_IIR_NONE);
	resumed_free(&r);
}

static void test_state_keeps_characters_on_both_sides(void **state)
{
	struct fixture *f = *state;
	struct fake_line line = {0};
	struct resumed r;
	char text[8];

	bring_up(f->u, SPEC_FCR_AT_4, SPEC_IER_RX);
	type(f, "0123456789", 10);
	loop_until(f->loop, f->irq.level);
	assert_int_equal(rd(f->u, SPEC_RBR), '0');
	/* No turn of the loop: still in the buffer. */
	print(f->u, "out");
	r = resume(f, &line);
	assert_true(line.level);
	/* Born stopped: what the new backend brings comes after what was there. */
	assert_int_equal(write(r.peer, "abc", 3), 3);
	loop_settle(f->loop);
	assert_int_equal(recv(r.peer, text, sizeof(text), MSG_WAITALL * 0), 3);
	assert_memory_equal(text, "out", 3);
	uart16550_start(r.u);
	for (const char *c = "123456789abc"; *c; c++) {
		loop_until(f->loop, rd(r.u, SPEC_LSR) & SPEC_LSR_DR);
		assert_int_equal(rd(r.u, SPEC_RBR), *c);
	}
	resumed_free(&r);
}

static void test_state_starts_the_timeout_again(void **state)
{
	struct fixture *f = *state;
	struct fake_line line = {0};
	struct resumed r;

	bring_up(f->u, SPEC_FCR_AT_14, SPEC_IER_RX);
	type(f, "ab", 2);
	while (!(rd(f->u, SPEC_LSR) & SPEC_LSR_DR))
		loop_run_once(f->loop, 5);
	r = resume(f, &line);
	loop_until(f->loop, line.level);
	assert_int_equal(rd(r.u, SPEC_IIR), SPEC_IIR_FIFOS | SPEC_IIR_TIMEOUT);
	resumed_free(&r);
}

/* Whatever a guest does, its state can be saved and loaded, and says the same again. */
static void test_state_round_trips_wherever_a_guest_gets(void **state)
{
	struct fixture *f = *state;
	struct fake_line line = {0};
	struct chardev_params off = {.kind = CHARDEV_OFF, .loop = f->loop};
	struct chardev *backend;
	struct uart16550 *other;
	uint32_t seed = 12345;
	char drain[4096];

	assert_int_equal(chardev_new(&off, &backend, NULL), 0);
	other = new_uart(f->loop, backend, &line);
	for (unsigned int i = 0; i < 1500; i++) {
		unsigned int reg, what;

		seed = seed * 1664525 + 1013904223;
		reg = seed >> 28 & 7;
		what = seed >> 24 & 3;
		if (what == 0)
			rd(f->u, reg);
		else
			wr(f->u, reg, (uint8_t)(seed >> 16));
		if (what == 3)
			type(f, &seed, 3);
		if (what != 1) {
			loop_run_once(f->loop, 0);
			while (recv(f->peer, drain, sizeof(drain), MSG_DONTWAIT) > 0)
				;
		}
		assert_round_trip(&uart16550_state_ops, f->u, other);
		assert_int_equal(line.level, f->irq.level);
	}
	uart16550_free(other);
	chardev_free(backend);
}

static void test_hostile_state(void **state)
{
	struct fixture *f = *state;
	const struct state_ops *ops = &uart16550_state_ops;
	uint8_t bytes[OUTPUT_KEPT + 1] = {0};

	bring_up(f->u, SPEC_FCR_AT_14, SPEC_IER_RX);
	type(f, "ab", 2);
	while (!(rd(f->u, SPEC_LSR) & SPEC_LSR_DR))
		loop_run_once(f->loop, 5);
	assert_structure_is_checked(ops, f->u, "output");
	assert_refuses_u32(ops, f->u, "ier", 0x10);
	assert_refuses_u32(ops, f->u, "fcr", SPEC_FCR_ENABLE | SPEC_FCR_CLEAR);
	assert_refuses_u32(ops, f->u, "fcr", SPEC_FCR_AT_14); /* off, yet with a level */
	assert_refuses_u32(ops, f->u, "fcr", 0);	      /* off, yet with two characters */
	assert_refuses_u32(ops, f->u, "lcr", 0x100);
	assert_refuses_u32(ops, f->u, "mcr", 0x20);
	assert_refuses_u32(ops, f->u, "scr", 0x100);
	assert_refuses_u32(ops, f->u, "divisor", 0x10000);
	assert_refuses_u32(ops, f->u, "lsr-errors", SPEC_LSR_DR);
	assert_refuses_u32(ops, f->u, "msr-delta", 0x10);
	assert_refuses_u32(ops, f->u, "thre-pending", 2);
	assert_refuses_u32(ops, f->u, "thre-pending", 1); /* not enabled */
	assert_refuses_bytes(ops, f->u, "rx-data", bytes, 17);
	assert_refuses_bytes(ops, f->u, "rx-errors", "\x00\x01", 2);
	assert_refuses_bytes(ops, f->u, "rx-errors", "\x10\x00", 2);
	assert_refuses_bytes(ops, f->u, "waiting-data", bytes, 18);
	assert_refuses_bytes(ops, f->u, "output", bytes, sizeof(bytes));
}

/* ---- A guest's thread and the loop's at the same time. ---- */

#define CHATTER 60000U

static void *chatter(void *opaque)
{
	struct uart16550 *u = opaque;

	for (unsigned int i = 0; i < CHATTER; i++) {
		wr(u, SPEC_THR, i % 61 == 60 ? '\n' : (uint8_t)('a' + i % 61));
		/* What is received is sent back, and the driver's usual reads. */
		rd(u, SPEC_IIR);
		if (rd(u, SPEC_LSR) & SPEC_LSR_DR)
			rd(u, SPEC_RBR);
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct fixture *f = *state;
	uint8_t *got = malloc(CHATTER);
	unsigned int used = 0;
	pthread_t thread;

	bring_up(f->u, SPEC_FCR_AT_8, 0x0f);
	assert_int_equal(pthread_create(&thread, NULL, chatter, f->u), 0);
	while (used < CHATTER) {
		ssize_t n = recv(f->peer, got + used, CHATTER - used, MSG_DONTWAIT);

		used += n > 0 ? (unsigned int)n : 0;
		/* A full socket here would only mean that the guest reads slowly. */
		if (send(f->peer, "typed", 5, MSG_DONTWAIT) < 0 && errno != EAGAIN)
			fail();
		assert_int_equal(loop_run_once(f->loop, 1), 0);
	}
	pthread_join(thread, NULL);
	/* Fewer than the buffer holds, so none may be lost. */
	for (unsigned int i = 0; i < CHATTER; i++)
		assert_int_equal(got[i], i % 61 == 60 ? '\n' : (uint8_t)('a' + i % 61));
	free(got);
}

int main(void)
{
#define T(name)	 cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TM(name) cmocka_unit_test_setup_teardown(name, setup_messages, teardown)
	const struct CMUnitTest tests[] = {
		T(test_reset_values),
		T(test_registers_keep_their_bits),
		T(test_thre_interrupt),
		T(test_interrupt_driven_output),
		T(test_receive_trigger_levels),
		T(test_receive_timeout),
		T(test_without_fifos),
		T(test_back_pressure_loses_nothing),
		T(test_fifo_reset),
		T(test_loopback),
		T(test_interrupt_priorities),
		T(test_wide_access_is_several_bytes),
		TM(test_a_line_is_one_write),
		TM(test_a_heartbeat_without_newline_comes_by_itself),
		T(test_slow_reader_costs_the_oldest_output),
		T(test_stop_hands_everything_over),
		T(test_reader_that_is_gone),
		T(test_no_backend),
		T(test_break),
		T(test_state_keeps_a_pending_thre_interrupt),
		T(test_state_keeps_characters_on_both_sides),
		T(test_state_starts_the_timeout_again),
		T(test_state_round_trips_wherever_a_guest_gets),
		T(test_hostile_state),
		T(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
