/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/vm and the real steps of an update, on a fake machine and a fake LUO that fail when told:
 * whatever fails, the guest runs or is kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/util.h"
#include "fake_vm.h"
#include "luo/client.h"
#include "luo/tokens.h"
#include "tests/unit/vm_ask.h"

#define SESSION LUO_VM_SESSION_PREFIX FAKE_ID

static struct {
	struct loop *loop;
	struct vm *vm;
	int log_fd;
	struct vm_answer answer;
	bool over;
	int exit_code;
} t;

static void on_phase(void *o _unused_, enum update_phase phase _unused_)
{
}

static void on_exit_of_vm(void *o _unused_, int exit_code, const char *reason _unused_)
{
	t.over = true;
	t.exit_code = exit_code;
}

static const struct vm_callbacks callbacks = {.phase = on_phase, .exit = on_exit_of_vm};

static struct vm_config config_of(const char *agent)
{
	struct vm_config config;

	vm_config_init(&config);
	strcpy(config.id, FAKE_ID);
	strcpy(config.kernel, "/kernel");
	snprintf(config.agent, sizeof(config.agent), "%s", agent);
	config.memory = VM_MEMORY_MIN;
	config.preserve_on_update = true;
	return config;
}

static void new_vm(bool resume, const char *agent)
{
	struct vm_config config = config_of(agent);
	struct error err = ERROR_INIT;

	assert_int_equal(vm_new(&config, resume, NULL, t.loop, &callbacks, NULL, &t.vm, &err), 0);
}

static int start(void **state _unused_)
{
	struct error err = ERROR_INIT;

	fake_reset();
	memset(&t, 0, sizeof(t));
	t.log_fd = memfd_create("log", MFD_CLOEXEC);
	log_setup("test", LOG_LEVEL_ERROR, t.log_fd);
	return loop_new(&t.loop, &err);
}

