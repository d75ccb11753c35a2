/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange of one VM's vmm in luod: the whole way, a failure of each question to either vmm,
 * the death of either at each of them, and what a luod that is started in the middle makes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "luo/luod/lifecycle.h"
#include "luo/luod/peer.h"
#include "luo/luod/resume.h"
#include "luo/luod/upgrade.h"
#include "luo/tokens.h"
#include "luod_bench.h"

/* No process has these: the kernel's largest is 2^22 (PID_MAX_LIMIT of Linux). */
#define OLD_PID	    5000001
#define NEW_PID	    5000002
#define RESCUER_PID 5000003

static struct bench bench;
static struct played_vmm *const old = &bench.vmms[0], *const new = &bench.vmms[1],
				*const rescuer = &bench.vmms[2];

static int set_up(void **state _unused_)
{
	bench_up(&bench);
	old->preserve = new->preserve = true;
	bench_kernel.peer_pid = OLD_PID;
	bench_connect(&bench, old, "a", AGENT_PHASE_RUNNING);
	registry_set_text(bench_record(&bench, "a")->binary, PATH_MAX, "/bin/old");
	return 0;
}

static int tear_down(void **state _unused_)
{
	bench_down(&bench);
	return 0;
}

static struct vm *vm(void)
{
	return bench_record(&bench, "a")->vm;
}

static void begin(void)
{
	struct error err = ERROR_INIT;

	bench_kernel.pid = bench_kernel.peer_pid = NEW_PID;
	bench_kernel.killed = 0;
	if (upgrade_begin(vm(), "/bin/true", 1000, &err) < 0)
		fail_msg("%s", err.message);
	assert_non_null(strstr(bench_kernel.spawned, "/bin/true --resume --id a --agent "));
}

/* Who was killed is gone, some time later. */
static void bury(void)
{
	struct vm *next = upgrade_next(vm(), bench_kernel.killed);

	if (!next)
		return;
	close_fdp(&new->fd);
	lifecycle_on_gone(next, "was killed", false);
}

static bool ended(struct bench *b _unused_)
{
	bury();
	return !vm()->upgrade;
}

static void run(void)
{
	begin();
	bench_connect(&bench, new, "a", AGENT_PHASE_WAITING);
	bench_until(&bench, ended);
	bench_settle(&bench);
}

static void assert_nothing_is_left(void)
{
	assert_int_equal(vm()->handover.tokens.count, 0);
	assert_int_equal(bench.luod.upgrades, 0);
	assert_false(vm()->restart);
	assert_false(vm()->record->resume);
}

static void test_exchange(void **state _unused_)
{
	run();
	assert_string_equal(old->journal, "export freeze release");
	assert_string_equal(new->journal, "adopt resume finish");
	assert_int_equal(new->sessions, 2);
	assert_true(new->tokens.count == 2 && new->tokens.token[0] ==
						      TOKEN_RAM_FIRST &&new->tokens.token[1] ==
						      TOKEN_VM_STATE);
	assert_int_equal(vm()->upgraded.state, UPGRADE_DONE);
	assert_int_equal(vm()->record->pid, NEW_PID);
	assert_int_equal(vm()->record->status, VM_CONNECTED);
	assert_int_equal(vm()->record->phase, AGENT_PHASE_RUNNING);
	assert_string_equal(vm()->record->binary, "/bin/true");
	assert_int_equal(bench_kernel.killed, OLD_PID);
	assert_true(timeline_blackout_tsc(&vm()->record->timeline) > 0);
	assert_nothing_is_left();
}

/* The new vmm is the VM's in every way: it is exchanged in its turn. */
static void test_again(void **state _unused_)
{
	run();
	memset(old->journal, 0, sizeof(old->journal));
	close_fdp(&old->fd);
	bench_kernel.pid = bench_kernel.peer_pid = OLD_PID;
	bench_kernel.killed = 0;
	assert_int_equal(upgrade_begin(vm(), "/bin/true", 1000, NULL), 0);
	bench_connect(&bench, old, "a", AGENT_PHASE_WAITING);
	bench_until(&bench, ended);
	assert_string_equal(new->journal, "adopt resume finish export freeze release");
	assert_string_equal(old->journal, "adopt resume finish");
	assert_int_equal(vm()->record->pid, OLD_PID);
	assert_nothing_is_left();
}

static void assert_failed(const char *why)
{
	assert_int_equal(vm()->upgraded.state, UPGRADE_FAILED);
	if (!strstr(vm()->upgraded.why, why))
		fail_msg("\"%s\" does not say \"%s\"", vm()->upgraded.why, why);
	assert_int_equal(vm()->record->pid, OLD_PID);
	assert_int_equal(vm()->record->phase, AGENT_PHASE_RUNNING);
	assert_int_equal(old->phase, AGENT_PHASE_RUNNING);
	assert_int_equal(bench_kernel.killed, NEW_PID);
	assert_string_equal(vm()->record->binary, "/bin/old");
	assert_nothing_is_left();
}

