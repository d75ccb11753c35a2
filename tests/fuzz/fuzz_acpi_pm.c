/* SPDX-License-Identifier: Apache-2.0 */
/* Any sequence of register accesses, events, passing time and saved states. */
#include "devices/acpi_pm.h"
#define SAVED_MAX 4096U
#include "tests/fuzz/fuzz_device.h"

enum {
	OP_PASS = FUZZ_OPS_SHARED, /* 1 byte: 2 to the power of it, in ns */
	OP_BUTTON,
	OP_GPE, /* number */
	OP_TURN,
	OP_COUNT,
};

static void own_op(struct fuzz_bench *b, struct fuzz_input *in, uint8_t op)
{
	struct acpi_pm *pm = b->d.obj;

	switch (op) {
	case OP_PASS:
		b->now_ns += 1ULL << fuzz_u8(in) % 64;
		break;
	case OP_BUTTON:
		acpi_pm_power_button(pm);
		acpi_pm_rtc_alarm(pm);
		break;
	case OP_GPE:
		acpi_pm_raise_gpe(pm, fuzz_u8(in) % ACPI_PM_GPE_COUNT);
		break;
	default:
		must(loop_run_once(b->loop, 0) == 0);
		break;
	}
}

static struct acpi_pm *new_pm(struct fuzz_bench *b, bool *line)
{
	struct acpi_pm_params params = {.sci = {.set = fuzz_line_set, .opaque = line},
					.loop = b->loop,
					.clock = {.now_ns = fuzz_now, .opaque = b}};
	struct acpi_pm *pm;

	must(acpi_pm_new(&params, &pm, NULL) == 0);
	return pm;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_bench b = {
		.d = {.io = &acpi_pm_io_ops,
		      .io_size = ACPI_PM_IO_SIZE,
		      .state = &acpi_pm_state_ops},
		.now_ns = 1000 * NSEC_PER_SEC,
	};

	fuzz_begin(&b);
	b.d.obj = new_pm(&b, &b.line);
	b.d.other = new_pm(&b, &b.other_line);
	fuzz_walk(&b, data, size, OP_COUNT, own_op);
	acpi_pm_free(b.d.obj);
	acpi_pm_free(b.d.other);
	loop_free(b.loop);
	return 0;
}
