/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest does by itself, and how a VM ends: reset, power-off and crash, in the middle of an
 * update too; the power button and the deadline behind it. On a fake machine and a fake LUO.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/util.h"
#include "fake_vm.h"
#include "luo/tokens.h"
#include "vmm/shutdown.h"
#include "vmm/vm.h"

#define GROWTH	(256 * MIB) /* memory that can be added */
#define SESSION LUO_VM_SESSION_PREFIX FAKE_ID

static struct {
	struct loop *loop;
	struct vm *vm;
	struct shutdown *shutdown;
	bool over;
	int exit_code;
	char reason[128];
	bool answered;
	int result;
} t;

static void on_phase(void *o _unused_, enum update_phase phase _unused_)
{
}

static void on_exit_of_vm(void *o _unused_, int exit_code, const char *reason)
{
	assert_false(t.over);
	t.over = true;
	t.exit_code = exit_code;
	snprintf(t.reason, sizeof(t.reason), "%s", reason);
}

static const struct vm_callbacks callbacks = {.phase = on_phase, .exit = on_exit_of_vm};

static void turn(void)
{
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(loop_run_once(t.loop, 2), 0);
}

static void make_vm(void)
{
	struct vm_config config;
	struct error err = ERROR_INIT;

	vm_config_init(&config);
	strcpy(config.id, FAKE_ID);
	config.memory = VM_MEMORY_MIN;
	config.growth.max = GROWTH;
	config.prefault = true;
	config.preserve_on_update = true;
	assert_int_equal(vm_new(&config, false, NULL, t.loop, &callbacks, NULL, &t.vm, &err), 0);
}

static int start(void **state _unused_)
{
	struct error err = ERROR_INIT;

	log_setup("test", LOG_LEVEL_ERROR, -1);
	fake_reset();
	memset(&t, 0, sizeof(t));
	assert_int_equal(loop_new(&t.loop, &err), 0);
	make_vm();
	assert_int_equal(vm_boot(t.vm, &err), 0);
	fake_set_register(fake.machine, 42);
	turn();
	return 0;
}

static int stop(void **state _unused_)
{
	shutdown_free(t.shutdown);
	vm_free(t.vm);
	assert_int_equal(fake.machines, 0);
	loop_free(t.loop);
	fake_reset();
	return 0;
}

static void on_done(void *o _unused_, int result, const struct error *err _unused_)
{
	t.answered = true;
	t.result = result;
}

static int ask(enum vm_verb verb)
{
	const struct vm_request request = {.verb = verb, .session_fd = FD_NONE};
	struct error err = ERROR_INIT;
	int r;

	t.answered = false;
	r = vm_request(t.vm, &request, on_done, NULL, &err);
	if (r < 0)
		return r;
	for (unsigned int i = 0; !t.answered && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 100), 0);
	assert_true(t.answered);
	return t.result;
}

static void wait_phase(enum update_phase phase)
{
	for (unsigned int i = 0; vm_phase(t.vm) != phase && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 10), 0);
	assert_string_equal(update_phase_name(vm_phase(t.vm)), update_phase_name(phase));
}

/* A machine that is new: its register is as the factory made it. */
static void assert_rebooted(void)
{
	turn();
	assert_false(t.over);
	assert_non_null(fake.machine);
	assert_int_equal(fake.machines, 1);
	assert_int_equal(fake_register(fake.machine), 0);
	assert_true(machine_is_running(fake.machine));
}

static void test_reset(void **state _unused_)
{
	fake_tell(fake.machine, MACHINE_EVENT_RESET);
	assert_rebooted();
	fake_set_register(fake.machine, 43);
	assert_int_equal(ask(VM_REBOOT), 0);
	assert_rebooted();
}

static void test_reset_of_a_paused_guest(void **state _unused_)
{
	assert_int_equal(ask(VM_PAUSE), 0);
	assert_false(machine_is_running(fake.machine));
	assert_int_equal(ask(VM_REBOOT), 0);
	assert_rebooted();
	assert_int_equal(ask(VM_PREPARE), 0);
}

