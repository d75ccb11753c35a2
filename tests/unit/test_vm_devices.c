/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of the host in an update, on a fake machine and a fake LUO: the guest gives them up last
 * before it is prepared, and has them back when there is no update, or after it.
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
#include "luo/client.h"
#include "luo/tokens.h"
#include "tests/unit/vm_ask.h"

#define SESSION	   LUO_VM_SESSION_PREFIX FAKE_ID
#define DEADLINE_S 30U

static struct {
	struct loop *loop;
	struct vm *vm;
	struct vm_answer answer;
	struct loop_timer *deadline;
} t;

void __real_loop_timer_arm(struct loop_timer *timer, uint64_t delay_ns, uint64_t period_ns);
void __wrap_loop_timer_arm(struct loop_timer *timer, uint64_t delay_ns, uint64_t period_ns);

void __wrap_loop_timer_arm(struct loop_timer *timer, uint64_t delay_ns, uint64_t period_ns)
{
	if (delay_ns == DEADLINE_S * NSEC_PER_SEC)
		t.deadline = timer;
	__real_loop_timer_arm(timer, delay_ns, period_ns);
}

static void on_phase(void *o _unused_, enum update_phase phase _unused_)
{
}

static void on_exit_of_vm(void *o _unused_, int exit_code _unused_, const char *reason _unused_)
{
}

static const struct vm_callbacks callbacks = {.phase = on_phase, .exit = on_exit_of_vm};

static void new_vm_with(bool resume, enum vfio_pci_policy policy)
{
	struct error err = ERROR_INIT;
	struct vm_config config;

	vm_config_init(&config);
	strcpy(config.id, FAKE_ID);
	strcpy(config.kernel, "/kernel");
	config.memory = VM_MEMORY_MIN;
	config.preserve_on_update = true;
	config.device_count = 2;
	config.devices[0] = (struct vfio_pci_config){
		.host = "0000:65:00.0", .fd = FD_NONE, .id = "nic", .slot = 27, .policy = policy};
	config.devices[1] = (struct vfio_pci_config){.host = "0000:66:00.0",
						     .fd = FD_NONE,
						     .id = "gpu",
						     .slot = 26,
						     .policy = VFIO_PCI_DETACH};
	assert_int_equal(vm_new(&config, resume, NULL, t.loop, &callbacks, NULL, &t.vm, &err), 0);
}

static void new_vm(bool resume)
{
	new_vm_with(resume, VFIO_PCI_RESET);
}

static int start(void **state _unused_)
{
	struct error err = ERROR_INIT;

	fake_reset();
	memset(&t, 0, sizeof(t));
	assert_int_equal(loop_new(&t.loop, &err), 0);
	new_vm(false);
	return vm_boot(t.vm, &err);
}

/* One that stays, and one that does not. */
static int start_preserve(void **state _unused_)
{
	struct error err = ERROR_INIT;

	fake_reset();
	memset(&t, 0, sizeof(t));
	assert_int_equal(loop_new(&t.loop, &err), 0);
	new_vm_with(false, VFIO_PCI_PRESERVE);
	return vm_boot(t.vm, &err);
}

static int stop(void **state _unused_)
{
	vm_free(t.vm);
	assert_int_equal(fake.machines, 0);
	loop_free(t.loop);
	fake_reset();
	return 0;
}

static void turn(void)
{
	vm_turn(t.loop);
}

static void begin(enum vm_verb verb)
{
	assert_int_equal(vm_ask_begin(t.vm, verb, VM_CALLER_USER, FD_NONE, &t.answer), 0);
}

static int finish(void)
{
	return vm_ask_finish(t.loop, &t.answer);
}

static int ask(enum vm_verb verb)
{
	begin(verb);
	return finish();
}

static int ask_as_agent(enum vm_verb verb)
{
	assert_int_equal(vm_ask_begin(t.vm, verb, VM_CALLER_AGENT, FD_NONE, &t.answer), 0);
	return finish();
}

static unsigned int away(void)
{
	const struct vm_config *config = machine_config(fake.machine);
	unsigned int count = 0;

	for (unsigned int i = 0; i < config->device_count; i++)
		count += config->devices[i].away;
	return count;
}

static void begin_prepare(void)
{
	begin(VM_PREPARE);
	for (unsigned int i = 0; fake.gives_up == 0 && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 100), 0);
	turn();
	/* All of its memory is preserved by now, and the guest runs. */
	assert_true(fake_session_open(SESSION));
	assert_true(machine_is_running(fake.machine));
	assert_false(t.answer.answered);
}