static void test_either_refuses(void **state _unused_)
{
	static const struct {
		bool by_new;
		enum agent_verb verb;
		const char *journal;
	} cases[] = {
		{false, AGENT_EXPORT, "export abort"},
		{true, AGENT_ADOPT, "export abort"},
		{false, AGENT_FREEZE, "export freeze abort"},
		{false, AGENT_RELEASE, "export freeze release thaw abort"},
		{true, AGENT_RESUME, "export freeze release resume finish"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct played_vmm *who = cases[i].by_new ? new : old;

		memset(old->journal, 0, sizeof(old->journal));
		who->conduct[cases[i].verb] = REFUSE;
		run();
		assert_string_equal(old->journal, cases[i].journal);
		assert_failed("no");
		who->conduct[cases[i].verb] = OBEY;
	}
}

static void test_new_one_dies(void **state _unused_)
{
	static const enum agent_verb verbs[] = {AGENT_ADOPT, AGENT_RESUME};

	for (unsigned int i = 0; i < ARRAY_SIZE(verbs); i++) {
		memset(new->conduct, 0, sizeof(new->conduct));
		new->conduct[verbs[i]] = DIE;
		run();
		assert_failed("/bin/true: was killed");
	}
}

/* It ends without a word: a program that is no vmm. */
static void test_no_vmm(void **state _unused_)
{
	begin();
	lifecycle_on_gone(vm()->upgrade ? upgrade_next(vm(), NEW_PID) : NULL,
			  "its vmm exited with status 1", false);
	bench_settle(&bench);
	assert_int_equal(vm()->upgraded.state, UPGRADE_FAILED);
	assert_non_null(strstr(vm()->upgraded.why, "/bin/true: its vmm exited with status 1"));
	assert_string_equal(old->journal, "");
	assert_nothing_is_left();
}

/* One that has a guest already must not be given another. */
static void test_not_waiting(void **state _unused_)
{
	begin();
	bench_connect(&bench, new, "a", AGENT_PHASE_RUNNING);
	bench_until(&bench, ended);
	assert_failed("says that it is running");
	assert_string_equal(old->journal, "");
}

static void test_cannot_begin(void **state _unused_)
{
	struct error err = ERROR_INIT;

	assert_int_equal(upgrade_begin(vm(), "/nonexistent/vmm", 1000, &err), -EINVAL);
	assert_non_null(strstr(err.message, "/nonexistent/vmm cannot be started"));
	vm()->record->phase = AGENT_PHASE_FROZEN;
	assert_int_equal(upgrade_begin(vm(), "/bin/true", 1000, &err), -EBUSY);
	vm()->record->phase = AGENT_PHASE_RUNNING;
	begin();
	assert_int_equal(upgrade_begin(vm(), "/bin/true", 1000, &err), -EBUSY);
	/* Nor is there an update, or an end of the VM, beside it. */
	assert_int_equal(update_check_vm(vm()->record, &err), -EBUSY);
	assert_int_equal(lifecycle_forget(vm(), true, &err), -EBUSY);
	bench_connect(&bench, new, "a", AGENT_PHASE_WAITING);
	bench_until(&bench, ended);
	bench_kernel.spawn_error = ENOENT;
	assert_int_equal(upgrade_begin(vm(), "/bin/true", 1000, &err), 0);
	assert_int_equal(vm()->upgraded.state, UPGRADE_FAILED);
}

/* The old one dies while its guest runs: that is the guest's end, and nobody else's business. */
static void test_old_one_dies_running(void **state _unused_)
{
	old->conduct[AGENT_EXPORT] = DIE;
	begin();
	bench_connect(&bench, new, "a", AGENT_PHASE_WAITING);
	lifecycle_on_gone(vm(), "its vmm was ended by signal 9", false);
	bench_until(&bench, ended);
	assert_int_equal(vm()->record->status, VM_STOPPED);
	assert_int_equal(bench_kernel.killed, NEW_PID);
	assert_int_equal(bench_kernel.spawns, 1);
	assert_nothing_is_left();
}

static bool rescued(struct bench *b _unused_)
{
	return rescuer->phase == AGENT_PHASE_RUNNING && !vm()->record->resume;
}

/* It dies when its guest is frozen: luod has all of that, and starts the same program anew. */
static void test_old_one_dies_frozen(void **state _unused_)
{
	old->conduct[AGENT_RELEASE] = DIE;
	begin();
	bench_connect(&bench, new, "a", AGENT_PHASE_WAITING);
	bench_kernel.pid = bench_kernel.peer_pid = RESCUER_PID;
	bench_until(&bench, ended);
	assert_int_equal(vm()->upgraded.state, UPGRADE_FAILED);
	assert_true(vm()->restart);
	lifecycle_on_gone(vm(), "its vmm was ended by signal 9", false);
	assert_non_null(strstr(bench_kernel.spawned, "/bin/old --resume --id a"));
	bench_connect(&bench, rescuer, "a", AGENT_PHASE_WAITING);
	bench_until(&bench, rescued);
	assert_string_equal(rescuer->journal, "adopt resume finish");
	assert_int_equal(rescuer->sessions, 2);
	assert_nothing_is_left();
}

/* The end of its process is known before the exchange has been taken back. */
static void test_old_one_is_gone_at_once(void **state _unused_)
{
	old->conduct[AGENT_RELEASE] = DIE;
	new->conduct[AGENT_RESUME] = REFUSE;
	begin();
	bench_connect(&bench, new, "a", AGENT_PHASE_WAITING);
	for (unsigned int i = 0; i < 400 && old->fd >= 0; i++)
		bench_settle(&bench);
	bench_kernel.pid = bench_kernel.peer_pid = RESCUER_PID;
	lifecycle_on_gone(vm(), "its vmm was ended by signal 9", false);
	bench_until(&bench, ended);
	bench_connect(&bench, rescuer, "a", AGENT_PHASE_WAITING);
	bench_until(&bench, rescued);
	assert_nothing_is_left();
}

/* ---- A luod that knows of no exchange meets what is left of one. ---- */

static void reconnect(struct played_vmm *vmm, pid_t pid, enum agent_phase phase)
{
	bench_kernel.peer_pid = pid;
	close_fdp(&vmm->fd);
	bench_settle(&bench);
	bench_connect(&bench, vmm, "a", phase);
}

static bool old_runs(struct bench *b _unused_)
{
	return old->phase == AGENT_PHASE_RUNNING;
}

static void test_luod_meets_a_released_one(void **state _unused_)
{
	reconnect(old, OLD_PID, AGENT_PHASE_RELEASED);
	bench_until(&bench, old_runs);
	bench_settle(&bench);
	assert_string_equal(old->journal, "resume finish");
	assert_nothing_is_left();
}

static void test_luod_meets_both(void **state _unused_)
{
	static const enum agent_phase without[] = {AGENT_PHASE_FAILED, AGENT_PHASE_RELEASED};

	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(without); i++) {
		enum agent_phase phase = without[i / 2];

		old->conduct[AGENT_RESUME] = REFUSE;
		close_fdp(&new->fd);
		bench_kernel.killed = 0;
		if (i % 2 == 0) {
			reconnect(old, OLD_PID, phase);
			reconnect(new, NEW_PID, AGENT_PHASE_RESUMED);
		} else {
			close_fdp(&old->fd);
			reconnect(new, NEW_PID, AGENT_PHASE_RESUMED);
			reconnect(old, OLD_PID, phase);
		}
		bench_settle(&bench);
		assert_int_equal(bench_kernel.killed, OLD_PID);
		assert_int_equal(vm()->record->pid, NEW_PID);
		assert_int_equal(new->phase, AGENT_PHASE_RUNNING);
		assert_nothing_is_left();
	}
}