static void test_reset_that_fails(void **state _unused_)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "reset-failed: fake call %d fails", FAKE_BOOT);
	fake.fails = FAKE_BOOT;
	fake_tell(fake.machine, MACHINE_EVENT_RESET);
	turn();
	assert_true(t.over);
	assert_int_equal(t.exit_code, 1);
	assert_string_equal(t.reason, expected);
}

/* After a reset the memory is another one, and made at once like the first; but a guest that is
 * there goes on without. */
static void test_reset_without_memory(void **state _unused_)
{
	assert_int_equal(fake.calls[FAKE_RAM_PREFAULT], 1);
	fake.fails = FAKE_RAM_PREFAULT;
	fake_tell(fake.machine, MACHINE_EVENT_RESET);
	turn();
	assert_false(t.over);
	assert_rebooted();
	assert_int_equal(fake.calls[FAKE_RAM_PREFAULT], 2);
}

static void test_boot_without_memory(void **state _unused_)
{
	struct error err = ERROR_INIT;

	vm_free(t.vm);
	make_vm();
	fake.fails = FAKE_RAM_PREFAULT;
	assert_int_equal(vm_boot(t.vm, &err), -EIO);
	assert_int_equal(fake.machines, 0);
	fake.fails = FAKE_NONE;
	assert_int_equal(vm_boot(t.vm, &err), 0);
}

static void test_reset_while_prepared(void **state _unused_)
{
	assert_int_equal(ask(VM_PREPARE), 0);
	fake_tell(fake.machine, MACHINE_EVENT_RESET);
	wait_phase(UPDATE_RUNNING);
	assert_rebooted();
	/* What was preserved is the old machine's memory: given up. */
	assert_false(fake_session_open(SESSION));
	assert_int_equal(ask(VM_PREPARE), 0);
	assert_true(fake_session_open(SESSION));
}

static void test_reset_in_the_moment_of_the_freeze(void **state _unused_)
{
	assert_int_equal(ask(VM_PREPARE), 0);
	fake.resets_in_pause = true;
	assert_int_equal(ask(VM_FREEZE), -ECANCELED);
	fake.resets_in_pause = false;
	wait_phase(UPDATE_RUNNING);
	assert_rebooted();
	assert_false(fake_session_open(SESSION));
}

static void test_power_off(void **state _unused_)
{
	assert_int_equal(ask(VM_PREPARE), 0);
	fake_tell(fake.machine, MACHINE_EVENT_POWEROFF);
	turn();
	assert_true(t.over);
	assert_int_equal(t.exit_code, 0);
	assert_string_equal(t.reason, "poweroff");
}

static void test_crash(void **state _unused_)
{
	fake_tell(fake.machine, MACHINE_EVENT_CRASHED);
	turn();
	assert_true(t.over);
	assert_int_equal(t.exit_code, 1);
	assert_string_equal(t.reason, "crash: fake crash");
}

static void test_verbs_in_the_wrong_phase(void **state _unused_)
{
	static const enum vm_verb refused[] = {VM_PAUSE,  VM_RESUME,   VM_POWER_BUTTON,
					       VM_REBOOT, VM_SHUTDOWN, VM_PREPARE,
					       VM_FREEZE, VM_FINISH,   VM_RESUME_PRESERVED};

	assert_int_equal(ask(VM_THAW), -EBUSY);
	assert_int_equal(ask(VM_FINISH), -EBUSY);
	assert_int_equal(ask(VM_PREPARE), 0);
	assert_int_equal(ask(VM_FREEZE), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++)
		assert_int_equal(ask(refused[i]), -EBUSY);
	assert_int_equal(ask(VM_QUIT), 0);
	assert_true(t.over);
}

#define SHUTDOWN_S 60U

void __real_loop_timer_arm(struct loop_timer *timer, uint64_t delay_ns, uint64_t period_ns);
void __wrap_loop_timer_arm(struct loop_timer *timer, uint64_t delay_ns, uint64_t period_ns);

static struct loop_timer *shutdown_timer;

void __wrap_loop_timer_arm(struct loop_timer *timer, uint64_t delay_ns, uint64_t period_ns)
{
	if (delay_ns == SHUTDOWN_S * NSEC_PER_SEC)
		shutdown_timer = timer;
	__real_loop_timer_arm(timer, delay_ns, period_ns);
}

