/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/agent: the test is luod, on a real socket; the VM has a fake machine and a fake LUO. One
 * whole update, a luod that is not there, that goes away in the middle, and that talks nonsense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include <poll.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/util.h"
#include "fake_vm.h"
#include "luo/agent.h"
#include "luo/tokens.h"
#include "vmm/agent.h"

#define SESSION LUO_VM_SESSION_PREFIX FAKE_ID

static struct {
	struct loop *loop;
	struct vm *vm;
	struct agent *agent;
	char folder[64], path[96];
	int listen_fd, fd;
	uint32_t seq;
	json_t *message; /* the last one received */
	int fds[SOCK_FDS_MAX];
	unsigned int fd_count; /* that the exported files came with */
	struct agent_tokens tokens;
	bool over;
} t;

static void on_phase(void *o _unused_, enum update_phase phase)
{
	agent_phase_changed(t.agent, phase);
}

static void on_exit_of_vm(void *o _unused_, int exit_code _unused_, const char *reason)
{
	t.over = true;
	agent_say_exit(t.agent, reason);
}

static const struct vm_callbacks callbacks = {on_phase, on_exit_of_vm};

static void new_vm(bool resume)
{
	struct error err = ERROR_INIT;
	struct vm_config config;

	vm_config_init(&config);
	strcpy(config.id, FAKE_ID);
	if (!resume)
		strcpy(config.kernel, "/kernel");
	strcpy(config.agent, t.path);
	config.memory = VM_MEMORY_MIN;
	config.preserve_on_update = true;
	assert_int_equal(vm_new(&config, resume, NULL, t.loop, &callbacks, NULL, &t.vm, &err), 0);
	if (!resume)
		assert_int_equal(vm_boot(t.vm, &err), 0);
	assert_int_equal(agent_new(t.vm, t.loop, t.path, &t.agent, &err), 0);
}

static void listen_here(void)
{
	struct error err = ERROR_INIT;

	assert_int_equal(sock_listen(t.path, SOCK_SEQPACKET, &t.listen_fd, &err), 0);
}

static int start(void **state _unused_)
{
	struct error err = ERROR_INIT;

	log_setup("test", LOG_LEVEL_ERROR, -1);
	fake_reset();
	memset(&t, 0, sizeof(t));
	t.fd = t.listen_fd = FD_NONE;
	strcpy(t.folder, "/tmp/holdfast-test-agent-XXXXXX");
	assert_non_null(mkdtemp(t.folder));
	snprintf(t.path, sizeof(t.path), "%s/luod", t.folder);
	listen_here();
	return loop_new(&t.loop, &err);
}

static void end_vm(void)
{
	/* As program.c: a request that is under way ends here, and is answered. */
	vm_free(t.vm);
	agent_free(t.agent);
	t.agent = NULL;
	t.vm = NULL;
}

static int stop(void **state _unused_)
{
	end_vm();
	loop_free(t.loop);
	json_decref(t.message);
	while (t.fd_count > 0)
		close(t.fds[--t.fd_count]);
	close_fdp(&t.fd);
	close_fdp(&t.listen_fd);
	unlink(t.path);
	rmdir(t.folder);
	fake_reset();
	return 0;
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void turn_until_readable(int fd)
{
	for (unsigned int i = 0; !readable(fd) && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 10), 0);
	assert_true(readable(fd));
}

static void turn(void)
{
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(loop_run_once(t.loop, 2), 0);
}

static const char *text_of(const char *key)
{
	const char *text = json_string_value(json_object_get(t.message, key));

	return text ? text : "";
}

static void receive(void)
{
	int fds[SOCK_FDS_MAX];
	unsigned int count;
	struct error err = ERROR_INIT;

	turn_until_readable(t.fd);
	json_decref(t.message);
	t.message = NULL;
	assert_int_equal(sock_recv_json(t.fd, &t.message, fds, &count, &err), 0);
	if (count == 0)
		return;
	memcpy(t.fds, fds, sizeof(fds));
	t.fd_count = count;
}

static void accept_hello(const char *phase)
{
	struct agent_hello hello;
	struct error err = ERROR_INIT;

	turn_until_readable(t.listen_fd);
	t.fd = accept4(t.listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(t.fd >= 0);
	receive();
	if (agent_hello_from_json(t.message, &hello, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(hello.id, FAKE_ID);
	assert_int_equal(hello.pid, getpid());
	assert_string_equal(agent_phase_name(hello.phase), phase);
}

static void ask(enum agent_verb verb, int fd)
{
	const struct agent_request request = {.seq = ++t.seq, .verb = verb};
	json_t *message = agent_request_to_json(&request);
	struct error err = ERROR_INIT;

	assert_int_equal(sock_send_json(t.fd, message, &fd, fd >= 0 ? 1 : 0, &err), 0);
	json_decref(message);
	if (fd >= 0)
		close(fd);
}

/* Events come before the answer; they are only looked at to be well-formed. */
static void expect_answer(bool ok, const char *phase)
{
	struct agent_reply reply;
	struct agent_event event;
	struct error err = ERROR_INIT;

	for (;;) {
		receive();
		if (strcmp(text_of("type"), "event") != 0)
			break;
		assert_int_equal(agent_event_from_json(t.message, &event, &err), 0);
	}
	if (agent_reply_from_json(t.message, &reply, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(reply.seq, t.seq);
	if (reply.ok != ok)
		fail_msg("%s", ok ? reply.message : "it was done");
	assert_string_equal(agent_phase_name(reply.phase), phase);
	assert_true(reply.has_timeline);
	if (reply.tokens.count)
		t.tokens = reply.tokens;
}

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
		cmocka_unit_test_setup_teardown(test_whole_update, start, stop),
		cmocka_unit_test_setup_teardown(test_failed_resume_is_kept_by_luod, start, stop),
		cmocka_unit_test_setup_teardown(test_refusals, start, stop),
		cmocka_unit_test_setup_teardown(test_refused_session_is_given_up, start, stop),
		cmocka_unit_test_setup_teardown(test_requests_wait_in_the_socket, start, stop),
		cmocka_unit_test_setup_teardown(test_luod_restarts, start, stop),
		cmocka_unit_test_setup_teardown(test_luod_comes_late, start, stop),
		cmocka_unit_test_setup_teardown(test_nonsense, start, stop),
		cmocka_unit_test_setup_teardown(test_power_off_is_told, start, stop),
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
