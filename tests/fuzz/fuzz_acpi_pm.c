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

static uint64_t fake_now(void *opaque)
{
	return *(uint64_t *)opaque;
}

static void own_op(struct acpi_pm *pm, struct loop *loop, uint64_t *now, struct fuzz_input *in,
		   uint8_t op)
{
	switch (op) {
	case OP_PASS:
		*now += 1ULL << fuzz_u8(in) % 64;
		break;
	case OP_BUTTON:
		acpi_pm_power_button(pm);
		acpi_pm_rtc_alarm(pm);
		break;
	case OP_GPE:
		acpi_pm_raise_gpe(pm, fuzz_u8(in) % ACPI_PM_GPE_COUNT);
		break;
	default:
		must(loop_run_once(loop, 0) == 0);
		break;
	}
}

static struct acpi_pm *new_pm(struct loop *loop, uint64_t *now, bool *line)
{
	struct acpi_pm_params params = {.sci = {.set = fuzz_line_set, .opaque = line},
					.loop = loop,
					.clock = {.now_ns = fake_now, .opaque = now}};
	struct acpi_pm *pm;

	must(acpi_pm_new(&params, &pm, NULL) == 0);
	return pm;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.data = data, .size = size};
	uint64_t now = 1000 * NSEC_PER_SEC;
	bool line = false, other_line = false;
	struct fuzz_device d = {
		.io = &acpi_pm_io_ops, .io_size = ACPI_PM_IO_SIZE, .state = &acpi_pm_state_ops};
	struct loop *loop;

	fuzz_quiet();
	must(loop_new(&loop, NULL) == 0);
	d.obj = new_pm(loop, &now, &line);
	d.other = new_pm(loop, &now, &other_line);
	for (unsigned int i = 0; i < FUZZ_OPS_MAX && in.size > 0; i++) {
		uint8_t op = fuzz_u8(&in) % OP_COUNT;

		if (!fuzz_shared(&d, &in, op))
			own_op(d.obj, loop, &now, &in, op);
	}
	fuzz_round_trip(&d);
	must(line == other_line);
	acpi_pm_free(d.obj);
	acpi_pm_free(d.other);
	loop_free(loop);
	return 0;
}
