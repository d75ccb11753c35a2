/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of an update on the old kernel, against vmms and a kernel that fail at every one of
 * them: guests thaw, nothing is left, the report names what failed, and a second update works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "luo/luod/lifecycle.h"
#include "luo/luod/vm.h"
#include "luod_bench.h"

static struct bench bench;

static const struct update_config plain = {
	.kernel = "/bin/sh",
	.cmdline = "liveupdate=on kho=on",
	.freeze_timeout_ms = 5000,
	.prepare_timeout_ms = 5000,
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

static void run_update(const struct update_config *config)
{
	bench_begin_update(&bench, config);
	bench_until(&bench, bench_update_ended);
	bench_assert_clean(&bench);
}

static void assert_ended(enum update_state state, const char *why)
{
	const struct update_record *update = &bench.luod.registry.update;

	assert_string_equal(update_state_name(update->state), update_state_name(state));
	if (!strstr(update->why, why))
		fail_msg("\"%s\" does not say \"%s\"", update->why, why);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(bench.luod.registry.history, 0), "id")),
			    update->id);
}

static void assert_journals(const char *a, const char *b)
{
	assert_string_equal(bench.vmms[0].journal, a);
	assert_string_equal(bench.vmms[1].journal, b);
}

#define ALL_THE_WAY "prepare freeze thaw abort"

static void assert_second_update_works(void)
{
	unsigned int reboots = bench_kernel.reboots;

	memset(bench.vmms[0].conduct, 0, sizeof(bench.vmms[0].conduct));
	memset(bench.vmms[1].conduct, 0, sizeof(bench.vmms[1].conduct));
	run_update(&plain);
	assert_int_equal(bench_kernel.reboots, reboots + 1);
	assert_ended(UPDATE_FAILED, "reboot refused");
}

static void test_reboot_refused(void **state _unused_)
{
	run_update(&plain);
	assert_ended(UPDATE_FAILED, "reboot refused");
	assert_journals(ALL_THE_WAY, ALL_THE_WAY);
	assert_int_equal(bench.vmms[0].sessions, 1);
	assert_int_equal(bench.vmms[0].phase, AGENT_PHASE_RUNNING);
	assert_int_equal(bench_kernel.created, 3);
	assert_int_equal(bench.luod.registry.update.kexec_begin_tsc, 0);
	assert_second_update_works();
	assert_int_equal(json_array_size(bench.luod.registry.history), 2);
}

static void test_load_fails(void **state _unused_)
{
	bench_kernel.load_error = EADDRNOTAVAIL;
	run_update(&plain);
	assert_ended(UPDATE_FAILED, "cannot load it");
	assert_journals("", "");
	bench_kernel.load_error = 0;
	assert_second_update_works();
}

static void test_sessions_fail(void **state _unused_)
{
	static const char *const names[] = {LUO_HOST_SESSION, "vm:a", "vm:b"};

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		bench_kernel.create_fails = names[i];
		run_update(&plain);
		assert_ended(UPDATE_FAILED, names[i]);
		assert_journals("", "");
	}
	bench_kernel.create_fails = NULL;
	bench_kernel.preserve_error = ENOENT;
	run_update(&plain);
	assert_ended(UPDATE_FAILED, "cannot preserve registry");
	bench_kernel.preserve_error = 0;
	assert_second_update_works();
}

static void test_prepare_fails(void **state _unused_)
{
	bench.vmms[1].conduct[AGENT_PREPARE] = REFUSE;
	run_update(&plain);
	assert_ended(UPDATE_FAILED, "vm b: prepare: no");
	assert_journals("prepare abort", "prepare abort");
	assert_string_equal(bench_record(&bench, "b")->why, "vm b: prepare: no");
	assert_string_equal(bench_record(&bench, "a")->why, "");
	assert_second_update_works();
}