static void assert_whole(void)
{
	assert_string_equal(update_phase_name(vm_phase(t.vm)), "running");
	assert_true(machine_is_running(fake.machine));
	assert_false(fake_session_open(SESSION));
	assert_int_equal(machine_config(fake.machine)->device_count, 2);
	assert_int_equal(away(), 0);
}

static void prepare(void)
{
	begin_prepare();
	fake_give_up_device(fake.machine);
	turn();
	assert_false(t.answer.answered);
	fake_give_up_device(fake.machine);
	assert_int_equal(finish(), 0);
	assert_int_equal(away(), 2);
}

static void test_abort(void **state _unused_)
{
	prepare();
	assert_int_equal(ask(VM_ABORT), 0);
	assert_whole();
	fake.gives_up = 0;
	prepare();
	assert_int_equal(ask(VM_FREEZE), 0);
	/* A thaw leads back to prepared: they stay away. */
	assert_int_equal(ask(VM_THAW), 0);
	assert_int_equal(away(), 2);
	assert_int_equal(ask(VM_FREEZE), 0);
	assert_int_equal(ask(VM_ABORT), 0);
	assert_whole();
}

static void test_across(void **state _unused_)
{
	prepare();
	assert_int_equal(ask(VM_FREEZE), 0);
	fake_kexec();
	vm_free(t.vm);
	t.vm = NULL;
	new_vm(true);
	assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
	for (unsigned int i = 0; vm_phase(t.vm) != UPDATE_RUNNING && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 10), 0);
	/* One comes back, the other is gone. */
	assert_int_equal(vm_config(t.vm)->device_count, 1);
	assert_string_equal(vm_config(t.vm)->devices[0].id, "nic");
	assert_false(vm_config(t.vm)->devices[0].away);
}

/* ---- One that stays. ---- */

static void prepare_one(void)
{
	begin_prepare();
	fake_give_up_device(fake.machine);
	assert_int_equal(finish(), 0);
	/* The other was asked for, this one was not. */
	assert_int_equal(away(), 1);
	assert_false(machine_config(fake.machine)->devices[0].away);
	assert_true(fake_preserved(SESSION, TOKEN_IOMMUFD) >= 0);
	assert_true(fake_preserved(SESSION, TOKEN_VFIO_FIRST + 27) >= 0);
	assert_true(fake_preserved(SESSION, TOKEN_VFIO_FIRST + 26) < 0);
	assert_false(fake.handed_over);
}

static void test_preserve_across(void **state _unused_)
{
	prepare_one();
	assert_int_equal(ask(VM_FREEZE), 0);
	/* The end of this process must not be the end of the device. */
	assert_true(fake.handed_over);
	fake_kexec();
	vm_free(t.vm);
	t.vm = NULL;
	new_vm(true);
	assert_int_equal(ask(VM_RESUME_PRESERVED), 0);
	assert_int_equal(fake.came_back, 1);
	for (unsigned int i = 0; vm_phase(t.vm) != UPDATE_RUNNING && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 10), 0);
	assert_int_equal(vm_config(t.vm)->device_count, 1);
	assert_string_equal(vm_config(t.vm)->devices[0].id, "nic");
	assert_int_equal(vm_config(t.vm)->devices[0].policy, VFIO_PCI_PRESERVE);
	/* It is the guest's again, and ends with it. */
	assert_false(fake.handed_over);
	assert_false(vm_config(t.vm)->devices[0].kept);
}

static void test_preserve_abort(void **state _unused_)
{
	prepare_one();
	assert_int_equal(ask(VM_FREEZE), 0);
	assert_true(fake.handed_over);
	assert_int_equal(ask(VM_THAW), 0);
	assert_false(fake.handed_over);
	assert_int_equal(ask(VM_FREEZE), 0);
	assert_int_equal(ask(VM_ABORT), 0);
	assert_whole();
	assert_false(fake.handed_over);
	assert_false(machine_config(fake.machine)->devices[0].kept);
}