/* All that was logged so far. */
static const char *logged(void)
{
	static char text[65536];
	ssize_t n = pread(t.log_fd, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

/* A broken invariant is only logged. */
static void check_log(void)
{
	if (strstr(logged(), "bug in holdfast"))
		fail_msg("%s", logged());
	close(t.log_fd);
}

static int stop(void **state _unused_)
{
	vm_free(t.vm);
	assert_int_equal(fake.machines, 0);
	loop_free(t.loop);
	fake_reset();
	check_log();
	return 0;
}

static void turn(void)
{
	vm_turn(t.loop);
}

static int ask_with(enum vm_verb verb, enum vm_caller caller, int fd)
{
	int r = vm_ask_begin(t.vm, verb, caller, fd, &t.answer);

	return r < 0 ? r : vm_ask_finish(t.loop, &t.answer);
}

static int ask(enum vm_verb verb)
{
	return ask_with(verb, VM_CALLER_USER, FD_NONE);
}

static void assert_phase(enum update_phase phase)
{
	assert_string_equal(update_phase_name(vm_phase(t.vm)), update_phase_name(phase));
}

static void boot(const char *agent)
{
	struct error err = ERROR_INIT;

	new_vm(false, agent);
	assert_int_equal(vm_boot(t.vm, &err), 0);
	fake_set_register(fake.machine, 42);
	turn();
}

static void set_ram(uint64_t value)
{
	memcpy(guest_ram_region(machine_ram(fake.machine), 0)->hva, &value, sizeof(value));
}

static uint64_t get_ram(void)
{
	uint64_t value;

	memcpy(&value, guest_ram_region(machine_ram(fake.machine), 0)->hva, sizeof(value));
	return value;
}

/* The guest runs, and nothing of an update is left. */
static void assert_untouched(void)
{
	assert_phase(UPDATE_RUNNING);
	assert_true(machine_is_running(fake.machine));
	assert_false(fake_session_open(SESSION));
}

static void test_there_and_back(void **state _unused_)
{
	boot("");
	assert_int_equal(ask(VM_PREPARE), 0);
	assert_phase(UPDATE_PREPARED);
	assert_true(machine_is_running(fake.machine));
	assert_true(fake_preserved(SESSION, TOKEN_RAM_FIRST) >= 0);
	assert_true(fake_preserved(SESSION, TOKEN_VM_STATE) >= 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(ask(VM_FREEZE), 0);
		assert_phase(UPDATE_FROZEN);
		assert_false(machine_is_running(fake.machine));
		assert_true(vm_holds_only_copy(t.vm));
		assert_int_equal(ask(VM_THAW), 0);
		assert_phase(UPDATE_PREPARED);
		assert_true(machine_is_running(fake.machine));
	}
	assert_int_equal(ask(VM_FREEZE), 0);
	assert_int_equal(ask(VM_ABORT), 0);
	assert_untouched();
	assert_int_equal(ask(VM_PREPARE), 0);
	assert_int_equal(ask(VM_ABORT), 0);
	assert_untouched();
	assert_int_equal(ask(VM_ABORT), 0);
}

static void freeze_and_kexec(void)
{
	assert_int_equal(ask(VM_PREPARE), 0);
	set_ram(4711);
	assert_int_equal(ask(VM_FREEZE), 0);
	fake_kexec();
	/* The old process is no more; its sessions are the kernel's. */
	vm_free(t.vm);
	t.vm = NULL;
	new_vm(true, "");
}

static void assert_resumed(void)
{
	/* Finishing goes on behind the answer, on a thread. */
	for (unsigned int i = 0; vm_phase(t.vm) == UPDATE_RESUMED && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 10), 0);
	assert_phase(UPDATE_RUNNING);
	assert_true(machine_is_running(fake.machine));
	assert_int_equal(fake_register(fake.machine), 42);
	assert_int_equal(get_ram(), 4711);
	assert_true(fake_session_finished(SESSION));
	assert_false(fake_session_open(SESSION));
	assert_string_equal(vm_config(t.vm)->kernel, "/kernel");
}

static void test_across(void **state _unused_)
{
	boot("");
	for (unsigned int i = 0; i < 3; i++) {
		const struct timeline *line;

		freeze_and_kexec();
		assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
		assert_resumed();
		line = vm_timeline(t.vm);
		for (unsigned int p = 0; p < TIMELINE_PHASE_MAX; p++) {
			if (p != TIMELINE_KEXEC)
				assert_true(line->phases[p].end_tsc >= line->phases[p].begin_tsc &&
					    line->phases[p].begin_tsc > 0);
		}
	}
}

static void test_failures_before(void **state _unused_)
{
	static const struct {
		enum fake_call call;
		unsigned int from;
	} prepare[] = {
		{FAKE_CAN_PRESERVE, 0}, {FAKE_CREATE, 0}, {FAKE_PRESERVE, 0}, {FAKE_PRESERVE, 1}};

	static const struct {
		enum fake_call call;
		unsigned int undrains;
	} freeze[] = {{FAKE_PAUSE, 0}, {FAKE_DRAIN, 0}, {FAKE_SAVE, 1}};

	boot("");
	for (unsigned int i = 0; i < ARRAY_SIZE(prepare); i++) {
		memset(fake.calls, 0, sizeof(fake.calls));
		fake.fails = prepare[i].call;
		fake.fails_from = prepare[i].from;
		assert_true(ask(VM_PREPARE) < 0);
		assert_untouched();
	}
	fake.fails = FAKE_NONE;
	fake.fails_from = 0;
	assert_int_equal(ask(VM_PREPARE), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(freeze); i++) {
		fake.undrains = 0;
		fake.fails = freeze[i].call;
		assert_true(ask(VM_FREEZE) < 0);
		/* Devices that were drained go on; the others never stopped. */
		assert_int_equal(fake.undrains, freeze[i].undrains);
		assert_false(machine_is_drained(fake.machine));
		assert_phase(UPDATE_PREPARED);
		assert_true(machine_is_running(fake.machine));
		assert_true(fake_session_open(SESSION));
	}
	fake.fails = FAKE_NONE;
	assert_int_equal(ask(VM_FREEZE), 0);
	fake.fails = FAKE_START;
	assert_true(ask(VM_THAW) < 0);
	assert_phase(UPDATE_FROZEN);
	assert_true(ask(VM_ABORT) < 0);
	assert_phase(UPDATE_FROZEN);
	fake.fails = FAKE_NONE;
	assert_int_equal(ask(VM_ABORT), 0);
	assert_untouched();
}

/* Whatever fails after the kexec: nothing is given up, and the next try succeeds. */
static void test_failures_after(void **state _unused_)
{
	static const struct {
		enum fake_call call;
		unsigned int from;
	} resume[] = {
		{FAKE_RETRIEVE_FD, 0}, {FAKE_RETRIEVE_FD, 1}, {FAKE_RAM_ADOPT, 0}, {FAKE_BUILD, 0},
		{FAKE_CHECK, 0},       {FAKE_APPLY, 0},	      {FAKE_RESUMED, 0},   {FAKE_START, 0},
	};

	boot("");
	for (unsigned int i = 0; i < ARRAY_SIZE(resume); i++) {
		freeze_and_kexec();
		memset(fake.calls, 0, sizeof(fake.calls));
		fake.fails = resume[i].call;
		fake.fails_from = resume[i].from;
		assert_true(ask(VM_RESUME_PRESERVED) < 0);
		assert_phase(UPDATE_FAILED);
		assert_int_equal(fake.machines, 0);
		assert_true(fake_session_open(SESSION));
		assert_false(fake_session_gone(SESSION));
		assert_true(vm_holds_only_copy(t.vm));
		fake.fails = FAKE_NONE;
		fake.fails_from = 0;
		assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
		assert_resumed();
	}
}

static void test_crash_in_first_run(void **state _unused_)
{
	boot("");
	freeze_and_kexec();
	fake.crashes = true;
	assert_true(ask(VM_RESUME_PRESERVED) < 0);
	assert_phase(UPDATE_FAILED);
	assert_int_equal(fake.machines, 0);
	assert_false(fake_session_gone(SESSION));
	assert_false(t.over);
	fake.crashes = false;
	assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
	assert_resumed();
}

static void test_no_session(void **state _unused_)
{
	new_vm(true, "");
	assert_int_equal(ask(VM_RESUME_PRESERVED), -ENOENT);
	assert_phase(UPDATE_FAILED);
	/* Nothing is in our hands: the process may end. */
	assert_false(vm_holds_only_copy(t.vm));
}

static void test_prepared_but_not_frozen(void **state _unused_)
{
	boot("");
	assert_int_equal(ask(VM_PREPARE), 0);
	assert_int_equal(ask(VM_FREEZE), 0);
	/* Thawed: the state that was written is of the past. */
	assert_int_equal(ask(VM_THAW), 0);
	fake_kexec();
	vm_free(t.vm);
	t.vm = NULL;
	new_vm(true, "");
	assert_int_equal(ask(VM_RESUME_PRESERVED), -ENODATA);
	assert_non_null(strstr(t.answer.message, "not frozen"));
	assert_false(fake_session_gone(SESSION));
}

static void test_damaged_state(void **state _unused_)
{
	char byte, other;
	int fd;

	boot("");
	freeze_and_kexec();
	fd = fake_preserved(SESSION, TOKEN_VM_STATE);
	assert_int_equal(pread(fd, &byte, 1, 200), 1);
	other = (char)(byte ^ 1);
	assert_int_equal(pwrite(fd, &other, 1, 200), 1);
	assert_true(ask(VM_RESUME_PRESERVED) < 0);
	assert_phase(UPDATE_FAILED);
	assert_false(fake_session_gone(SESSION));
	assert_int_equal(pwrite(fd, &byte, 1, 200), 1);
	assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
	assert_resumed();
}

static void test_finish_fails(void **state _unused_)
{
	boot("");
	freeze_and_kexec();
	fake.fails = FAKE_FINISH;
	/* The guest runs: that is what was asked for. Finishing goes on behind the answer, on a
	 * thread. */
	assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
	for (unsigned int i = 0; !strstr(logged(), "finish: ") && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 10), 0);
	assert_non_null(strstr(logged(), "finish: fake call"));
	assert_phase(UPDATE_RESUMED);
	assert_true(machine_is_running(fake.machine));
	assert_false(fake_session_gone(SESSION));
	fake.fails = FAKE_NONE;
	assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
	assert_resumed();
}