/* The one that has released its guest was asked to take it back, and has not answered yet. */
static void test_luod_meets_the_other_in_between(void **state _unused_)
{
	old->conduct[AGENT_RESUME] = WAIT;
	reconnect(old, OLD_PID, AGENT_PHASE_RELEASED);
	assert_string_equal(old->journal, "resume");
	reconnect(new, NEW_PID, AGENT_PHASE_RESUMED);
	bench_settle(&bench);
	assert_string_equal(new->journal, "finish");
	assert_int_equal(new->phase, AGENT_PHASE_RUNNING);
	assert_int_equal(vm()->record->status, VM_CONNECTED);
	assert_nothing_is_left();
}

/* Nor does a question to the old vmm outlive it. */
static void test_asked_meanwhile(void **state _unused_)
{
	struct error err = ERROR_INIT;

	old->conduct[AGENT_POWER_BUTTON] = WAIT;
	new->conduct[AGENT_RESUME] = WAIT;
	begin();
	bench_connect(&bench, new, "a", AGENT_PHASE_WAITING);
	for (unsigned int i = 0; i < 400 && !strstr(new->journal, "resume"); i++)
		bench_settle(&bench);
	assert_int_equal(vm_tell(vm(), AGENT_POWER_BUTTON, &err), 0);
	bench_settle(&bench);
	bench_answer(new, AGENT_RESUME);
	bench_until(&bench, ended);
	assert_int_equal(vm()->upgraded.state, UPGRADE_DONE);
	assert_false(vm()->request.active);
	assert_int_equal(vm()->record->status, VM_CONNECTED);
}

static void test_luod_ends_when_it_is_over(void **state _unused_)
{
	begin();
	luod_stop(&bench.luod);
	assert_non_null(vm()->upgrade);
	bench_connect(&bench, new, "a", AGENT_PHASE_WAITING);
	for (unsigned int i = 0; i < 400 && vm()->upgrade; i++)
		bench_settle(&bench);
	assert_int_equal(vm()->upgraded.state, UPGRADE_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exchange, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_either_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_new_one_dies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_vmm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_waiting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cannot_begin, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_old_one_dies_running, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_old_one_dies_frozen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_old_one_is_gone_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_luod_meets_a_released_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_luod_meets_both, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_luod_meets_the_other_in_between, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_asked_meanwhile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_luod_ends_when_it_is_over, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
