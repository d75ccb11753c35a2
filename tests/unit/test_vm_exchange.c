/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exchange of the vmm, from both vmms' side: two VMs of this process, which luod (the test) asks
 * in turn. Every failure leaves the guest to one of them, and never to both.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_vm.h"
#include "vm_agent_test.h"

/* luod passes on what it was passed. */
static void ask_adopt(void)
{
	const struct agent_request request = {
		.seq = ++t.seq, .verb = AGENT_ADOPT, .tokens = t.tokens};
	json_t *message = agent_request_to_json(&request);
	struct error err = ERROR_INIT;

	assert_int_equal(sock_send_json(t.fd, message, t.fds, t.fd_count, &err), 0);
	json_decref(message);
}

/* A second VM in this process is the new vmm; the old one waits in these. */
static struct {
	struct vm *vm;
	struct agent *agent;
	struct machine *machine;
	int fd;
} old;

static void export_and_adopt(void)
{
	new_vm(false);
	fake_set_register(fake.machine, 7);
	accept_hello("running");
	ask(AGENT_EXPORT, FD_NONE);
	expect_answer(true, "prepared");
	/* State and RAM, by the tokens that a session would have. */
	assert_int_equal(t.tokens.count, 2);
	assert_int_equal(t.fd_count, 2);
	assert_true(t.tokens.token[0] == TOKEN_RAM_FIRST && t.tokens.token[1] == TOKEN_VM_STATE);
	assert_true(machine_is_running(fake.machine));
	old.vm = t.vm;
	old.agent = t.agent;
	old.machine = fake.machine;
	old.fd = t.fd;
	new_vm(true);
	accept_hello("waiting");
	ask_adopt();
	expect_answer(true, "adopted");
	assert_int_equal(fake.machines, 1);
	assert_true(machine_is_running(old.machine));
}

static void swap(void)
{
	struct vm *vm = t.vm;
	struct agent *agent = t.agent;
	int fd = t.fd;

	t.vm = old.vm;
	t.agent = old.agent;
	t.fd = old.fd;
	old.vm = vm;
	old.agent = agent;
	old.fd = fd;
}

static void freeze_and_release(void)
{
	swap();
	ask(AGENT_FREEZE, FD_NONE);
	expect_answer(true, "frozen");
	ask(AGENT_RELEASE, FD_NONE);
	expect_answer(true, "released");
	assert_int_equal(fake.machines, 0);
	swap();
}

static void test_exchange(void **state _unused_)
{
	export_and_adopt();
	freeze_and_release();
	ask(AGENT_RESUME, FD_NONE);
	expect_answer(true, "resumed");
	assert_int_equal(fake_register(fake.machine), 7);
	ask(AGENT_FINISH, FD_NONE);
	expect_answer(true, "running");
	/* The guest has run on: what the old one has is of the past, and it must not run that. */
	swap();
	ask(AGENT_RESUME, FD_NONE);
	expect_answer(false, "released");
	assert_int_equal(fake.machines, 1);
	end_vm();
	close_fdp(&t.fd);
	swap();
	assert_true(machine_is_running(fake.machine));
}

/* The new one cannot build it: the old one takes back what it has released. */
static void test_exchange_fails_while_loading(void **state _unused_)
{
	static const enum fake_call calls[] = {FAKE_BUILD, FAKE_CHECK, FAKE_APPLY, FAKE_RESUMED,
					       FAKE_START};

	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
		export_and_adopt();
		freeze_and_release();
		fake.fails = calls[i];
		ask(AGENT_RESUME, FD_NONE);
		expect_answer(false, "released");
		fake.fails = FAKE_NONE;
		end_vm();
		close_fdp(&t.fd);
		swap();
		assert_true(vm_holds_only_copy(t.vm));
		ask(AGENT_RESUME, FD_NONE);
		expect_answer(true, "resumed");
		ask(AGENT_FINISH, FD_NONE);
		expect_answer(true, "running");
		assert_int_equal(fake_register(fake.machine), 7);
		/* And everything that an update does is there again. */
		ask(AGENT_EXPORT, FD_NONE);
		expect_answer(true, "prepared");
		ask(AGENT_ABORT, FD_NONE);
		expect_answer(true, "running");
		end_vm();
		close_fdp(&t.fd);
		while (t.fd_count > 0)
			close(t.fds[--t.fd_count]);
	}
}

