/* SPDX-License-Identifier: Apache-2.0 */
/* devices/acpi_pm: fixed hardware as ACPI describes it, used as an OS does. */
#include "tests/unit/device_test.h"

#include "devices/acpi_pm.h"

/* ACPI 6.5, 4.8.3: blocks of the PM1 registers, and their bits. */
#define SPEC_PM1_STS	0x00
#define SPEC_PM1_EN	0x02
#define SPEC_PM1_CNT	0x04
#define SPEC_PM_TMR	0x08
#define SPEC_GPE0_STS	0x20
#define SPEC_GPE0_EN	0x28
#define SPEC_TMR_BIT	0x0001
#define SPEC_GBL_BIT	0x0020
#define SPEC_PWRBTN_BIT 0x0100
#define SPEC_SLPBTN_BIT 0x0200
#define SPEC_RTC_BIT	0x0400
#define SPEC_SCI_EN	0x0001
#define SPEC_SLP_TYP(x) ((x) << 10)
#define SPEC_SLP_EN	0x2000
#define SPEC_TIMER_HZ	3579545ULL
/* What this machine's \_S5 says. */
#define SPEC_S5 5

struct fixture {
	struct loop *loop;
	struct acpi_pm *pm;
	struct fake_line sci;
	uint64_t now; /* the guest's clock */
	unsigned int poweroffs, others;
};

static uint64_t fake_now(void *opaque)
{
	return ((struct fixture *)opaque)->now;
}

static void on_request(void *opaque, enum machine_request request)
{
	struct fixture *f = opaque;

	if (request == MACHINE_REQUEST_POWEROFF)
		f->poweroffs++;
	else
		f->others++;
}

static struct acpi_pm *new_pm(struct fixture *f, struct fake_line *line)
{
	struct acpi_pm_params params = {
		.sci = fake_line_of(line),
		.loop = f->loop,
		.control = {.request = on_request, .opaque = f},
		.clock = {.now_ns = fake_now, .opaque = f},
	};
	struct acpi_pm *pm;

	assert_int_equal(acpi_pm_new(&params, &pm, NULL), 0);
	return pm;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->now = 77 * NSEC_PER_SEC;
	assert_int_equal(loop_new(&f->loop, NULL), 0);
	f->pm = new_pm(f, &f->sci);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	acpi_pm_free(f->pm);
	loop_free(f->loop);
	free(f);
	return 0;
}

static uint32_t rd(struct acpi_pm *pm, unsigned int reg, unsigned int size)
{
	return (uint32_t)acpi_pm_io_ops.read(pm, reg, size);
}

static void wr(struct fixture *f, unsigned int reg, uint32_t value, unsigned int size)
{
	acpi_pm_io_ops.write(f->pm, reg, value, size);
}

static void test_power_button_as_an_os_uses_it(void **state)
{
	struct fixture *f = *state;

	/* ACPI mode from the start: there is no SMI. */
	assert_true(rd(f->pm, SPEC_PM1_CNT, 2) & SPEC_SCI_EN);
	wr(f, SPEC_PM1_STS, 0xffff, 2);
	wr(f, SPEC_PM1_EN, SPEC_PWRBTN_BIT | SPEC_GBL_BIT, 2);
	assert_int_equal(rd(f->pm, SPEC_PM1_EN, 2), SPEC_PWRBTN_BIT | SPEC_GBL_BIT);
	assert_false(f->sci.level);

	acpi_pm_power_button(f->pm);
	assert_true(f->sci.level);
	acpi_pm_power_button(f->pm);
	assert_int_equal(f->sci.rises, 1);
	assert_int_equal(rd(f->pm, SPEC_PM1_STS, 2), SPEC_PWRBTN_BIT);
	/* Both registers in one access, as the block may be read. */
	assert_int_equal(rd(f->pm, SPEC_PM1_STS, 4),
			 (SPEC_PWRBTN_BIT | SPEC_GBL_BIT) << 16 | SPEC_PWRBTN_BIT);
	/* Zeros clear nothing; another bit's 1 neither. */
	wr(f, SPEC_PM1_STS, 0, 2);
	wr(f, SPEC_PM1_STS, SPEC_TMR_BIT, 2);
	assert_true(f->sci.level);
	wr(f, SPEC_PM1_STS, SPEC_PWRBTN_BIT, 2);
	assert_false(f->sci.level);
	assert_int_equal(rd(f->pm, SPEC_PM1_STS, 2), 0);
}

