/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/agent: one whole update, a luod that is not there, that goes away in the middle, and that
 * talks nonsense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_vm.h"
#include "vm_agent_test.h"

static void test_whole_update(void **state _unused_)
{
	int kept;

	new_vm(false);
	accept_hello("running");
	kept = fake_pass_session(SESSION, false);
	ask(AGENT_PREPARE, dup(kept));
	expect_answer(true, "prepared");
	ask(AGENT_FREEZE, FD_NONE);
	expect_answer(true, "frozen");
	ask(AGENT_THAW, FD_NONE);
	expect_answer(true, "prepared");
	ask(AGENT_FREEZE, FD_NONE);
	expect_answer(true, "frozen");
	fake_kexec();
	end_vm();
	close(kept);
	close_fdp(&t.fd);

	new_vm(true);
	accept_hello("waiting");
	kept = fake_pass_session(SESSION, true);
	ask(AGENT_RESUME, dup(kept));
	expect_answer(true, "resumed");
	ask(AGENT_FINISH, FD_NONE);
	expect_answer(true, "running");
	assert_true(fake_session_finished(SESSION));
	close(kept);
}

/* A vmm that dies with the session in its hands takes nothing along: luod has it, too. */
static void test_failed_resume_is_kept_by_luod(void **state _unused_)
{
	int kept;

	new_vm(false);
	accept_hello("running");
	ask(AGENT_PREPARE, fake_pass_session(SESSION, false));
	expect_answer(true, "prepared");
	ask(AGENT_FREEZE, FD_NONE);
	expect_answer(true, "frozen");
	fake_kexec();
	end_vm();
	close_fdp(&t.fd);

	new_vm(true);
	accept_hello("waiting");
	kept = fake_pass_session(SESSION, true);
	fake.fails = FAKE_CHECK;
	ask(AGENT_RESUME, dup(kept));
	expect_answer(false, "failed");
	assert_false(vm_holds_only_copy(t.vm));
	end_vm();
	close_fdp(&t.fd);
	assert_false(fake_session_gone(SESSION));

	fake.fails = FAKE_NONE;
	new_vm(true);
	accept_hello("waiting");
	ask(AGENT_RESUME, dup(kept));
	expect_answer(true, "resumed");
	close(kept);
}

static void test_refusals(void **state _unused_)
{
	new_vm(false);
	accept_hello("running");
	ask(AGENT_FREEZE, FD_NONE);
	expect_answer(false, "running");
	ask(AGENT_PREPARE, FD_NONE);
	expect_answer(false, "running");
	ask(AGENT_ABORT, FD_NONE);
	expect_answer(true, "running");
	fake.fails = FAKE_PRESERVE;
	ask(AGENT_PREPARE, fake_pass_session(SESSION, false));
	expect_answer(false, "running");
	assert_non_null(strstr(
		json_string_value(json_object_get(json_object_get(t.message, "error"), "message")),
		"fake call"));
}

/* Else luod could not make the next one of that name. */
static void test_refused_session_is_given_up(void **state _unused_)
{
	new_vm(false);
	accept_hello("running");
	fake.fails = FAKE_CAN_PRESERVE;
	ask(AGENT_PREPARE, fake_pass_session(SESSION, false));
	expect_answer(false, "running");
	assert_false(fake_session_open(SESSION));
	fake.fails = FAKE_NONE;
	ask(AGENT_PREPARE, fake_pass_session(SESSION, false));
	expect_answer(true, "prepared");
}

/* Two requests at once are done one after the other. */
static void test_requests_wait_in_the_socket(void **state _unused_)
{
	new_vm(false);
	accept_hello("running");
	ask(AGENT_PREPARE, fake_pass_session(SESSION, false));
	ask(AGENT_FREEZE, FD_NONE);
	t.seq--;
	expect_answer(true, "prepared");
	t.seq++;
	expect_answer(true, "frozen");
}

static void test_luod_restarts(void **state _unused_)
{
	new_vm(false);
	accept_hello("running");
	ask(AGENT_PREPARE, fake_pass_session(SESSION, false));
	expect_answer(true, "prepared");
	/* It dies while a freeze is under way; the one after it hears how it ended. */
	ask(AGENT_FREEZE, FD_NONE);
	close_fdp(&t.fd);
	for (unsigned int i = 0; vm_phase(t.vm) != UPDATE_FROZEN && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 10), 0);
	accept_hello("frozen");
	ask(AGENT_ABORT, FD_NONE);
	expect_answer(true, "running");
}

static void test_luod_comes_late(void **state _unused_)
{
	close_fdp(&t.listen_fd);
	unlink(t.path);
	new_vm(false);
	turn();
	assert_true(machine_is_running(fake.machine));
	listen_here();
	accept_hello("running");
}