static void test_prepare_late(void **state _unused_)
{
	struct update_config config = plain;

	config.prepare_timeout_ms = 50;
	bench.vmms[0].conduct[AGENT_PREPARE] = WAIT;
	run_update(&config);
	assert_ended(UPDATE_FAILED, "did not answer \"prepare\" in time");
	assert_journals("prepare abort", "prepare abort");
	assert_second_update_works();
}

static void test_freeze_fails(void **state _unused_)
{
	bench.vmms[0].conduct[AGENT_FREEZE] = REFUSE;
	run_update(&plain);
	assert_ended(UPDATE_FAILED, "vm a: freeze: no");
	assert_journals(ALL_THE_WAY, ALL_THE_WAY);
	assert_int_equal(bench_kernel.reboots, 0);
	assert_second_update_works();
}

static void test_registry_cannot_be_written(void **state _unused_)
{
	bench_kernel.write_error = ENOSPC;
	run_update(&plain);
	assert_ended(UPDATE_FAILED, "registry: cannot write it");
	assert_journals(ALL_THE_WAY, ALL_THE_WAY);
	assert_int_equal(bench_kernel.reboots, 0);
	bench_kernel.write_error = 0;
	assert_second_update_works();
}

static void test_disk_hangs(void **state _unused_)
{
	struct update_config config = plain;

	/* The flush has its own long deadline: it comes back; the settle has that of the freeze. */
	config.freeze_timeout_ms = 100;
	bench_kernel.sync_hangs = true;
	run_update(&config);
	assert_ended(UPDATE_FAILED, "file systems: writing them out did not end");
	assert_journals(ALL_THE_WAY, ALL_THE_WAY);
	assert_int_equal(bench_kernel.reboots, 0);
	bench_kernel.sync_hangs = false;
	assert_second_update_works();
}

static void test_vmm_dies_in_prepare(void **state _unused_)
{
	bench.vmms[1].conduct[AGENT_PREPARE] = DIE;
	run_update(&plain);
	assert_ended(UPDATE_FAILED, "vm b: its vmm");
	assert_journals("prepare abort", "prepare");
}

/* The guest ended by itself: nothing is left to be saved of it, and the others go. */
static void test_guest_ends_in_prepare(void **state _unused_)
{
	bench.vmms[1].conduct[AGENT_PREPARE] = POWEROFF;
	run_update(&plain);
	assert_ended(UPDATE_FAILED, "reboot refused");
	assert_journals(ALL_THE_WAY, "prepare");
	assert_int_equal(bench_record(&bench, "b")->status, VM_STOPPED);
	assert_false(bench_record(&bench, "b")->in_update);
}

static void kill_b(void *opaque _unused_)
{
	struct registry reg;

	/* What would reach the next kernel. */
	assert_int_equal(registry_init(&reg), 0);
	registry_done(&reg);
	assert_int_equal(bench_record(&bench, "b")->status, VM_DISCONNECTED);
	assert_int_equal(bench_record(&bench, "b")->phase, AGENT_PHASE_FROZEN);
	assert_true(bench_record(&bench, "b")->in_update);
	assert_true(bench_record(&bench, "b")->vm->session_fd >= 0);
}

static bool b_is_frozen(struct bench *b)
{
	return bench_record(b, "b")->phase == AGENT_PHASE_FROZEN;
}

/* All of a frozen guest is in its session, of which luod has a duplicate: the update goes on. */
static void test_vmm_dies_frozen(void **state _unused_)
{
	bench.vmms[0].conduct[AGENT_FREEZE] = WAIT;
	bench_kernel.at_reboot = kill_b;
	bench_begin_update(&bench, &plain);
	bench_until(&bench, b_is_frozen);
	close_fdp(&bench.vmms[1].fd);
	bench_settle(&bench);
	/* Now the other one answers. */
	bench.vmms[0].conduct[AGENT_FREEZE] = OBEY;
	{
		struct agent_reply reply = {.seq = bench_record(&bench, "a")->vm->request.seq,
					    .ok = true,
					    .phase = AGENT_PHASE_FROZEN};

		vm_on_reply(bench_record(&bench, "a")->vm, &reply, NULL, 0);
	}
	bench_until(&bench, bench_update_ended);
	assert_int_equal(bench_kernel.reboots, 1);
	assert_ended(UPDATE_FAILED, "reboot refused");
	assert_string_equal(bench.vmms[0].journal, ALL_THE_WAY);
}