static void test_masked_event_is_kept_until_enabled(void **state)
{
	struct fixture *f = *state;

	acpi_pm_power_button(f->pm);
	acpi_pm_rtc_alarm(f->pm);
	assert_false(f->sci.level);
	assert_int_equal(rd(f->pm, SPEC_PM1_STS, 2), SPEC_PWRBTN_BIT | SPEC_RTC_BIT);
	wr(f, SPEC_PM1_EN + 1, SPEC_RTC_BIT >> 8, 1);
	assert_true(f->sci.level);
	wr(f, SPEC_PM1_STS + 1, SPEC_RTC_BIT >> 8, 1);
	assert_false(f->sci.level);
	wr(f, SPEC_PM1_EN, SPEC_PWRBTN_BIT, 2);
	assert_int_equal(f->sci.rises, 2);
}

static void test_absent_sleep_button_cannot_be_enabled(void **state)
{
	struct fixture *f = *state;

	wr(f, SPEC_PM1_EN, 0xffff, 2);
	assert_int_equal(rd(f->pm, SPEC_PM1_EN, 2) & SPEC_SLPBTN_BIT, 0);
}

static void test_only_s5_switches_off(void **state)
{
	struct fixture *f = *state;

	for (uint32_t type = 0; type < 8; type++) {
		wr(f, SPEC_PM1_CNT, SPEC_SLP_TYP(type) | SPEC_SCI_EN, 2);
		assert_int_equal(rd(f->pm, SPEC_PM1_CNT, 2), SPEC_SLP_TYP(type) | SPEC_SCI_EN);
	}
	assert_int_equal(f->poweroffs, 0);
	for (uint32_t type = 0; type < 8; type++) {
		if (type != SPEC_S5)
			wr(f, SPEC_PM1_CNT, SPEC_SLP_TYP(type) | SPEC_SLP_EN, 2);
	}
	assert_int_equal(f->poweroffs, 0);
	wr(f, SPEC_PM1_CNT, SPEC_SLP_TYP(SPEC_S5) | SPEC_SLP_EN | SPEC_SCI_EN, 2);
	assert_int_equal(f->poweroffs, 1);
	/* SLP_EN is write-only; SCI_EN is the hardware's. */
	assert_int_equal(rd(f->pm, SPEC_PM1_CNT, 2), SPEC_SLP_TYP(SPEC_S5) | SPEC_SCI_EN);
	assert_int_equal(f->others, 0);
}

static void test_timer_rate_and_wrap(void **state)
{
	struct fixture *f = *state;
	uint64_t start = f->now;

	assert_int_equal(rd(f->pm, SPEC_PM_TMR, 4), 0);
	for (uint64_t s = 1; s < 5000; s += 499) {
		f->now = start + s * NSEC_PER_SEC;
		assert_int_equal(rd(f->pm, SPEC_PM_TMR, 4), (uint32_t)(s * SPEC_TIMER_HZ));
	}
	/* The OS cannot write it. */
	wr(f, SPEC_PM_TMR, 0, 4);
	assert_int_not_equal(rd(f->pm, SPEC_PM_TMR, 4), 0);
}

/* ACPI 6.5, 4.8.2.1: on each change of bit 31. */
static void test_timer_status_at_each_half(void **state)
{
	struct fixture *f = *state;
	uint64_t start = f->now;

	for (uint64_t half = 1; half <= 4; half++) {
		uint64_t ticks = half << 31;

		f->now = start + ticks * NSEC_PER_SEC / SPEC_TIMER_HZ - 1000;
		assert_int_equal(rd(f->pm, SPEC_PM1_STS, 2), 0);
		f->now += 2000;
		assert_int_equal(rd(f->pm, SPEC_PM1_STS, 2), SPEC_TMR_BIT);
		assert_int_equal(rd(f->pm, SPEC_PM_TMR, 4) >> 31, half & 1);
		wr(f, SPEC_PM1_STS, SPEC_TMR_BIT, 2);
		assert_int_equal(rd(f->pm, SPEC_PM1_STS, 2), 0);
	}
	assert_int_equal(f->sci.rises, 0);
}

/* The interrupt comes without any access by the guest. */
static void test_timer_interrupt(void **state)
{
	struct fixture *f = *state;
	uint64_t half = (1ULL << 31) * NSEC_PER_SEC / SPEC_TIMER_HZ;

	f->now += half - 5 * NSEC_PER_MSEC;
	wr(f, SPEC_PM1_EN, SPEC_TMR_BIT, 2);
	loop_settle(f->loop);
	assert_false(f->sci.level);
	f->now += 6 * NSEC_PER_MSEC;
	loop_until(f->loop, f->sci.level);
	wr(f, SPEC_PM1_STS, SPEC_TMR_BIT, 2);
	assert_false(f->sci.level);
}

