/* SPDX-License-Identifier: Apache-2.0 */
/* devices/reset: the two registers, and what an OS writes to them. */
#include "tests/unit/device_test.h"

#include "devices/reset.h"

/* Intel 300 Series PCH data sheet vol. 2, RST_CNT (0xcf9). */
#define SPEC_SYS_RST  0x02
#define SPEC_RST_CPU  0x04
#define SPEC_FULL_RST 0x08
/* IBM PC AT Technical Reference, keyboard controller: status bits and "pulse output port". */
#define SPEC_KBD_OUTPUT_FULL 0x01
#define SPEC_KBD_INPUT_FULL  0x02
#define SPEC_KBD_PULSE_RESET 0xfe

struct fixture {
	unsigned int resets, others;
	struct reset *reset;
};

static void on_request(void *opaque, enum machine_request request)
{
	struct fixture *f = opaque;

	if (request == MACHINE_REQUEST_RESET)
		f->resets++;
	else
		f->others++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct reset_params params = {.control = {.request = on_request, .opaque = f}};

	*state = f;
	return reset_new(&params, &f->reset, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	reset_free(f->reset);
	free(f);
	return 0;
}

static void cf9(struct fixture *f, uint8_t value)
{
	reset_cf9_io_ops.write(f->reset, 0, value, 1);
}

static void test_cf9_resets_on_rst_cpu_only(void **state)
{
	struct fixture *f = *state;

	cf9(f, SPEC_SYS_RST);
	assert_int_equal(f->resets, 0);
	assert_int_equal(reset_cf9_io_ops.read(f->reset, 0, 1), SPEC_SYS_RST);
	cf9(f, SPEC_SYS_RST | SPEC_RST_CPU);
	assert_int_equal(f->resets, 1);
	/* RST_CPU reads as 0. */
	assert_int_equal(reset_cf9_io_ops.read(f->reset, 0, 1), SPEC_SYS_RST);
	cf9(f, SPEC_RST_CPU);
	cf9(f, SPEC_FULL_RST | SPEC_SYS_RST | SPEC_RST_CPU);
	assert_int_equal(f->resets, 3);
	assert_int_equal(f->others, 0);
}

static void test_cf9_keeps_defined_bits_only(void **state)
{
	struct fixture *f = *state;

	cf9(f, 0xf0 | 0x01 | SPEC_FULL_RST);
	assert_int_equal(reset_cf9_io_ops.read(f->reset, 0, 1), SPEC_FULL_RST);
	assert_int_equal(f->resets, 0);
}

static void test_keyboard_pulse(void **state)
{
	struct fixture *f = *state;

	/* An OS waits for the input buffer to be empty first. */
	assert_int_equal(reset_kbd_io_ops.read(f->reset, 0, 1) &
				 (SPEC_KBD_INPUT_FULL | SPEC_KBD_OUTPUT_FULL),
			 0);
	reset_kbd_io_ops.write(f->reset, 0, 0xaa, 1);
	reset_kbd_io_ops.write(f->reset, 0, 0xff, 1);
	assert_int_equal(f->resets, 0);
	reset_kbd_io_ops.write(f->reset, 0, SPEC_KBD_PULSE_RESET, 1);
	assert_int_equal(f->resets, 1);
}

static void test_state(void **state)
{
	struct fixture *f = *state;
	struct reset_params params = {0};
	struct reset *other;

	assert_int_equal(reset_new(&params, &other, NULL), 0);
	for (unsigned int v = 0; v < 256; v++) {
		cf9(f, (uint8_t)(v & ~SPEC_RST_CPU));
		assert_round_trip(&reset_state_ops, f->reset, other);
		assert_int_equal(reset_cf9_io_ops.read(other, 0, 1),
				 reset_cf9_io_ops.read(f->reset, 0, 1));
	}
	assert_structure_is_checked(&reset_state_ops, f->reset, "");
	assert_refuses_u32(&reset_state_ops, f->reset, "cf9", SPEC_RST_CPU);
	assert_refuses_u32(&reset_state_ops, f->reset, "cf9", 0x01);
	assert_refuses_u32(&reset_state_ops, f->reset, "cf9", 0x100);
	reset_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cf9_resets_on_rst_cpu_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cf9_keeps_defined_bits_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keyboard_pulse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_state, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