/* The minute is over: by the test's word, for a busy host takes its own time for all else. */
static void deadline_passes(void)
{
	assert_non_null(shutdown_timer);
	__real_loop_timer_arm(shutdown_timer, 0, 0);
	turn();
}

static void make_shutdown(unsigned int timeout_s)
{
	struct error err = ERROR_INIT;

	shutdown_timer = NULL;
	assert_int_equal(shutdown_new(t.vm, t.loop, timeout_s, &t.shutdown, &err), 0);
}

static void test_button_then_guest(void **state _unused_)
{
	make_shutdown(SHUTDOWN_S);
	shutdown_request(t.shutdown, "test");
	turn();
	assert_int_equal(fake.power_button, 1);
	assert_false(t.over);
	fake_tell(fake.machine, MACHINE_EVENT_POWEROFF);
	turn();
	assert_true(t.over);
	assert_string_equal(t.reason, "poweroff");
}

static void test_button_then_second_signal(void **state _unused_)
{
	make_shutdown(SHUTDOWN_S);
	shutdown_request(t.shutdown, "test");
	shutdown_request(t.shutdown, "test");
	turn();
	assert_int_equal(fake.power_button, 1);
	assert_true(t.over);
	assert_int_equal(t.exit_code, 0);
	assert_string_equal(t.reason, "shutdown");
}

static void test_button_then_deadline(void **state _unused_)
{
	make_shutdown(SHUTDOWN_S);
	shutdown_request(t.shutdown, "test");
	turn();
	assert_false(t.over);
	deadline_passes();
	assert_true(t.over);
	assert_string_equal(t.reason, "shutdown");
}

static void test_no_button_at_all(void **state _unused_)
{
	make_shutdown(0);
	shutdown_request(t.shutdown, "test");
	turn();
	assert_int_equal(fake.power_button, 0);
	assert_true(t.over);
}

static void test_frozen_is_not_ended(void **state _unused_)
{
	make_shutdown(SHUTDOWN_S);
	assert_int_equal(ask(VM_PREPARE), 0);
	assert_int_equal(ask(VM_FREEZE), 0);
	for (unsigned int i = 0; i < 3; i++) {
		shutdown_request(t.shutdown, "test");
		turn();
		assert_false(t.over);
		assert_true(fake_session_open(SESSION));
	}
	assert_int_equal(ask(VM_ABORT), 0);
	shutdown_request(t.shutdown, "test");
	turn();
	assert_int_equal(fake.power_button, 1);
}

/* The button was pressed, then the VM was frozen: the deadline is no reason to lose it. */
static void test_frozen_at_the_deadline(void **state _unused_)
{
	make_shutdown(SHUTDOWN_S);
	shutdown_request(t.shutdown, "test");
	assert_int_equal(ask(VM_PREPARE), 0);
	assert_int_equal(ask(VM_FREEZE), 0);
	deadline_passes();
	assert_false(t.over);
	assert_true(fake_session_open(SESSION));
}

/* Memory that was added is told, and of the boot after a reset; not while it is preserved. */
static void test_memory(void **state _unused_)
{
	const uint64_t begin = vm_config(t.vm)->memory;
	struct error err = ERROR_INIT;
	json_t *info;

	assert_int_equal(vm_resize_memory(t.vm, begin - 1, &err), -ERANGE);
	assert_int_equal(vm_resize_memory(t.vm, begin + GROWTH / 2, &err), 0);
	assert_int_equal(vm_resize_memory(t.vm, begin + GROWTH + 1, &err), -ERANGE);
	assert_int_equal(vm_config(t.vm)->memory, begin);
	assert_int_equal(vm_config(t.vm)->growth.count, 1);
	info = vm_info_json(t.vm);
	assert_int_equal(json_integer_value(json_object_get(info, "memory_actual_size")),
			 begin + GROWTH / 2);
	json_decref(info);
	for (unsigned int frozen = 0; frozen < 2; frozen++) {
		assert_int_equal(ask(VM_PREPARE), 0);
		assert_int_equal(vm_resize_memory(t.vm, begin + GROWTH, &err), -EBUSY);
		assert_non_null(strstr(err.message, "prepared"));
		if (frozen)
			assert_int_equal(ask(VM_FREEZE), 0);
		assert_int_equal(vm_resize_memory(t.vm, begin + GROWTH, &err), -EBUSY);
		assert_int_equal(ask(VM_ABORT), 0);
	}
	assert_int_equal(ask(VM_REBOOT), 0);
	assert_rebooted();
	assert_int_equal(vm_config(t.vm)->memory, begin + GROWTH / 2);
	assert_int_equal(vm_config(t.vm)->growth.count, 0);
	assert_int_equal(vm_config(t.vm)->growth.max, GROWTH / 2);
	assert_int_equal(vm_resize_memory(t.vm, begin + GROWTH, &err), 0);
	assert_int_equal(vm_resize_memory(t.vm, begin + GROWTH + 1, &err), -ERANGE);
}