static void test_gpe(void **state)
{
	struct fixture *f = *state;

	for (unsigned int gpe = 0; gpe < ACPI_PM_GPE_COUNT; gpe++) {
		unsigned int byte = gpe / 8;
		uint8_t bit = (uint8_t)(1U << gpe % 8);

		acpi_pm_raise_gpe(f->pm, gpe);
		assert_false(f->sci.level);
		assert_int_equal(rd(f->pm, SPEC_GPE0_STS + byte, 1), bit);
		wr(f, SPEC_GPE0_EN + byte, bit, 1);
		assert_true(f->sci.level);
		wr(f, SPEC_GPE0_STS + byte, (uint8_t)~bit, 1);
		assert_true(f->sci.level);
		wr(f, SPEC_GPE0_STS + byte, bit, 1);
		assert_false(f->sci.level);
		wr(f, SPEC_GPE0_EN + byte, 0, 1);
	}
	assert_int_equal(f->sci.rises, ACPI_PM_GPE_COUNT);
}

static void test_state_round_trips_and_carries_the_sci(void **state)
{
	struct fixture *f = *state;
	struct fake_line line = {0};
	struct acpi_pm *other;
	uint32_t before;

	wr(f, SPEC_PM1_EN, SPEC_PWRBTN_BIT | SPEC_TMR_BIT, 2);
	wr(f, SPEC_PM1_CNT, SPEC_SLP_TYP(3), 2);
	wr(f, SPEC_GPE0_EN, 0x81, 1);
	acpi_pm_raise_gpe(f->pm, 63);
	acpi_pm_power_button(f->pm);
	f->now += 123456789;
	before = rd(f->pm, SPEC_PM_TMR, 4);
	other = new_pm(f, &line);
	assert_int_equal(rd(other, SPEC_PM_TMR, 4), 0);
	assert_round_trip(&acpi_pm_state_ops, f->pm, other);
	assert_true(line.level);
	assert_int_equal(rd(other, SPEC_PM_TMR, 4), before);
	/* The gap counts as the guest's clock does. */
	f->now += 10 * NSEC_PER_SEC;
	assert_int_equal(rd(other, SPEC_PM_TMR, 4), rd(f->pm, SPEC_PM_TMR, 4));
	assert_in_range(rd(other, SPEC_PM_TMR, 4) - before, 10 * SPEC_TIMER_HZ,
			10 * SPEC_TIMER_HZ + 1);
	acpi_pm_free(other);
}

static void test_timer_overflow_in_the_gap_is_raised(void **state)
{
	struct fixture *f = *state;
	struct fake_line line = {0};
	struct acpi_pm *other = new_pm(f, &line);

	wr(f, SPEC_PM1_EN, SPEC_TMR_BIT, 2);
	assert_round_trip(&acpi_pm_state_ops, f->pm, other);
	f->now += 700 * NSEC_PER_SEC; /* a half takes just under 600 s */
	loop_settle(f->loop);
	assert_true(line.level);
	acpi_pm_free(other);
}

static void test_hostile_state(void **state)
{
	struct fixture *f = *state;
	const struct state_ops *ops = &acpi_pm_state_ops;

	acpi_pm_power_button(f->pm);
	assert_structure_is_checked(ops, f->pm, "");
	assert_refuses_u32(ops, f->pm, "pm1-status", SPEC_SLPBTN_BIT);
	assert_refuses_u32(ops, f->pm, "pm1-status", 0x10000);
	assert_refuses_u32(ops, f->pm, "pm1-enable", SPEC_SLPBTN_BIT);
	assert_refuses_u32(ops, f->pm, "pm1-enable", 0x10001);
	assert_refuses_u32(ops, f->pm, "pm1-control", SPEC_SLP_EN);
	assert_refuses_u32(ops, f->pm, "pm1-control", SPEC_SCI_EN);
	assert_refuses_u32(ops, f->pm, "pm1-control", 0x10000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_power_button_as_an_os_uses_it),
		T(test_masked_event_is_kept_until_enabled),
		T(test_absent_sleep_button_cannot_be_enabled),
		T(test_only_s5_switches_off),
		T(test_timer_rate_and_wrap),
		T(test_timer_status_at_each_half),
		T(test_timer_interrupt),
		T(test_gpe),
		T(test_state_round_trips_and_carries_the_sci),
		T(test_timer_overflow_in_the_gap_is_raised),
		T(test_hostile_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