/* Another vmm on the same kernel: whatever the policy, nothing is given up. */
static void test_export_keeps_all(void **state _unused_)
{
	static const uint64_t expected[] = {TOKEN_IOMMUFD, TOKEN_IOMMUFD + 1, TOKEN_VFIO_FIRST + 27,
					    TOKEN_VFIO_FIRST + 26};
	const struct source_entry *entries = NULL;
	unsigned int count, found = 0;

	assert_int_equal(ask_as_agent(VM_EXPORT), 0);
	assert_int_equal(fake.gives_up, 0);
	assert_int_equal(away(), 0);
	count = vm_exported(t.vm, &entries);
	for (unsigned int i = 0; i < ARRAY_SIZE(expected); i++) {
		for (unsigned int j = 0; j < count; j++)
			found += entries[j].token == expected[i] && entries[j].fd >= 0;
	}
	assert_int_equal(found, ARRAY_SIZE(expected));
	assert_int_equal(ask_as_agent(VM_FREEZE), 0);
	assert_true(fake.handed_over);
	assert_int_equal(ask_as_agent(VM_ABORT), 0);
	assert_whole();
	assert_false(fake.handed_over);
}

/* Given back by the guest itself between prepare and freeze: what is in the session has no use. */
static void test_preserve_gone_since(void **state _unused_)
{
	prepare_one();
	fake_forget_device(fake.machine, "nic");
	assert_int_equal(ask(VM_FREEZE), -ESTALE);
	assert_non_null(strstr(t.answer.message, "device nic: the guest has given it back"));
	assert_true(machine_is_running(fake.machine));
	assert_int_equal(ask(VM_ABORT), 0);
}

static void test_preserve_fails(void **state _unused_)
{
	fake.fails = FAKE_KEEP;
	assert_int_equal(ask(VM_PREPARE), -EIO);
	assert_whole();
	fake.fails = FAKE_PRESERVE;
	/* After the RAM: the iommufd, the device. */
	for (unsigned int from = 1; from <= 2; from++) {
		fake.calls[FAKE_PRESERVE] = 0;
		fake.fails_from = from;
		assert_int_equal(ask(VM_PREPARE), -EIO);
		assert_non_null(strstr(t.answer.message, "device-preserve: "));
		assert_whole();
		assert_false(machine_config(fake.machine)->devices[0].kept);
		assert_int_equal(fake.gives_up, 0);
	}
}

static void test_guest_does_not(void **state _unused_)
{
	begin_prepare();
	fake_give_up_device(fake.machine);
	turn();
	assert_false(t.answer.answered);
	__real_loop_timer_arm(t.deadline, 0, 0);
	assert_int_equal(finish(), -ETIMEDOUT);
	assert_non_null(strstr(t.answer.message, "has not given up device gpu within 30 seconds"));
	assert_whole();
	/* And once more, with a guest that does. */
	fake.gives_up = 0;
	prepare();
}

static void test_paused_guest(void **state _unused_)
{
	assert_int_equal(ask(VM_PAUSE), 0);
	assert_int_equal(ask(VM_PREPARE), -EBUSY);
	assert_non_null(strstr(t.answer.message, "paused and cannot give up device nic"));
	assert_int_equal(fake.gives_up, 0);
	assert_int_equal(ask(VM_RESUME), 0);
	assert_whole();
}

static void test_guest_is_switched_off(void **state _unused_)
{
	begin_prepare();
	fake_tell(fake.machine, MACHINE_EVENT_POWEROFF);
	assert_int_equal(finish(), -ECANCELED);
	assert_false(fake_session_open(SESSION));
}

static void test_vmm_ends(void **state _unused_)
{
	begin_prepare();
	vm_free(t.vm);
	t.vm = NULL;
	assert_int_equal(t.answer.result, -ECANCELED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_abort, start, stop),
		cmocka_unit_test_setup_teardown(test_across, start, stop),
		cmocka_unit_test_setup_teardown(test_guest_does_not, start, stop),
		cmocka_unit_test_setup_teardown(test_paused_guest, start, stop),
		cmocka_unit_test_setup_teardown(test_guest_is_switched_off, start, stop),
		cmocka_unit_test_setup_teardown(test_vmm_ends, start, stop),
		cmocka_unit_test_setup_teardown(test_preserve_across, start_preserve, stop),
		cmocka_unit_test_setup_teardown(test_preserve_abort, start_preserve, stop),
		cmocka_unit_test_setup_teardown(test_export_keeps_all, start_preserve, stop),
		cmocka_unit_test_setup_teardown(test_preserve_gone_since, start_preserve, stop),
		cmocka_unit_test_setup_teardown(test_preserve_fails, start_preserve, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
