/* SPDX-License-Identifier: Apache-2.0 */
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
#include "base/util.h"
#include "fake_vm.h"
#include "vm_agent_test.h"

struct vm_agent_test t;
static void on_phase(void *o _unused_, enum update_phase phase)
{
	agent_phase_changed(t.agent, phase);
}

static void on_exit_of_vm(void *o _unused_, int exit_code _unused_, const char *reason)
{
	t.over = true;
	agent_say_exit(t.agent, reason);
}

static void on_config(void *o _unused_)
{
	agent_config_changed(t.agent);
}

static void on_device(void *o _unused_, const struct device_news *news)
{
	agent_say_device(t.agent, news);
}

static const struct vm_callbacks callbacks = {
	.phase = on_phase, .config = on_config, .device = on_device, .exit = on_exit_of_vm};

void new_vm(bool resume)
{
	struct error err = ERROR_INIT;
	struct vm_config config;

	vm_config_init(&config);
	strcpy(config.id, FAKE_ID);
	if (!resume)
		strcpy(config.kernel, "/kernel");
	strcpy(config.agent, t.path);
	config.memory = VM_MEMORY_MIN;
	config.growth.max = RAM_ADD_ALIGN;
	config.preserve_on_update = !t.not_preservable;
	assert_int_equal(vm_new(&config, resume, NULL, t.loop, &callbacks, NULL, &t.vm, &err), 0);
	if (!resume)
		assert_int_equal(vm_boot(t.vm, &err), 0);
	assert_int_equal(agent_new(t.vm, t.loop, t.path, &t.agent, &err), 0);
}

void listen_here(void)
{
	struct error err = ERROR_INIT;

	assert_int_equal(sock_listen(t.path, SOCK_SEQPACKET, &t.listen_fd, &err), 0);
}

int start(void **state _unused_)
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

void end_vm(void)
{
	/* As program.c: a request that is under way ends here, and is answered. */
	vm_free(t.vm);
	agent_free(t.agent);
	t.agent = NULL;
	t.vm = NULL;
}

int stop(void **state _unused_)
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

void turn_until_readable(int fd)
{
	for (unsigned int i = 0; !readable(fd) && i < 1000; i++)
		assert_int_equal(loop_run_once(t.loop, 10), 0);
	assert_true(readable(fd));
}

void turn(void)
{
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(loop_run_once(t.loop, 2), 0);
}

const char *text_of(const char *key)
{
	const char *text = json_string_value(json_object_get(t.message, key));

	return text ? text : "";
}

void receive(void)
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

void accept_hello(const char *phase)
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

void ask(enum agent_verb verb, int fd)
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
void expect_answer(bool ok, const char *phase)
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