static void test_paused_by_its_user(void **state _unused_)
{
	boot("");
	assert_int_equal(ask(VM_PAUSE), 0);
	freeze_and_kexec();
	assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
	assert_phase(UPDATE_LOADED);
	assert_false(machine_is_running(fake.machine));
	assert_false(fake_session_gone(SESSION));
	assert_int_equal(ask(VM_RESUME), 0);
	assert_resumed();
}

/* A user's pause stands still with all its devices, and a freeze that fails leaves it so. */
static void test_freeze_of_a_paused_guest_fails(void **state _unused_)
{
	boot("");
	fake.fails = FAKE_DRAIN;
	assert_int_equal(ask(VM_PAUSE), -EIO);
	assert_true(machine_is_running(fake.machine));
	fake.fails = FAKE_NONE;
	assert_int_equal(ask(VM_PAUSE), 0);
	assert_int_equal(ask(VM_PREPARE), 0);
	fake.undrains = 0;
	fake.fails = FAKE_SAVE;
	assert_int_equal(ask(VM_FREEZE), -EIO);
	fake.fails = FAKE_NONE;
	assert_int_equal(fake.undrains, 0);
	assert_false(machine_is_running(fake.machine));
	assert_true(machine_is_drained(fake.machine));
	assert_int_equal(ask(VM_ABORT), 0);
	assert_int_equal(ask(VM_RESUME), 0);
	assert_untouched();
	assert_false(machine_is_drained(fake.machine));
}