static void test_dry_run(void **state _unused_)
{
	struct update_config config = plain;

	config.dry_run = true;
	run_update(&config);
	assert_ended(UPDATE_CHECKED, "");
	assert_journals("prepare abort", "prepare abort");
	assert_int_equal(bench_kernel.reboots, 0);
	assert_second_update_works();
}

static bool a_is_asked(struct bench *b)
{
	return b->vmms[0].journal[0];
}

static void test_abort(void **state _unused_)
{
	struct error err = ERROR_INIT;

	assert_int_equal(update_abort(&bench.luod, "enough", &err), -EALREADY);
	bench_begin_update(&bench, &plain);
	bench_until(&bench, a_is_asked);
	assert_int_equal(update_begin(&bench.luod, &plain, &err), -EBUSY);
	assert_int_equal(update_abort(&bench.luod, "enough", &err), 0);
	bench_until(&bench, bench_update_ended);
	bench_assert_clean(&bench);
	assert_ended(UPDATE_ABORTED, "enough");
	assert_journals("prepare abort", "prepare abort");
	assert_int_equal(bench_kernel.reboots, 0);
	assert_second_update_works();
}

static void test_newcomer(void **state _unused_)
{
	bench.vmms[0].conduct[AGENT_PREPARE] = WAIT;
	bench_begin_update(&bench, &plain);
	bench_until(&bench, a_is_asked);
	bench.vmms[2].preserve = true;
	bench_connect(&bench, &bench.vmms[2], "c", AGENT_PHASE_RUNNING);
	{
		struct agent_reply reply = {.seq = bench_record(&bench, "a")->vm->request.seq,
					    .ok = true,
					    .phase = AGENT_PHASE_PREPARED};

		vm_on_reply(bench_record(&bench, "a")->vm, &reply, NULL, 0);
	}
	bench_until(&bench, bench_update_ended);
	assert_ended(UPDATE_FAILED, "vm c: it was started while");
	assert_journals("prepare abort", "prepare abort");
	assert_string_equal(bench.vmms[2].journal, "");
	assert_int_equal(bench_kernel.reboots, 0);
}

static void refused(const struct update_config *config, int expected, const char *says)
{
	struct error err = ERROR_INIT;

	assert_int_equal(update_begin(&bench.luod, config, &err), expected);
	if (!strstr(err.message, says))
		fail_msg("\"%s\" does not say \"%s\"", err.message, says);
	assert_null(bench.luod.update);
	assert_int_equal(bench_kernel.loads, 0);
}

/* All that is in the way is told at once, and nothing is touched. */
static void test_refused(void **state _unused_)
{
	struct update_config config = plain;

	snprintf(config.cmdline, sizeof(config.cmdline), "quiet");
	refused(&config, -EINVAL, "no liveupdate=on");
	config = plain;
	snprintf(config.kernel, sizeof(config.kernel), "/nonexistent");
	refused(&config, -ENOENT, "kernel /nonexistent");
	config = plain;
	snprintf(config.initrd, sizeof(config.initrd), "/nonexistent");
	refused(&config, -ENOENT, "initrd /nonexistent");
	bench_record(&bench, "a")->preserve = false;
	bench_say_phase(&bench.vmms[1], AGENT_PHASE_PREPARED);
	bench_settle(&bench);
	refused(&plain, -EBUSY, "vm a: it was started without preserve-on-update");
	refused(&plain, -EBUSY, "vm b: it is prepared");
	bench_record(&bench, "a")->preserve = true;
	bench_record(&bench, "a")->resume = true;
	refused(&plain, -EBUSY, "luoctl vm resume a");
}

