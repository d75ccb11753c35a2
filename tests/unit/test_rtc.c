/* SPDX-License-Identifier: Apache-2.0 */
/* devices/rtc: the clock as an OS reads, sets and waits for it. Time is the test's own. */
#include "tests/unit/device_test.h"

#include "devices/rtc.h"

/* MC146818A data sheet: registers and bits. */
#define SPEC_SEC       0x00
#define SPEC_SEC_ALARM 0x01
#define SPEC_MIN       0x02
#define SPEC_MIN_ALARM 0x03
#define SPEC_HOUR      0x04
#define SPEC_HR_ALARM  0x05
#define SPEC_WDAY      0x06
#define SPEC_MDAY      0x07
#define SPEC_MONTH     0x08
#define SPEC_YEAR      0x09
#define SPEC_A	       0x0a
#define SPEC_B	       0x0b
#define SPEC_C	       0x0c
#define SPEC_D	       0x0d
#define SPEC_SHUTDOWN  0x0f /* IBM PC AT: shutdown status byte */
#define SPEC_CENTURY   0x32
#define SPEC_UIP       0x80
#define SPEC_DV_RUN    0x20
#define SPEC_DV_RESET  0x70
#define SPEC_RS_1024HZ 0x06
#define SPEC_RS_8192HZ 0x03
#define SPEC_RS_2HZ    0x0f
#define SPEC_SET       0x80
#define SPEC_PIE       0x40
#define SPEC_AIE       0x20
#define SPEC_UIE       0x10
#define SPEC_BINARY    0x04
#define SPEC_24H       0x02
#define SPEC_IRQF      0x80
#define SPEC_PF	       0x40
#define SPEC_AF	       0x20
#define SPEC_UF	       0x10
#define SPEC_VRT       0x80
#define SPEC_ANY       0xff /* alarm: 11xxxxxx matches all */
#define SPEC_PM	       0x80
/* UIP rises 244 us before an update of 1984 us. */
#define SPEC_UIP_US (244 + 1984)

/* 2024-02-29 23:59:50 UTC, a Thursday, and half a second. From `date -ud`, not from our code. */
#define START_S	 1709251190ULL
#define START_NS (START_S * NSEC_PER_SEC + NSEC_PER_SEC / 2)

struct fixture {
	struct loop *loop;
	struct rtc *rtc;
	struct fake_line irq;
	uint64_t now;
};

static uint64_t fake_now(void *opaque)
{
	return ((struct fixture *)opaque)->now;
}

static struct rtc *new_rtc(struct fixture *f, struct fake_line *line)
{
	struct rtc_params params = {.irq = fake_line_of(line),
				    .loop = f->loop,
				    .realtime = {.now_ns = fake_now, .opaque = f}};
	struct rtc *rtc;

	assert_int_equal(rtc_new(&params, &rtc, NULL), 0);
	return rtc;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->now = START_NS;
	assert_int_equal(loop_new(&f->loop, NULL), 0);
	f->rtc = new_rtc(f, &f->irq);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rtc_free(f->rtc);
	loop_free(f->loop);
	free(f);
	return 0;
}

static uint8_t rd(struct rtc *rtc, uint8_t reg)
{
	rtc_io_ops.write(rtc, 0, reg, 1);
	return (uint8_t)rtc_io_ops.read(rtc, 1, 1);
}

static void wr(struct rtc *rtc, uint8_t reg, uint8_t value)
{
	rtc_io_ops.write(rtc, 0, reg, 1);
	rtc_io_ops.write(rtc, 1, value, 1);
}

/* hh:mm:ss weekday yyyy-mm-dd as the registers say it. */
static void assert_time(struct rtc *rtc, const uint8_t expected[8])
{
	static const uint8_t regs[] = {SPEC_HOUR,    SPEC_MIN,	SPEC_SEC,   SPEC_WDAY,
				       SPEC_CENTURY, SPEC_YEAR, SPEC_MONTH, SPEC_MDAY};

	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++)
		assert_int_equal(rd(rtc, regs[i]), expected[i]);
}