/* A console that the state has no place for, or a state with one that nobody wants. */
static void test_console_comes_or_goes(void **state _unused_)
{
	json_t *overrides = json_pack("{ss}", "hvc", "pty");
	struct vm_config config = config_of("");
	struct error err = ERROR_INIT;

	boot("");
	freeze_and_kexec();
	vm_free(t.vm);
	assert_int_equal(vm_new(&config, true, overrides, t.loop, &callbacks, NULL, &t.vm, &err),
			 0);
	assert_int_equal(ask(VM_RESUME_PRESERVED), -EINVAL);
	assert_non_null(strstr(t.answer.message, "hvc: the preserved VM has none"));
	assert_phase(UPDATE_FAILED);
	assert_true(fake_session_open(SESSION));
	json_object_del(overrides, "hvc");
	assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
	assert_resumed();
	json_decref(overrides);
}

/* A device that came, or went, is in the configuration of whoever resumes, and of a guest's reset.
 */
static void test_devices_come_and_go(void **state _unused_)
{
	json_t *rng = json_pack("{ss}", "rng", "src=/dev/zero");
	struct error err = ERROR_INIT;

	boot("");
	assert_int_equal(vm_add_devices(t.vm, rng, &err), -EINVAL);
	assert_non_null(strstr(err.message, "rng: the VM has one already"));
	assert_int_equal(vm_remove_device(t.vm, "hvc", &err), -ENOENT);
	assert_int_equal(vm_remove_device(t.vm, "rng", &err), 0);
	fake_give_back_rng(fake.machine);
	assert_int_equal(vm_remove_device(t.vm, "rng", &err), -ENOENT);
	freeze_and_kexec();
	assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
	assert_resumed();
	assert_false(machine_config(fake.machine)->rng.on);

	fake.fails = FAKE_PLUG;
	assert_int_equal(vm_add_devices(t.vm, rng, &err), -EIO);
	fake.fails = FAKE_NONE;
	assert_false(vm_config(t.vm)->rng.on);
	assert_int_equal(vm_add_devices(t.vm, rng, &err), 0);
	assert_int_equal(ask(VM_REBOOT), 0);
	turn();
	assert_string_equal(machine_config(fake.machine)->rng.source, "/dev/zero");
	fake_set_register(fake.machine, 42);
	freeze_and_kexec();
	assert_int_equal(vm_remove_device(t.vm, "rng", &err), -EBUSY);
	assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
	assert_resumed();
	assert_string_equal(machine_config(fake.machine)->rng.source, "/dev/zero");
	json_decref(rng);
}

