/* SPDX-License-Identifier: Apache-2.0 */
/* devices/uart16550: saved state, loaded into a port on another backend. */
#include "tests/unit/uart_test.h"

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
	assert_int_equal(recv(r.peer, text, sizeof(text), 0), 3);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_state_keeps_a_pending_thre_interrupt),
		T(test_state_keeps_characters_on_both_sides),
		T(test_state_starts_the_timeout_again),
		T(test_state_round_trips_wherever_a_guest_gets),
		T(test_hostile_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
