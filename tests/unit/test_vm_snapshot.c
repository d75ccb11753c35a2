/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM into a file and out of it: asked by luod (the test) through the agent socket, and by its
 * user. Whatever fails, the guest goes on, or is in the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/file.h>

#include "base/util.h"
#include "fake_vm.h"
#include "vm_agent_test.h"
#include "vm_ask.h"

static int file;

static int set_up(void **state)
{
	file = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	return start(state);
}

static int tear_down(void **state)
{
	close_fdp(&file);
	return stop(state);
}

/* Of another open file description, as luod opens it anew after a kexec. */
static int open_file(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int pass_file(void)
{
	return fcntl(file, F_DUPFD_CLOEXEC, 0);
}

static void take_snapshot(void)
{
	new_vm(false);
	fake_set_register(fake.machine, 7);
	accept_hello("running");
	ask(AGENT_SNAPSHOT, pass_file());
	expect_answer(true, "frozen");
	assert_false(machine_is_running(fake.machine));
	assert_true(vm_holds_only_copy(t.vm));
}

/* As a kexec ends it. */
static void end_process(void)
{
	end_vm();
	close_fdp(&t.fd);
	assert_int_equal(fake.machines, 0);
}

static void test_through_an_update(void **state _unused_)
{
	take_snapshot();
	end_process();
	new_vm(true);
	accept_hello("waiting");
	ask(AGENT_RESTORE, open_file());
	expect_answer(true, "resumed");
	assert_int_equal(fake_register(fake.machine), 7);
	assert_true(machine_is_running(fake.machine));
	ask(AGENT_FINISH, FD_NONE);
	expect_answer(true, "running");
	/* And everything that an update does is there again. */
	ask(AGENT_PREPARE, fake_pass_session(SESSION, false));
	expect_answer(true, "prepared");
	ask(AGENT_ABORT, FD_NONE);
	expect_answer(true, "running");
}

static void test_taken_back(void **state _unused_)
{
	take_snapshot();
	ask(AGENT_ABORT, FD_NONE);
	expect_answer(true, "running");
	assert_true(machine_is_running(fake.machine));
	assert_int_equal(fake_register(fake.machine), 7);
	ask(AGENT_SNAPSHOT, pass_file());
	expect_answer(true, "frozen");
}

/* What refuses a live update does not refuse this: it is the way out for such a VM. */
static void test_without_preserve_on_update(void **state _unused_)
{
	struct vm_answer a;

	t.not_preservable = true;
	new_vm(false);
	/* By its user, it goes on afterwards; the agent is not in the way of that. */
	fake_set_register(fake.machine, 9);
	assert_int_equal(vm_ask_begin(t.vm, VM_SNAPSHOT, VM_CALLER_USER, pass_file(), &a), 0);
	assert_int_equal(vm_ask_finish(t.loop, &a), 0);
	assert_int_equal(vm_phase(t.vm), UPDATE_RUNNING);
	assert_true(machine_is_running(fake.machine));
	/* Paused by its user, it stays so. */
	assert_int_equal(vm_ask_begin(t.vm, VM_PAUSE, VM_CALLER_USER, FD_NONE, &a), 0);
	assert_int_equal(ftruncate(file, 0), 0);
	assert_int_equal(vm_ask_begin(t.vm, VM_SNAPSHOT, VM_CALLER_USER, pass_file(), &a), 0);
	assert_int_equal(vm_ask_finish(t.loop, &a), 0);
	assert_false(machine_is_running(fake.machine));
	assert_int_equal(vm_ask_begin(t.vm, VM_SNAPSHOT, VM_CALLER_USER, FD_NONE, &a), -EINVAL);
}

/* The guest goes on, and says why. */
static void test_every_failure(void **state _unused_)
{
	static const enum fake_call calls[] = {FAKE_CAN_PRESERVE, FAKE_PAUSE, FAKE_DRAIN,
					       FAKE_SAVE};

	new_vm(false);
	accept_hello("running");
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
		fake.fails = calls[i];
		ask(AGENT_SNAPSHOT, pass_file());
		expect_answer(false, "running");
		fake.fails = FAKE_NONE;
		assert_true(machine_is_running(fake.machine));
	}
	/* A file that cannot be written to. */
	ask(AGENT_SNAPSHOT, open_file());
	expect_answer(false, "running");
	assert_non_null(strstr(
		json_string_value(json_object_get(json_object_get(t.message, "error"), "message")),
		"snapshot: cannot"));
	assert_true(machine_is_running(fake.machine));
	ask(AGENT_SNAPSHOT, FD_NONE);
	expect_answer(false, "running");
	ask(AGENT_SNAPSHOT, pass_file());
	expect_answer(true, "frozen");
}

/* It is kept, and another try is made with it. */
static void test_restore_fails(void **state _unused_)
{
	static const enum fake_call calls[] = {FAKE_BUILD, FAKE_CHECK, FAKE_APPLY, FAKE_START};

	take_snapshot();
	end_process();
	new_vm(true);
	accept_hello("waiting");
	/* Nothing was written to this one. */
	ask(AGENT_RESTORE, open("/dev/null", O_RDONLY | O_CLOEXEC));
	expect_answer(false, "failed");
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
		fake.fails = calls[i];
		ask(AGENT_RESTORE, open_file());
		expect_answer(false, "failed");
		fake.fails = FAKE_NONE;
		/* It is in the file: this process may go. */
		assert_false(vm_holds_only_copy(t.vm));
	}
	ask(AGENT_RESTORE, open_file());
	expect_answer(true, "resumed");
	assert_int_equal(fake_register(fake.machine), 7);
}

/* Two vmms of one guest would write to the same disks. */
static void test_one_at_a_time(void **state _unused_)
{
	int other;

	take_snapshot();
	end_process();
	new_vm(true);
	accept_hello("waiting");
	other = open_file();
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
	ask(AGENT_RESTORE, open_file());
	expect_answer(false, "failed");
	close(other);
	ask(AGENT_RESTORE, open_file());
	expect_answer(true, "resumed");
	other = open_file();
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
	close(other);
}

int main(void)
{
#define WITH_FILE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_FILE(test_through_an_update),
		WITH_FILE(test_taken_back),
		WITH_FILE(test_without_preserve_on_update),
		WITH_FILE(test_every_failure),
		WITH_FILE(test_restore_fails),
		WITH_FILE(test_one_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
