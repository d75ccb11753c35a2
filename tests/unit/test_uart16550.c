/* SPDX-License-Identifier: Apache-2.0 */
/* devices/uart16550: registers and interrupts as the data sheet has them, used as a driver does. */
#include "tests/unit/uart_test.h"

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
	loop_settle(f->loop);
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
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

int main(void)
{
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