static void test_exchange_is_refused(void **state _unused_)
{
	export_and_adopt();
	/* Not before it is frozen. */
	swap();
	ask(AGENT_RELEASE, FD_NONE);
	expect_answer(false, "prepared");
	ask(AGENT_ABORT, FD_NONE);
	expect_answer(true, "running");
	/* A session is no table. */
	ask(AGENT_PREPARE, fake_pass_session(SESSION, false));
	expect_answer(true, "prepared");
	ask(AGENT_FREEZE, FD_NONE);
	expect_answer(true, "frozen");
	ask(AGENT_RELEASE, FD_NONE);
	expect_answer(false, "frozen");
	ask(AGENT_ABORT, FD_NONE);
	expect_answer(true, "running");
	end_vm();
	close_fdp(&t.fd);
	swap();
	/* Nothing was frozen: there is a configuration and no guest. */
	ask(AGENT_RESUME, FD_NONE);
	expect_answer(false, "released");
}

/* Both try at once, since luod is gone: the one that has begun goes on, the other keeps its hands
 * off. */
static void test_exchange_of_two_who_want(void **state _unused_)
{
	unsigned int builds;

	export_and_adopt();
	freeze_and_release();
	fake.silent = true;
	ask(AGENT_RESUME, FD_NONE);
	for (unsigned int i = 0; vm_phase(t.vm) != UPDATE_LOADED && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 10), 0);
	builds = fake.calls[FAKE_BUILD];
	swap();
	ask(AGENT_RESUME, FD_NONE);
	expect_answer(false, "released");
	assert_int_equal(fake.calls[FAKE_BUILD], builds);
	/* It ends, its guest has not run: the other has it after all. */
	fake.silent = false;
	swap();
	end_vm();
	close_fdp(&t.fd);
	swap();
	ask(AGENT_RESUME, FD_NONE);
	expect_answer(true, "resumed");
}

/* A table without the guest's memory, and one without its state. */
static void test_adoption_of_half_a_guest(void **state _unused_)
{
	for (unsigned int left_out = 0; left_out < 2; left_out++) {
		new_vm(false);
		accept_hello("running");
		ask(AGENT_EXPORT, FD_NONE);
		expect_answer(true, "prepared");
		end_vm();
		close_fdp(&t.fd);
		close(t.fds[left_out]);
		t.fds[left_out] = t.fds[1];
		t.tokens.token[left_out] = t.tokens.token[1];
		t.fd_count = t.tokens.count = 1;
		new_vm(true);
		accept_hello("waiting");
		ask_adopt();
		expect_answer(false, "waiting");
		end_vm();
		close_fdp(&t.fd);
		close(t.fds[0]);
		t.fd_count = 0;
	}
}

/* A luod that is started again knows of no exchange: who waits for one ends, the guest goes on. */
static void test_luod_dies_in_an_exchange(void **state _unused_)
{
	export_and_adopt();
	t.over = false;
	close_fdp(&t.fd);
	turn();
	assert_true(t.over);
	assert_true(machine_is_running(old.machine));
	end_vm();
	swap();
	ask(AGENT_ABORT, FD_NONE);
	expect_answer(true, "running");
}

/* The guest is nowhere else: it does not wait for the next luod. */
static void test_luod_dies_after_the_release(void **state _unused_)
{
	export_and_adopt();
	freeze_and_release();
	end_vm();
	close_fdp(&t.fd);
	swap();
	close_fdp(&t.fd);
	for (unsigned int i = 0; vm_phase(t.vm) != UPDATE_RESUMED && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 10), 0);
	assert_true(machine_is_running(fake.machine));
	accept_hello("resumed");
	ask(AGENT_FINISH, FD_NONE);
	expect_answer(true, "running");
	assert_int_equal(fake_register(fake.machine), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exchange, start, stop),
		cmocka_unit_test_setup_teardown(test_exchange_fails_while_loading, start, stop),
		cmocka_unit_test_setup_teardown(test_exchange_is_refused, start, stop),
		cmocka_unit_test_setup_teardown(test_exchange_of_two_who_want, start, stop),
		cmocka_unit_test_setup_teardown(test_adoption_of_half_a_guest, start, stop),
		cmocka_unit_test_setup_teardown(test_luod_dies_in_an_exchange, start, stop),
		cmocka_unit_test_setup_teardown(test_luod_dies_after_the_release, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