static void test_time_in_all_formats(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rd(f->rtc, SPEC_D), SPEC_VRT);
	assert_int_equal(rd(f->rtc, SPEC_B), SPEC_24H);
	assert_time(f->rtc, (uint8_t[]){0x23, 0x59, 0x50, 0x05, 0x20, 0x24, 0x02, 0x29});
	wr(f->rtc, SPEC_B, SPEC_24H | SPEC_BINARY);
	assert_time(f->rtc, (uint8_t[]){23, 59, 50, 5, 20, 24, 2, 29});
	wr(f->rtc, SPEC_B, SPEC_BINARY);
	assert_time(f->rtc, (uint8_t[]){SPEC_PM | 11, 59, 50, 5, 20, 24, 2, 29});
	wr(f->rtc, SPEC_B, 0);
	assert_time(f->rtc, (uint8_t[]){SPEC_PM | 0x11, 0x59, 0x50, 0x05, 0x20, 0x24, 0x02, 0x29});
	f->now += 10 * NSEC_PER_SEC;
	/* Midnight is 12 AM, of a Friday, the 1st of March. */
	assert_time(f->rtc, (uint8_t[]){0x12, 0x00, 0x00, 0x06, 0x20, 0x24, 0x03, 0x01});
	f->now += 12 * 3600 * NSEC_PER_SEC;
	assert_int_equal(rd(f->rtc, SPEC_HOUR), SPEC_PM | 0x12);
}

static void test_update_in_progress(void **state)
{
	struct fixture *f = *state;
	uint64_t second = (START_S + 1) * NSEC_PER_SEC;

	f->now = second - (SPEC_UIP_US + 10) * 1000;
	assert_false(rd(f->rtc, SPEC_A) & SPEC_UIP);
	f->now = second - (SPEC_UIP_US - 10) * 1000;
	assert_true(rd(f->rtc, SPEC_A) & SPEC_UIP);
	assert_int_equal(rd(f->rtc, SPEC_SEC), 0x50);
	f->now = second;
	assert_false(rd(f->rtc, SPEC_A) & SPEC_UIP);
	assert_int_equal(rd(f->rtc, SPEC_SEC), 0x51);
	/* UIP cannot be written, and SET holds it low. */
	wr(f->rtc, SPEC_A, SPEC_UIP | SPEC_DV_RUN | SPEC_RS_1024HZ);
	assert_int_equal(rd(f->rtc, SPEC_A), SPEC_DV_RUN | SPEC_RS_1024HZ);
	wr(f->rtc, SPEC_B, SPEC_SET | SPEC_24H);
	f->now = second + NSEC_PER_SEC - 1000;
	assert_false(rd(f->rtc, SPEC_A) & SPEC_UIP);
}

/* The sequence of an OS: SET, divider reset, registers, SET off, divider on. */
static void set_time(struct rtc *rtc, const uint8_t t[8])
{
	uint8_t b = rd(rtc, SPEC_B), a = rd(rtc, SPEC_A) & (uint8_t)~SPEC_UIP;

	wr(rtc, SPEC_B, b | SPEC_SET);
	wr(rtc, SPEC_A, a | SPEC_DV_RESET);
	wr(rtc, SPEC_HOUR, t[0]);
	wr(rtc, SPEC_MIN, t[1]);
	wr(rtc, SPEC_SEC, t[2]);
	wr(rtc, SPEC_WDAY, t[3]);
	wr(rtc, SPEC_CENTURY, t[4]);
	wr(rtc, SPEC_YEAR, t[5]);
	wr(rtc, SPEC_MONTH, t[6]);
	wr(rtc, SPEC_MDAY, t[7]);
	wr(rtc, SPEC_B, b);
	wr(rtc, SPEC_A, a);
}

