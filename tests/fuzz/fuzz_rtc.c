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

static void own_op(struct fuzz_bench *b, struct fuzz_input *in, uint8_t op)
{
	switch (op) {
	case OP_TIME:
		/* Up to the year 2262: what fits into a signed time in nanoseconds. */
		b->now_ns = fuzz_u64(in) >> 1;
		break;
	case OP_PASS:
		b->now_ns = (b->now_ns + (1ULL << fuzz_u8(in) % 60)) & INT64_MAX;
		break;
	case OP_SET_REGISTER:
		rtc_io_ops.write(b->d.obj, 0, fuzz_u8(in), 1);
		rtc_io_ops.write(b->d.obj, 1, fuzz_u8(in), 1);
		break;
	default:
		must(loop_run_once(b->loop, 0) == 0);
		break;
	}
}

static struct rtc *new_rtc(struct fuzz_bench *b, bool *line)
{
	struct rtc_params params = {.irq = {.set = fuzz_line_set, .opaque = line},
				    .loop = b->loop,
				    .realtime = {.now_ns = fuzz_now, .opaque = b}};
	struct rtc *rtc;

	must(rtc_new(&params, &rtc, NULL) == 0);
	return rtc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_bench b = {
		.d = {.io = &rtc_io_ops, .io_size = RTC_IO_SIZE, .state = &rtc_state_ops},
		.now_ns = 1709251190ULL * NSEC_PER_SEC,
	};

	fuzz_begin(&b);
	b.d.obj = new_rtc(&b, &b.line);
	b.d.other = new_rtc(&b, &b.other_line);
	fuzz_walk(&b, data, size, OP_COUNT, own_op);
	rtc_free(b.d.obj);
	rtc_free(b.d.other);
	loop_free(b.loop);
	return 0;
}
