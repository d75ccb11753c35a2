/* SPDX-License-Identifier: Apache-2.0 */
/* Any sequence of register accesses, passing time (backwards, too) and saved states. */
#include "devices/rtc.h"
#define SAVED_MAX 4096U
#include "tests/fuzz/fuzz_device.h"

enum {
	OP_TIME = FUZZ_OPS_SHARED, /* 8 bytes: the host's new time */
	OP_PASS,		   /* 1 byte: 2 to the power of it, in ns */
	OP_SET_REGISTER,	   /* index, value */
	OP_TURN,
	OP_COUNT,
};

static uint64_t fake_now(void *opaque)
{
	return *(uint64_t *)opaque;
}

static void own_op(struct rtc *rtc, struct loop *loop, uint64_t *now, struct fuzz_input *in,
		   uint8_t op)
{
	switch (op) {
	case OP_TIME:
		/* Up to the year 2262: what fits into a signed time in nanoseconds. */
		*now = fuzz_u64(in) >> 1;
		break;
	case OP_PASS:
		*now = (*now + (1ULL << fuzz_u8(in) % 60)) & INT64_MAX;
		break;
	case OP_SET_REGISTER:
		rtc_io_ops.write(rtc, 0, fuzz_u8(in), 1);
		rtc_io_ops.write(rtc, 1, fuzz_u8(in), 1);
		break;
	default:
		must(loop_run_once(loop, 0) == 0);
		break;
	}
}

static struct rtc *new_rtc(struct loop *loop, uint64_t *now, bool *line)
{
	struct rtc_params params = {.irq = {.set = fuzz_line_set, .opaque = line},
				    .loop = loop,
				    .realtime = {.now_ns = fake_now, .opaque = now}};
	struct rtc *rtc;

	must(rtc_new(&params, &rtc, NULL) == 0);
	return rtc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.data = data, .size = size};
	uint64_t now = 1709251190ULL * NSEC_PER_SEC;
	bool line = false, other_line = false;
	struct fuzz_device d = {.io = &rtc_io_ops, .io_size = RTC_IO_SIZE, .state = &rtc_state_ops};
	struct loop *loop;

	fuzz_quiet();
	must(loop_new(&loop, NULL) == 0);
	d.obj = new_rtc(loop, &now, &line);
	d.other = new_rtc(loop, &now, &other_line);
	for (unsigned int i = 0; i < FUZZ_OPS_MAX && in.size > 0; i++) {
		uint8_t op = fuzz_u8(&in) % OP_COUNT;

		if (!fuzz_shared(&d, &in, op))
			own_op(d.obj, loop, &now, &in, op);
	}
	fuzz_round_trip(&d);
	must(line == other_line);
	rtc_free(d.obj);
	rtc_free(d.other);
	loop_free(loop);
	return 0;
}