static void test_setting_the_time(void **state)
{
	struct fixture *f = *state;
	/* A Wednesday, but the guest says it is day 1: the weekday is its own counter. */
	const uint8_t t[8] = {0x08, 0x30, 0x15, 0x01, 0x19, 0x99, 0x12, 0x29};

	f->now += 123456789;
	set_time(f->rtc, t);
	assert_time(f->rtc, t);
	/* The first update comes 500 ms after the divider was released, the next a second later. */
	f->now += 499 * NSEC_PER_MSEC;
	assert_int_equal(rd(f->rtc, SPEC_SEC), 0x15);
	f->now += 2 * NSEC_PER_MSEC;
	assert_int_equal(rd(f->rtc, SPEC_SEC), 0x16);
	f->now += 998 * NSEC_PER_MSEC;
	assert_int_equal(rd(f->rtc, SPEC_SEC), 0x16);
	f->now += 2 * NSEC_PER_MSEC;
	assert_int_equal(rd(f->rtc, SPEC_SEC), 0x17);
	f->now += 3 * 86400 * NSEC_PER_SEC;
	assert_time(f->rtc, (uint8_t[]){0x08, 0x30, 0x17, 0x04, 0x20, 0x00, 0x01, 0x01});
}

static void test_set_holds_the_time_and_a_write_alone_moves_it(void **state)
{
	struct fixture *f = *state;

	wr(f->rtc, SPEC_B, SPEC_SET | SPEC_24H);
	f->now += 30 * NSEC_PER_SEC;
	assert_int_equal(rd(f->rtc, SPEC_SEC), 0x50);
	/* Held registers are bytes: what is written is what is read. */
	wr(f->rtc, SPEC_SEC, 0x7f);
	assert_int_equal(rd(f->rtc, SPEC_SEC), 0x7f);
	wr(f->rtc, SPEC_SEC, 0x42);
	wr(f->rtc, SPEC_B, SPEC_24H);
	assert_time(f->rtc, (uint8_t[]){0x23, 0x59, 0x42, 0x05, 0x20, 0x24, 0x02, 0x29});
	/* Without SET. */
	wr(f->rtc, SPEC_HOUR, 0x01);
	assert_time(f->rtc, (uint8_t[]){0x01, 0x59, 0x42, 0x05, 0x20, 0x24, 0x02, 0x29});
	wr(f->rtc, SPEC_CENTURY, 0x21);
	assert_int_equal(rd(f->rtc, SPEC_CENTURY), 0x21);
	assert_int_equal(rd(f->rtc, SPEC_YEAR), 0x24);
}

static void test_update_ended_interrupt(void **state)
{
	struct fixture *f = *state;

	wr(f->rtc, SPEC_B, SPEC_24H | SPEC_UIE);
	f->now += 400 * NSEC_PER_MSEC;
	loop_settle(f->loop);
	assert_false(f->irq.level);
	assert_int_equal(rd(f->rtc, SPEC_C) & SPEC_IRQF, 0);
	f->now += 100 * NSEC_PER_MSEC;
	loop_until(f->loop, f->irq.level);
	assert_int_equal(rd(f->rtc, SPEC_C) & (SPEC_IRQF | SPEC_UF), SPEC_IRQF | SPEC_UF);
	assert_false(f->irq.level);
	/* Reading clears all of C. */
	assert_int_equal(rd(f->rtc, SPEC_C), 0);
	/* SET going high clears UIE. */
	wr(f->rtc, SPEC_B, SPEC_24H | SPEC_UIE | SPEC_SET);
	assert_int_equal(rd(f->rtc, SPEC_B), SPEC_24H | SPEC_SET);
}

static void test_flags_rise_without_enables(void **state)
{
	struct fixture *f = *state;

	rd(f->rtc, SPEC_C);
	f->now += NSEC_PER_SEC;
	assert_int_equal(rd(f->rtc, SPEC_C), SPEC_PF | SPEC_UF);
	assert_int_equal(f->irq.rises, 0);
	/* An enable that comes after its flag interrupts at once. */
	f->now += NSEC_PER_SEC;
	wr(f->rtc, SPEC_B, SPEC_24H | SPEC_UIE);
	assert_true(f->irq.level);
	wr(f->rtc, SPEC_B, SPEC_24H);
	assert_false(f->irq.level);
}