static void test_devices_that_are_none(void **state _unused_)
{
	json_t *wrong = json_pack("{si ss}", "cpus", 2, "hvc", "off");
	json_t *off = json_pack("{ss}", "hvc", "off");
	json_t *none = json_object();
	struct error err = ERROR_INIT;

	boot("");
	assert_int_equal(vm_add_devices(t.vm, wrong, &err), -EINVAL);
	assert_non_null(strstr(err.message, "cpus: is no device"));
	assert_int_equal(vm_add_devices(t.vm, off, &err), -EINVAL);
	assert_non_null(strstr(err.message, "hvc: off cannot be plugged in"));
	assert_int_equal(vm_add_devices(t.vm, none, &err), -EINVAL);
	assert_non_null(strstr(err.message, "no device was given"));
	assert_int_equal(ask(VM_PREPARE), 0);
	assert_int_equal(vm_add_devices(t.vm, off, &err), -EBUSY);
	assert_non_null(strstr(err.message, "phase prepared"));
	json_decref(wrong);
	json_decref(off);
	json_decref(none);
}

static void test_by_the_agent(void **state _unused_)
{
	boot("/run/luod");
	assert_int_equal(ask(VM_PREPARE), -EPERM);
	assert_non_null(strstr(t.answer.message, "luoctl update"));
	assert_int_equal(ask_with(VM_PREPARE, VM_CALLER_AGENT, FD_NONE), -EINVAL);
	/* A session of another VM is not ours to fill. */
	assert_int_equal(ask_with(VM_PREPARE, VM_CALLER_AGENT, fake_pass_session("vm:x", false)),
			 -EINVAL);
	assert_untouched();
	assert_int_equal(ask_with(VM_PREPARE, VM_CALLER_AGENT, fake_pass_session(SESSION, false)),
			 0);
	assert_int_equal(ask_with(VM_FREEZE, VM_CALLER_AGENT, FD_NONE), 0);
	fake_kexec();
	vm_free(t.vm);
	t.vm = NULL;
	new_vm(true, "/run/luod");
	assert_phase(UPDATE_WAITING);
	assert_int_equal(
		ask_with(VM_RESUME_PRESERVED, VM_CALLER_AGENT, fake_pass_session(SESSION, true)),
		0);
	/* The agent says when it is over. */
	assert_phase(UPDATE_RESUMED);
	assert_false(fake_session_finished(SESSION));
	assert_int_equal(ask_with(VM_FINISH, VM_CALLER_AGENT, FD_NONE), 0);
	assert_phase(UPDATE_RUNNING);
	assert_true(fake_session_finished(SESSION));
}

static void test_not_preservable(void **state _unused_)
{
	struct vm_config config = config_of("");
	struct error err = ERROR_INIT;

	config.preserve_on_update = false;
	assert_int_equal(vm_new(&config, false, NULL, t.loop, &callbacks, NULL, &t.vm, &err), 0);
	assert_int_equal(vm_boot(t.vm, &err), 0);
	fake.fails = FAKE_CAN_PRESERVE;
	assert_int_equal(ask(VM_PREPARE), -EOPNOTSUPP);
	assert_non_null(strstr(t.answer.message, "--preserve-on-update"));
	assert_non_null(strstr(t.answer.message, "fake call"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, start, stop),
		cmocka_unit_test_setup_teardown(test_across, start, stop),
		cmocka_unit_test_setup_teardown(test_failures_before, start, stop),
		cmocka_unit_test_setup_teardown(test_failures_after, start, stop),
		cmocka_unit_test_setup_teardown(test_crash_in_first_run, start, stop),
		cmocka_unit_test_setup_teardown(test_no_session, start, stop),
		cmocka_unit_test_setup_teardown(test_prepared_but_not_frozen, start, stop),
		cmocka_unit_test_setup_teardown(test_damaged_state, start, stop),
		cmocka_unit_test_setup_teardown(test_finish_fails, start, stop),
		cmocka_unit_test_setup_teardown(test_paused_by_its_user, start, stop),
		cmocka_unit_test_setup_teardown(test_freeze_of_a_paused_guest_fails, start, stop),
		cmocka_unit_test_setup_teardown(test_console_comes_or_goes, start, stop),
		cmocka_unit_test_setup_teardown(test_devices_come_and_go, start, stop),
		cmocka_unit_test_setup_teardown(test_devices_that_are_none, start, stop),
		cmocka_unit_test_setup_teardown(test_by_the_agent, start, stop),
		cmocka_unit_test_setup_teardown(test_not_preservable, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
