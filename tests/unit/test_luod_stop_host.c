/* SPDX-License-Identifier: Apache-2.0 */
/* An update that has systemd stop the host: it waits for the hook, and goes on without who fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "luo/luod/update_host.h"
#include "luo/luod/vm.h"
#include "luod_bench.h"

static struct bench bench;

static const struct update_config stopping = {
	.kernel = "/bin/sh",
	.cmdline = "liveupdate=on kho=on",
	.freeze_timeout_ms = 5000,
	.prepare_timeout_ms = 5000,
	.stop_host = true,
};

static int set_up(void **state _unused_)
{
	bench_up_with_two(&bench);
	return 0;
}

static int tear_down(void **state _unused_)
{
	bench_down(&bench);
	return 0;
}

static bool host_stops(struct bench *b)
{
	return b->luod.update && b->luod.update->holding;
}

/* Until systemd is at work, and the guests run. */
static void begin_and_hold(void)
{
	bench_begin_update(&bench, &stopping);
	bench_until(&bench, host_stops);
	bench_settle(&bench);
	assert_int_equal(bench_kernel.host_stops, 1);
	assert_string_equal(update_state_name(bench.luod.registry.update.state), "stopping-host");
	assert_string_equal(bench.vmms[0].journal, "prepare");
	assert_string_equal(bench.vmms[1].journal, "prepare");
}

static void go_on(void)
{
	struct error err = ERROR_INIT;

	assert_int_equal(update_go_on(&bench.luod, &err), 0);
	bench_until(&bench, bench_update_ended);
}

static void test_waits_for_the_hook(void **state _unused_)
{
	struct error err = ERROR_INIT;

	assert_int_equal(update_go_on(&bench.luod, &err), -EALREADY);
	begin_and_hold();
	go_on();
	/* The kernel of the bench refuses to reboot: all is taken back as ever. */
	assert_int_equal(bench_kernel.reboots, 1);
	assert_string_equal(bench.vmms[0].journal, "prepare freeze thaw abort");
	bench_assert_clean(&bench);
	assert_int_equal(update_go_on(&bench.luod, &err), -EALREADY);
}

static void test_no_systemd(void **state _unused_)
{
	bench_kernel.systemctl_error = ENODEV;
	bench_begin_update(&bench, &stopping);
	bench_until(&bench, bench_update_ended);
	bench_assert_clean(&bench);
	assert_int_equal(bench.luod.registry.update.state, UPDATE_FAILED);
	assert_non_null(strstr(bench.luod.registry.update.why, "not booted with it"));
	assert_string_equal(bench.vmms[0].journal, "prepare abort");
	assert_int_equal(bench_kernel.reboots, 0);
}

/* Nothing can be taken back any more: the other guest is worth more than the complaint. */
static void test_who_does_not_freeze_is_left_behind(void **state _unused_)
{
	bench.vmms[0].conduct[AGENT_FREEZE] = REFUSE;
	begin_and_hold();
	go_on();
	assert_int_equal(bench_kernel.reboots, 1);
	assert_string_equal(bench.vmms[0].journal, "prepare freeze");
	assert_string_equal(bench.vmms[1].journal, "prepare freeze thaw abort");
	assert_false(bench_record(&bench, "a")->in_update);
	assert_true(bench_record(&bench, "b")->in_update);
}

static void test_abort_while_the_host_stops(void **state _unused_)
{
	struct error err = ERROR_INIT;

	begin_and_hold();
	assert_int_equal(update_abort(&bench.luod, "enough", &err), 0);
	bench_until(&bench, bench_update_ended);
	bench_assert_clean(&bench);
	assert_int_equal(bench.luod.registry.update.state, UPDATE_ABORTED);
	assert_string_equal(bench.vmms[0].journal, "prepare abort");
	assert_int_equal(update_go_on(&bench.luod, &err), -EALREADY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_waits_for_the_hook, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_systemd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_does_not_freeze_is_left_behind, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_abort_while_the_host_stops, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