static void test_periodic_rates(void **state)
{
	struct fixture *f = *state;

	for (uint8_t rs = 0; rs < 16; rs++) {
		/* Data sheet, table 5, at 32.768 kHz: periods in ns, rounded up. */
		static const uint64_t spec_ns[16] = {0,	       3906250,	  7812500,   122071,
						     244141,   488282,	  976563,    1953125,
						     3906250,  7812500,	  15625000,  31250000,
						     62500000, 125000000, 250000000, 500000000};
		unsigned int count = 0;

		/* From a whole second on, where all periods start together. */
		f->now = (START_S + 10 + rs) * NSEC_PER_SEC;
		wr(f->rtc, SPEC_A, SPEC_DV_RUN | rs);
		rd(f->rtc, SPEC_C);
		for (unsigned int i = 0; i < 3 && spec_ns[rs]; i++) {
			f->now += spec_ns[rs] - 200;
			count += rd(f->rtc, SPEC_C) & SPEC_PF ? 100 : 0;
			f->now += 200;
			count += rd(f->rtc, SPEC_C) & SPEC_PF ? 1 : 0;
		}
		f->now += NSEC_PER_SEC;
		if (rs == 0)
			assert_false(rd(f->rtc, SPEC_C) & SPEC_PF);
		else
			assert_int_equal(count, 3);
	}
}

static void test_periodic_interrupt_keeps_coming(void **state)
{
	struct fixture *f = *state;

	wr(f->rtc, SPEC_A, SPEC_DV_RUN | SPEC_RS_8192HZ);
	wr(f->rtc, SPEC_B, SPEC_24H | SPEC_PIE);
	for (unsigned int i = 1; i <= 10; i++) {
		f->now += 123 * 1000;
		loop_until(f->loop, f->irq.level);
		assert_int_equal(f->irq.rises, i);
		assert_int_equal(rd(f->rtc, SPEC_C) & (SPEC_IRQF | SPEC_PF), SPEC_IRQF | SPEC_PF);
	}
	/* A held divider has no ticks. */
	wr(f->rtc, SPEC_A, SPEC_DV_RESET | SPEC_RS_8192HZ);
	rd(f->rtc, SPEC_C);
	f->now += NSEC_PER_SEC;
	assert_int_equal(rd(f->rtc, SPEC_C), 0);
}

static void set_alarm(struct rtc *rtc, uint8_t h, uint8_t m, uint8_t s)
{
	wr(rtc, SPEC_HR_ALARM, h);
	wr(rtc, SPEC_MIN_ALARM, m);
	wr(rtc, SPEC_SEC_ALARM, s);
}

static bool alarm_within(struct fixture *f, uint64_t seconds)
{
	rd(f->rtc, SPEC_C);
	f->now += seconds * NSEC_PER_SEC;
	return rd(f->rtc, SPEC_C) & SPEC_AF;
}

static void test_alarm_matching(void **state)
{
	struct fixture *f = *state; /* 23:59:50.5 */

	set_alarm(f->rtc, 0x00, 0x00, 0x05);
	assert_false(alarm_within(f, 14));
	assert_true(alarm_within(f, 1));
	/* Not again before tomorrow. */
	assert_false(alarm_within(f, 86399));
	assert_true(alarm_within(f, 1));
	/* Each hour at 10:20; each minute at 30 s; each second. */
	set_alarm(f->rtc, SPEC_ANY, 0x10, 0x20);
	assert_false(alarm_within(f, 10 * 60 + 14));
	assert_true(alarm_within(f, 1));
	assert_true(alarm_within(f, 3600));
	set_alarm(f->rtc, SPEC_ANY, SPEC_ANY, 0x30);
	assert_false(alarm_within(f, 9));
	assert_true(alarm_within(f, 1));
	set_alarm(f->rtc, 0xc0, 0xc0, 0xc0);
	assert_true(alarm_within(f, 1));
	/* No number: never, and no endless search. */
	set_alarm(f->rtc, SPEC_ANY, SPEC_ANY, 0x6f);
	assert_false(alarm_within(f, 200000));
	set_alarm(f->rtc, 0x24, SPEC_ANY, SPEC_ANY);
	assert_false(alarm_within(f, 200000));
	/* 12 hour format, binary: 11 PM. */
	wr(f->rtc, SPEC_B, SPEC_BINARY);
	set_alarm(f->rtc, SPEC_PM | 11, 0, 0);
	assert_true(alarm_within(f, 86400));
	set_alarm(f->rtc, 13, 0, 0);
	assert_false(alarm_within(f, 2 * 86400));
}