static void test_disconnected(void **state _unused_)
{
	close_fdp(&bench.vmms[0].fd);
	bench_settle(&bench);
	assert_int_equal(bench_record(&bench, "a")->status, VM_DISCONNECTED);
	refused(&plain, -EBUSY, "vm a: its vmm is not connected");
	/* It connects again, as the same process. */
	bench_connect(&bench, &bench.vmms[0], "a", AGENT_PHASE_RUNNING);
	assert_int_equal(bench_record(&bench, "a")->status, VM_CONNECTED);
	assert_second_update_works();
}

/* A vmm that is in the middle of an update nobody knows of: the luod that ran it is no more. */
static void test_left_over(void **state _unused_)
{
	bench.vmms[2].preserve = true;
	bench_connect(&bench, &bench.vmms[2], "c", AGENT_PHASE_FROZEN);
	bench_settle(&bench);
	assert_string_equal(bench.vmms[2].journal, "abort");
	assert_int_equal(bench_record(&bench, "c")->phase, AGENT_PHASE_RUNNING);
}

/* Side by side, but no more than were asked for; and nothing is begun any more after a failure. */
static void test_at_once(void **state _unused_)
{
	struct update_config config = plain;

	config.at_once = 1;
	bench.vmms[0].conduct[AGENT_PREPARE] = REFUSE;
	run_update(&config);
	assert_ended(UPDATE_FAILED, "vm a: prepare: no");
	assert_journals("prepare abort", "");
	bench.vmms[0].conduct[AGENT_PREPARE] = OBEY;
	memset(bench.vmms[0].journal, 0, sizeof(bench.vmms[0].journal));
	run_update(&config);
	assert_ended(UPDATE_FAILED, "reboot refused");
	assert_journals(ALL_THE_WAY, ALL_THE_WAY);
	assert_int_equal(bench.luod.registry.update.at_once, 1);
}

static bool a_was_asked(struct bench *b)
{
	return b->vmms[0].journal[0];
}

static void test_one_waits_for_the_other(void **state _unused_)
{
	struct update_config config = plain;

	config.at_once = 1;
	bench.vmms[0].conduct[AGENT_PREPARE] = WAIT;
	assert_int_equal(update_begin(&bench.luod, &config, NULL), 0);
	bench_until(&bench, a_was_asked);
	bench_settle(&bench);
	assert_journals("prepare", "");
	assert_int_equal(update_abort(&bench.luod, "enough", NULL), 0);
	close_fdp(&bench.vmms[0].fd);
	bench_until(&bench, bench_update_ended);
}

static void test_order(void **state _unused_)
{
	json_t *order = json_pack("[s]", "b"), *unknown = json_pack("[s, s]", "b", "z");
	struct update_config config = plain;
	struct error err = ERROR_INIT;

	config.order = unknown;
	assert_int_equal(update_begin(&bench.luod, &config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "there is no VM z"));
	config.order = order;
	config.at_once = 1;
	bench.vmms[1].conduct[AGENT_PREPARE] = REFUSE;
	run_update(&config);
	assert_journals("", "prepare abort");
	assert_string_equal(bench.luod.registry.vms->id, "b");
	assert_int_equal(bench.luod.registry.vm_count, 2);
	json_decref(order);
	json_decref(unknown);
}

/* What the operator grants for the whole pause binds every step of it. */
static void test_pause_too_long(void **state _unused_)
{
	struct update_config config = plain;

	config.freeze_timeout_ms = 600000;
	config.pause_timeout_ms = 100;
	bench_kernel.sync_hangs = true;
	run_update(&config);
	assert_ended(UPDATE_FAILED, "file systems: writing them out did not end");
	assert_journals(ALL_THE_WAY, ALL_THE_WAY);
	assert_int_equal(bench_kernel.reboots, 0);
	bench_kernel.sync_hangs = false;
	assert_second_update_works();
}