static void test_nonsense(void **state _unused_)
{
	static const char *const texts[] = {"{}", "[]", "{\"type\":\"hello\"}", "nothing"};

	new_vm(false);
	for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
		accept_hello("running");
		assert_true(send(t.fd, texts[i], strlen(texts[i]), 0) > 0);
		/* The connection ends, the vmm comes again. */
		turn_until_readable(t.fd);
		assert_int_equal(recv(t.fd, (char[16]){0}, 16, 0), 0);
		close_fdp(&t.fd);
	}
	assert_true(machine_is_running(fake.machine));
}

static void test_power_off_is_told(void **state _unused_)
{
	new_vm(false);
	accept_hello("running");
	ask(AGENT_POWER_BUTTON, FD_NONE);
	expect_answer(true, "running");
	assert_int_equal(fake.power_button, 1);
	fake_tell(fake.machine, MACHINE_EVENT_POWEROFF);
	receive();
	assert_string_equal(text_of("event"), "exit");
	assert_string_equal(text_of("reason"), "poweroff");
}

static void test_another_configuration_is_told(void **state _unused_)
{
	struct agent_hello hello;
	struct error err = ERROR_INIT;

	new_vm(false);
	agent_config_changed(t.agent);
	accept_hello("running");
	agent_config_changed(t.agent);
	receive();
	assert_int_equal(agent_hello_from_json(t.message, &hello, &err), 0);
	assert_int_equal(hello.phase, AGENT_PHASE_RUNNING);
	assert_non_null(hello.config);
	agent_config_changed(NULL);
}

static void expect_device(const char *what)
{
	struct agent_event event;
	struct error err = ERROR_INIT;

	receive();
	assert_int_equal(agent_event_from_json(t.message, &event, &err), 0);
	assert_int_equal(event.kind, AGENT_EVENT_DEVICE);
	assert_string_equal(event.device.id, "nic0");
	assert_string_equal(event.device.host, "0000:65:00.0");
	assert_string_equal(agent_device_what_name(event.device.what), what);
	assert_string_equal(event.device.message, "has failed");
}

/* In their order; and what luod knows of the VM is right before it hears that a device is gone. */
static void test_devices_are_told_of(void **state _unused_)
{
	static const char *const whats[DEVICE_NEWS_MAX - 1] = {"error", "wanted", "stays",
							       "taken-away"};
	struct device_news news = {.id = "nic0", .host = "0000:65:00.0", .text = "has failed"};
	struct agent_hello hello;
	struct error err = ERROR_INIT;

	new_vm(false);
	accept_hello("running");
	for (unsigned int i = 0; i < ARRAY_SIZE(whats); i++) {
		news.kind = (enum device_news_kind)i;
		fake_tell_news(fake.machine, &news);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(whats); i++)
		expect_device(whats[i]);
	news.kind = DEVICE_NEWS_GONE;
	fake_tell_news(fake.machine, &news);
	receive();
	assert_int_equal(agent_hello_from_json(t.message, &hello, &err), 0);
	expect_device("gone");
	agent_say_device(NULL, &news);
}

static void test_plugged_devices_are_told(void **state _unused_)
{
	json_t *devices = json_pack("{s:{s:s}}", "balloon", "size", "0");
	struct agent_hello hello;
	struct error err = ERROR_INIT;

	new_vm(false);
	accept_hello("running");
	if (vm_add_devices(t.vm, devices, &err) < 0)
		fail_msg("%s", err.message);
	json_decref(devices);
	receive();
	assert_int_equal(agent_hello_from_json(t.message, &hello, &err), 0);
	assert_non_null(json_object_get(hello.config, "balloon"));
}

static void test_added_memory_is_told(void **state _unused_)
{
	struct agent_hello hello;
	struct error err = ERROR_INIT;

	new_vm(false);
	accept_hello("running");
	assert_int_equal(vm_resize_memory(t.vm, VM_MEMORY_MIN + RAM_ADD_ALIGN, &err), 0);
	receive();
	assert_int_equal(agent_hello_from_json(t.message, &hello, &err), 0);
	assert_int_equal(hello.memory, VM_MEMORY_MIN + RAM_ADD_ALIGN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole_update, start, stop),
		cmocka_unit_test_setup_teardown(test_failed_resume_is_kept_by_luod, start, stop),
		cmocka_unit_test_setup_teardown(test_refusals, start, stop),
		cmocka_unit_test_setup_teardown(test_refused_session_is_given_up, start, stop),
		cmocka_unit_test_setup_teardown(test_requests_wait_in_the_socket, start, stop),
		cmocka_unit_test_setup_teardown(test_luod_restarts, start, stop),
		cmocka_unit_test_setup_teardown(test_luod_comes_late, start, stop),
		cmocka_unit_test_setup_teardown(test_nonsense, start, stop),
		cmocka_unit_test_setup_teardown(test_another_configuration_is_told, start, stop),
		cmocka_unit_test_setup_teardown(test_devices_are_told_of, start, stop),
		cmocka_unit_test_setup_teardown(test_plugged_devices_are_told, start, stop),
		cmocka_unit_test_setup_teardown(test_added_memory_is_told, start, stop),
		cmocka_unit_test_setup_teardown(test_power_off_is_told, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