static void test_alarm_interrupt(void **state)
{
	struct fixture *f = *state;

	set_alarm(f->rtc, 0x23, 0x59, 0x51);
	wr(f->rtc, SPEC_B, SPEC_24H | SPEC_AIE);
	f->now += 495 * NSEC_PER_MSEC;
	loop_settle(f->loop);
	assert_false(f->irq.level);
	f->now += 5 * NSEC_PER_MSEC;
	loop_until(f->loop, f->irq.level);
	assert_true(rd(f->rtc, SPEC_C) & SPEC_AF);
	assert_false(f->irq.level);
}

static void test_cmos_index_and_nmi_mask(void **state)
{
	struct fixture *f = *state;

	wr(f->rtc, SPEC_SHUTDOWN, 0x0a);
	for (unsigned int i = 0x10; i < 0x80; i++) {
		if (i != SPEC_CENTURY)
			wr(f->rtc, (uint8_t)i, (uint8_t)(i * 7));
	}
	for (unsigned int i = 0x10; i < 0x80; i++) {
		if (i != SPEC_CENTURY)
			assert_int_equal(rd(f->rtc, (uint8_t)i), (uint8_t)(i * 7));
	}
	assert_false(rtc_nmi_masked(f->rtc));
	assert_int_equal(rd(f->rtc, 0x80 | SPEC_SHUTDOWN), 0x0a);
	assert_true(rtc_nmi_masked(f->rtc));
	/* One wide write is index and data. */
	rtc_io_ops.write(f->rtc, 0, 0x5500 | SPEC_SHUTDOWN, 2);
	assert_int_equal(rd(f->rtc, SPEC_SHUTDOWN), 0x55);
	assert_false(rtc_nmi_masked(f->rtc));
	/* C and D are not for writing. */
	wr(f->rtc, SPEC_C, 0xff);
	wr(f->rtc, SPEC_D, 0x00);
	assert_int_equal(rd(f->rtc, SPEC_D), SPEC_VRT);
}

static void test_host_clock_set_back(void **state)
{
	struct fixture *f = *state;

	rd(f->rtc, SPEC_C);
	f->now -= 3600 * NSEC_PER_SEC;
	assert_int_equal(rd(f->rtc, SPEC_C), 0);
	assert_int_equal(rd(f->rtc, SPEC_HOUR), 0x22);
	f->now += NSEC_PER_SEC;
	assert_true(rd(f->rtc, SPEC_C) & SPEC_UF);
}

static void test_state_in_every_kind_of_state(void **state)
{
	struct fixture *f = *state;
	struct fake_line line = {0};
	struct rtc *other = new_rtc(f, &line);
	const uint8_t t[8] = {0x08, 0x30, 0x15, 0x01, 0x19, 0x99, 0x12, 0x29};

	assert_round_trip(&rtc_state_ops, f->rtc, other);
	set_time(f->rtc, t);
	wr(f->rtc, SPEC_SHUTDOWN, 9);
	assert_round_trip(&rtc_state_ops, f->rtc, other);
	assert_time(other, t);
	wr(f->rtc, SPEC_B, SPEC_SET);
	wr(f->rtc, SPEC_HOUR, 0xee);
	assert_round_trip(&rtc_state_ops, f->rtc, other);
	assert_int_equal(rd(other, SPEC_HOUR), 0xee);
	wr(f->rtc, SPEC_A, SPEC_DV_RESET);
	wr(f->rtc, SPEC_B, SPEC_AIE);
	assert_round_trip(&rtc_state_ops, f->rtc, other);
	wr(f->rtc, SPEC_A, SPEC_DV_RUN);
	/* Year 0 and year 9999. */
	set_time(f->rtc, (uint8_t[]){0, 0, 0, 1, 0, 0, 1, 1});
	assert_round_trip(&rtc_state_ops, f->rtc, other);
	set_time(f->rtc, (uint8_t[]){0x12, 0x59, 0x59, 7, 0x99, 0x99, 0x12, 0x31});
	assert_round_trip(&rtc_state_ops, f->rtc, other);
	/* The line is up, with the index port in the middle of an access. */
	f->now += NSEC_PER_SEC;
	wr(f->rtc, SPEC_B, SPEC_UIE);
	rtc_io_ops.write(f->rtc, 0, 0x80 | SPEC_C, 1);
	assert_true(f->irq.level);
	assert_round_trip(&rtc_state_ops, f->rtc, other);
	assert_true(line.level);
	assert_true(rtc_nmi_masked(other));
	assert_true(rtc_io_ops.read(other, 1, 1) & SPEC_UF);
	assert_false(line.level);
	rtc_free(other);
}