static const struct update_config without = {
	.kernel = "/bin/true",
	.cmdline = "liveupdate=on",
	.freeze_timeout_ms = 1000,
	.prepare_timeout_ms = 1000,
	.unpreservable = UNPRESERVABLE_SHUTDOWN,
	.shutdown_timeout_ms = 1000,
};

static bool b_is_told(struct bench *b)
{
	return strstr(b->vmms[1].journal, "power-button");
}

static bool b_is_forced(struct bench *b)
{
	return strstr(b->vmms[1].journal, "shutdown");
}

/* As a guest ends: its vmm says so, and its process is gone. */
static void end_b(void)
{
	close_fdp(&bench.vmms[1].fd);
	bench_settle(&bench);
	lifecycle_on_gone(bench_record(&bench, "b")->vm, "its vmm exited with status 0", true);
}

static void test_unpreservable_is_shut_down(void **state _unused_)
{
	bench_record(&bench, "b")->preserve = false;
	assert_int_equal(update_begin(&bench.luod, &plain, NULL), -EPERM);
	assert_int_equal(update_begin(&bench.luod, &without, NULL), 0);
	bench_until(&bench, b_is_told);
	bench_settle(&bench);
	/* The other one is prepared, and waits for it. */
	assert_journals("prepare", "power-button");
	end_b();
	bench_until(&bench, bench_update_ended);
	assert_ended(UPDATE_FAILED, "reboot refused");
	assert_journals(ALL_THE_WAY, "power-button");
	assert_int_equal(bench_record(&bench, "b")->status, VM_STOPPED);
	assert_non_null(strstr(bench_record(&bench, "b")->why, "shut down for an update"));
}

/* Its vmm finds out what luod does not know; it does not obey its power button. */
static void test_unpreservable_is_found_out(void **state _unused_)
{
	struct update_config config = without;

	config.shutdown_timeout_ms = 50;
	bench.vmms[1].conduct[AGENT_PREPARE] = CANNOT;
	assert_int_equal(update_begin(&bench.luod, &config, NULL), 0);
	bench_until(&bench, b_is_forced);
	assert_journals("prepare", "prepare power-button shutdown");
	end_b();
	bench_until(&bench, bench_update_ended);
	assert_ended(UPDATE_FAILED, "reboot refused");
	assert_journals(ALL_THE_WAY, "prepare power-button shutdown");
	/* Without the policy that is a reason for no update. */
	bench_connect(&bench, &bench.vmms[1], "b", AGENT_PHASE_RUNNING);
	run_update(&plain);
	assert_ended(UPDATE_FAILED, "vm b: prepare: no");
}

int main(void)
{
#define WITH_BENCH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_BENCH(test_reboot_refused),
		WITH_BENCH(test_load_fails),
		WITH_BENCH(test_sessions_fail),
		WITH_BENCH(test_prepare_fails),
		WITH_BENCH(test_prepare_late),
		WITH_BENCH(test_freeze_fails),
		WITH_BENCH(test_registry_cannot_be_written),
		WITH_BENCH(test_disk_hangs),
		WITH_BENCH(test_vmm_dies_in_prepare),
		WITH_BENCH(test_guest_ends_in_prepare),
		WITH_BENCH(test_vmm_dies_frozen),
		WITH_BENCH(test_dry_run),
		WITH_BENCH(test_abort),
		WITH_BENCH(test_newcomer),
		WITH_BENCH(test_refused),
		WITH_BENCH(test_disconnected),
		WITH_BENCH(test_left_over),
		cmocka_unit_test_setup_teardown(test_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_waits_for_the_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unpreservable_is_shut_down, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unpreservable_is_found_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pause_too_long, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