/* Asked for, it stays so through a reset and an update; memory is kept while it is preserved. */
static void test_balloon(void **state _unused_)
{
	json_t *balloon = json_pack("{s{si}}", "balloon", "size", 4096);
	struct error err = ERROR_INIT;
	json_t *json;

	assert_int_equal(vm_resize_balloon(t.vm, 8192, &err), -ENOENT);
	assert_null(vm_balloon_statistics_json(t.vm));
	assert_int_equal(vm_add_devices(t.vm, balloon, &err), 0);
	assert_int_equal(vm_add_devices(t.vm, balloon, &err), -EINVAL);
	assert_non_null(strstr(err.message, "balloon: the VM has one already"));
	assert_int_equal(vm_resize_balloon(t.vm, 8192, &err), 0);
	assert_int_equal(vm_config(t.vm)->balloon.size, 8192);
	assert_int_equal(ask(VM_REBOOT), 0);
	assert_rebooted();
	json = vm_balloon_statistics_json(t.vm);
	assert_int_equal(json_integer_value(json_object_get(json, "size")), 8192);
	json_decref(json);
	for (unsigned int frozen = 0; frozen < 2; frozen++) {
		assert_false(machine_memory_is_kept(fake.machine));
		assert_int_equal(ask(VM_PREPARE), 0);
		assert_true(machine_memory_is_kept(fake.machine));
		assert_int_equal(vm_resize_balloon(t.vm, 4096, &err), -EBUSY);
		if (frozen)
			assert_int_equal(ask(VM_FREEZE), 0);
		assert_true(machine_memory_is_kept(fake.machine));
		assert_int_equal(ask(VM_ABORT), 0);
		assert_false(machine_memory_is_kept(fake.machine));
	}
	/* A prepare that fails, early and late. */
	for (unsigned int i = 0; i < 2; i++) {
		fake.fails = i ? FAKE_PRESERVE : FAKE_CREATE;
		assert_true(ask(VM_PREPARE) < 0);
		assert_false(machine_memory_is_kept(fake.machine));
		fake.fails = FAKE_NONE;
	}
	json_decref(balloon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reset, start, stop),
		cmocka_unit_test_setup_teardown(test_reset_of_a_paused_guest, start, stop),
		cmocka_unit_test_setup_teardown(test_reset_that_fails, start, stop),
		cmocka_unit_test_setup_teardown(test_reset_without_memory, start, stop),
		cmocka_unit_test_setup_teardown(test_boot_without_memory, start, stop),
		cmocka_unit_test_setup_teardown(test_reset_while_prepared, start, stop),
		cmocka_unit_test_setup_teardown(test_reset_in_the_moment_of_the_freeze, start,
						stop),
		cmocka_unit_test_setup_teardown(test_power_off, start, stop),
		cmocka_unit_test_setup_teardown(test_crash, start, stop),
		cmocka_unit_test_setup_teardown(test_verbs_in_the_wrong_phase, start, stop),
		cmocka_unit_test_setup_teardown(test_button_then_guest, start, stop),
		cmocka_unit_test_setup_teardown(test_button_then_second_signal, start, stop),
		cmocka_unit_test_setup_teardown(test_button_then_deadline, start, stop),
		cmocka_unit_test_setup_teardown(test_no_button_at_all, start, stop),
		cmocka_unit_test_setup_teardown(test_frozen_is_not_ended, start, stop),
		cmocka_unit_test_setup_teardown(test_frozen_at_the_deadline, start, stop),
		cmocka_unit_test_setup_teardown(test_memory, start, stop),
		cmocka_unit_test_setup_teardown(test_balloon, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