static void test_gap(void **state)
{
	struct fixture *f = *state;
	struct fake_line line = {0};
	struct rtc *other;

	wr(f->rtc, SPEC_HOUR, 0x12); /* the guest's own time zone */
	set_alarm(f->rtc, 0x13, 0x00, 0x00);
	wr(f->rtc, SPEC_B, SPEC_24H | SPEC_AIE);
	loop_settle(f->loop);
	other = new_rtc(f, &line);
	assert_round_trip(&rtc_state_ops, f->rtc, other);
	f->now += 7200 * NSEC_PER_SEC;
	/* The alarm that fell into the gap, without any access by the guest. */
	loop_settle(f->loop);
	assert_true(line.level);
	assert_true(rd(other, SPEC_C) & SPEC_AF);
	assert_int_equal(rd(other, SPEC_HOUR), 0x14);
	assert_int_equal(rd(other, SPEC_MIN), 0x59);
	rtc_free(other);
}

static void test_hostile_state(void **state)
{
	struct fixture *f = *state;
	const struct state_ops *ops = &rtc_state_ops;
	const fdt64_t far = cpu_to_fdt64(1ULL << 62), past = cpu_to_fdt64(1ULL << 63);
	uint8_t cmos[128] = {0};

	assert_structure_is_checked(ops, f->rtc, "");
	assert_refuses_u32(ops, f->rtc, "index", 0x80);
	assert_refuses_u32(ops, f->rtc, "nmi-masked", 2);
	assert_refuses_u32(ops, f->rtc, "a", SPEC_UIP);
	assert_refuses_u32(ops, f->rtc, "b", 0x100);
	assert_refuses_u32(ops, f->rtc, "b", SPEC_SET | SPEC_UIE);
	assert_refuses_u32(ops, f->rtc, "c", SPEC_IRQF);
	assert_refuses_u32(ops, f->rtc, "c", 0x01);
	assert_refuses_u32(ops, f->rtc, "phase-ns", 1000000000);
	assert_refuses_u32(ops, f->rtc, "weekday-shift", 7);
	assert_refuses_bytes(ops, f->rtc, "offset-seconds", &far, sizeof(far));
	assert_refuses_bytes(ops, f->rtc, "offset-seconds", &past, sizeof(past));
	cmos[SPEC_C] = 1;
	assert_refuses_bytes(ops, f->rtc, "cmos", cmos, sizeof(cmos));
	cmos[SPEC_C] = 0;
	cmos[SPEC_CENTURY] = 1; /* the clock runs */
	assert_refuses_bytes(ops, f->rtc, "cmos", cmos, sizeof(cmos));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_time_in_all_formats),
		T(test_update_in_progress),
		T(test_setting_the_time),
		T(test_set_holds_the_time_and_a_write_alone_moves_it),
		T(test_update_ended_interrupt),
		T(test_flags_rise_without_enables),
		T(test_periodic_rates),
		T(test_periodic_interrupt_keeps_coming),
		T(test_alarm_matching),
		T(test_alarm_interrupt),
		T(test_cmos_index_and_nmi_mask),
		T(test_host_clock_set_back),
		T(test_state_in_every_kind_of_state),
		T(test_gap),
		T(test_hostile_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
