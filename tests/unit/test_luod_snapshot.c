/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that an update cannot take along and that goes through it as a file: on the old kernel.
 * test_luod_resume.c has the new one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "luo/luod/vm.h"
#include "luod_bench.h"

static struct bench bench;
static char disk[64]; /* a folder that is not in memory */

#define ALL_THE_WAY "prepare freeze thaw abort"

/* Two guests run; b cannot be preserved. */
static int set_up(void **state _unused_)
{
	bench_up(&bench);
	strcpy(disk, "/var/tmp/holdfast-bench-XXXXXX");
	assert_non_null(mkdtemp(disk));
	bench.vmms[0].preserve = bench.vmms[1].preserve = true;
	bench_connect(&bench, &bench.vmms[0], "a", AGENT_PHASE_RUNNING);
	bench_connect(&bench, &bench.vmms[1], "b", AGENT_PHASE_RUNNING);
	return 0;
}

static int tear_down(void **state _unused_)
{
	bench_down(&bench);
	return rmdir(disk);
}

static void run_update(const struct update_config *config)
{
	bench_begin_update(&bench, config);
	bench_until(&bench, bench_update_ended);
	bench_assert_clean(&bench);
}

static void assert_failed(const char *why)
{
	const struct update_record *update = &bench.luod.registry.update;

	assert_int_equal(update->state, UPDATE_FAILED);
	if (!strstr(update->why, why))
		fail_msg("\"%s\" does not say \"%s\"", update->why, why);
}

static void assert_journals(const char *a, const char *b)
{
	assert_string_equal(bench.vmms[0].journal, a);
	assert_string_equal(bench.vmms[1].journal, b);
}

static struct update_config by_file(void)
{
	struct update_config config = {
		.kernel = "/bin/true",
		.cmdline = "liveupdate=on",
		.freeze_timeout_ms = 1000,
		.prepare_timeout_ms = 1000,
		.unpreservable = UNPRESERVABLE_SNAPSHOT,
	};

	snprintf(config.snapshot_dir, sizeof(config.snapshot_dir), "%s", disk);
	return config;
}

static void assert_disk_is_empty(void)
{
	assert_int_equal(rmdir(disk), 0);
	assert_int_equal(mkdir(disk, 0700), 0);
}

/* What the next kernel will find: the file, and its name in the registry. */
static void look_at_reboot(void *opaque)
{
	bool *seen = opaque;
	char path[128];

	snprintf(path, sizeof(path), "%s/b.snapshot", disk);
	*seen = access(path, F_OK) == 0 && strcmp(bench_record(&bench, "b")->snapshot, path) == 0;
}

static void test_unpreservable_by_snapshot(void **state _unused_)
{
	struct update_config config = by_file();
	bool seen = false;

	bench_record(&bench, "b")->preserve = false;
	bench_kernel.at_reboot = look_at_reboot;
	bench_kernel.opaque = &seen;
	run_update(&config);
	assert_failed("reboot refused");
	assert_true(seen);
	/* It was asked for nothing else, got a file, and goes on; nothing is left of the file. */
	assert_journals(ALL_THE_WAY, "snapshot abort");
	assert_int_equal(bench.vmms[1].sessions, 1);
	assert_int_equal(bench_kernel.created, 2);
	assert_string_equal(bench_record(&bench, "b")->snapshot, "");
	assert_disk_is_empty();
}

static void test_snapshot_is_found_out(void **state _unused_)
{
	struct update_config config = by_file();

	bench.vmms[1].conduct[AGENT_PREPARE] = CANNOT;
	run_update(&config);
	assert_failed("reboot refused");
	assert_journals(ALL_THE_WAY, "prepare snapshot abort");
	assert_disk_is_empty();
}

static void test_snapshot_fails(void **state _unused_)
{
	static const enum conduct conducts[] = {REFUSE, DIE};

	for (unsigned int i = 0; i < ARRAY_SIZE(conducts); i++) {
		struct update_config config = by_file();

		bench_record(&bench, "b")->preserve = false;
		bench.vmms[1].conduct[AGENT_SNAPSHOT] = conducts[i];
		run_update(&config);
		assert_failed(i ? "went away" : "vm b: snapshot: no");
		assert_string_equal(bench.vmms[0].journal, "prepare abort");
		assert_disk_is_empty();
	}
}

/* A file that is there may be all that is left of a guest. */
static void test_snapshot_of_before(void **state _unused_)
{
	struct update_config config = by_file();
	char path[128];

	snprintf(path, sizeof(path), "%s/b.snapshot", disk);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	bench_record(&bench, "b")->preserve = false;
	run_update(&config);
	assert_failed("b.snapshot: there is such a file already");
	assert_journals("prepare abort", "");
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void test_snapshot_folder(void **state _unused_)
{
	static const char *const bad[] = {"", "relative", "/nowhere", "/dev/shm", "/bin/sh"};
	struct update_config config = by_file();
	struct error err = ERROR_INIT;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(config.snapshot_dir, sizeof(config.snapshot_dir), "%s", bad[i]);
		assert_int_equal(update_begin(&bench.luod, &config, &err), -EINVAL);
		assert_non_null(strstr(error_message(&err), "snapshot-dir"));
	}
}

/* A policy is about what cannot be preserved, not about what is in another phase. */
static void test_policy_is_no_excuse(void **state _unused_)
{
	struct update_config config = by_file();

	bench_record(&bench, "b")->preserve = false;
	bench_say_phase(&bench.vmms[1], AGENT_PHASE_FROZEN);
	bench_settle(&bench);
	assert_int_equal(update_begin(&bench.luod, &config, NULL), -EBUSY);
}

int main(void)
{
#define WITH_BENCH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_BENCH(test_unpreservable_by_snapshot),
		WITH_BENCH(test_snapshot_is_found_out),
		WITH_BENCH(test_snapshot_fails),
		WITH_BENCH(test_snapshot_of_before),
		WITH_BENCH(test_snapshot_folder),
		WITH_BENCH(test_policy_is_no_excuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
