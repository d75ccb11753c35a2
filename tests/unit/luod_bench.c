/* SPDX-License-Identifier: Apache-2.0 */
#include "luod_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sock.h"
#include "luo/luod/peer.h"
#include "luo/luod/vm.h"

/* The luod of the bench. */

static void on_save(void *opaque _unused_)
{
}

void bench_up(struct bench *b)
{
	struct error err = ERROR_INIT;
	struct luod *luod = &b->luod;
	char path[128];

	memset(b, 0, sizeof(*b));
	memset(&bench_kernel, 0, sizeof(bench_kernel));
	bench_kernel.reboot_error = EBUSY;
	bench_kernel.registry_fd = FD_NONE;
	log_setup("luod", LOG_LEVEL_ERROR, open("/dev/null", O_WRONLY | O_CLOEXEC));
	for (unsigned int i = 0; i < BENCH_VMS; i++)
		b->vmms[i].fd = FD_NONE;
	snprintf(b->folder, sizeof(b->folder), "/tmp/holdfast-bench-XXXXXX");
	assert_non_null(mkdtemp(b->folder));
	snprintf(path, sizeof(path), "%s/vms", b->folder);
	assert_int_equal(mkdir(path, 0700), 0);
	luod->host_session = FD_NONE;
	luod->registry_fd = FD_NONE;
	luod->revision = 1;
	luod->start_tsc = clock_tsc();
	luod->start_ns = clock_monotonic_ns();
	snprintf(luod->options.run_dir, sizeof(luod->options.run_dir), "%s", b->folder);
	snprintf(luod->options.socket, sizeof(luod->options.socket), "%s/agent", b->folder);
	snprintf(luod->options.vmm, sizeof(luod->options.vmm), "/bin/true");
	assert_int_equal(registry_init(&luod->registry), 0);
	assert_int_equal(loop_new(&luod->loop, &err), 0);
	assert_int_equal(loop_timer_new(luod->loop, on_save, luod, &luod->save_timer, &err), 0);
	assert_int_equal(agent_listener_new(luod, &luod->listener, &err), 0);
}

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
		      struct FTW *ftw _unused_)
{
	return remove(path);
}

static bool no_sync_under_way(struct bench *b _unused_)
{
	return atomic_load(&bench_kernel.syncs_under_way) == 0;
}

void bench_down(struct bench *b)
{
	struct luod *luod = &b->luod;

	bench_until(b, no_sync_under_way);
	for (unsigned int i = 0; i < BENCH_VMS; i++)
		close_fdp(&b->vmms[i].fd);
	bench_settle(b);
	agent_listener_free(luod->listener);
	while (luod->registry.vms)
		vm_forget(luod->registry.vms->vm);
	registry_done(&luod->registry);
	loop_timer_free(luod->save_timer);
	loop_timer_free(luod->snapshot_timer);
	close_fdp(&luod->host_session);
	close_fdp(&luod->registry_fd);
	close_fdp(&bench_kernel.registry_fd);
	loop_free(luod->loop);
	nftw(b->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The vmms of the bench. */

static void say(struct played_vmm *vmm, json_t *message)
{
	struct error err = ERROR_INIT;

	assert_non_null(message);
	assert_int_equal(sock_send_json(vmm->fd, message, NULL, 0, &err), 0);
	json_decref(message);
}

void bench_say_phase(struct played_vmm *vmm, enum agent_phase phase)
{
	struct agent_event event = {.kind = AGENT_EVENT_PHASE, .phase = phase};

	vmm->phase = phase;
	say(vmm, agent_event_to_json(&event));
}

void bench_connect(struct bench *b, struct played_vmm *vmm, const char *id, enum agent_phase phase)
{
	struct agent_hello hello = {.id = id,
				    .pid = (uint32_t)getpid(),
				    .version = "0.1.0",
				    .phase = phase,
				    .preserve = vmm->preserve,
				    .memory = MIB,
				    .cpus = 1,
				    .tsc_khz = 1000000};
	struct error err = ERROR_INIT;

	snprintf(vmm->id, sizeof(vmm->id), "%s", id);
	vmm->phase = phase;
	assert_int_equal(sock_connect(b->luod.options.socket, SOCK_SEQPACKET | SOCK_NONBLOCK,
				      &vmm->fd, &err),
			 0);
	say(vmm, agent_hello_to_json(&hello));
	bench_settle(b);
}

static const enum agent_phase phase_after[AGENT_VERB_MAX] = {
	[AGENT_PREPARE] = AGENT_PHASE_PREPARED, [AGENT_FREEZE] = AGENT_PHASE_FROZEN,
	[AGENT_THAW] = AGENT_PHASE_PREPARED,	[AGENT_ABORT] = AGENT_PHASE_RUNNING,
	[AGENT_RESUME] = AGENT_PHASE_RESUMED,	[AGENT_FINISH] = AGENT_PHASE_RUNNING,
	[AGENT_EXPORT] = AGENT_PHASE_PREPARED,	[AGENT_ADOPT] = AGENT_PHASE_ADOPTED,
	[AGENT_RELEASE] = AGENT_PHASE_RELEASED, [AGENT_SNAPSHOT] = AGENT_PHASE_FROZEN,
	[AGENT_RESTORE] = AGENT_PHASE_RESUMED,
};

/* Two files of a guest. */
static void say_exported(struct played_vmm *vmm, struct agent_reply *reply)
{
	int fds[2] = {open("/dev/null", O_RDWR | O_CLOEXEC), open("/dev/zero", O_RDWR | O_CLOEXEC)};
	struct error err = ERROR_INIT;
	json_t *message;

	reply->tokens = (struct agent_tokens){2, {TOKEN_RAM_FIRST, TOKEN_VM_STATE}};
	message = agent_reply_to_json(reply);
	assert_int_equal(sock_send_json(vmm->fd, message, fds, 2, &err), 0);
	json_decref(message);
	close(fds[0]);
	close(fds[1]);
}

static void obey(struct played_vmm *vmm, const struct agent_request *request)
{
	struct agent_reply reply = {.seq = request->seq, .ok = true, .has_timeline = true};
	enum timeline_phase phase = request->verb == AGENT_PREPARE  ? TIMELINE_PREPARE
				    : request->verb == AGENT_FREEZE ? TIMELINE_FREEZE
								    : TIMELINE_RUN;

	if (request->verb != AGENT_POWER_BUTTON && request->verb != AGENT_SHUTDOWN)
		vmm->phase = phase_after[request->verb];
	reply.phase = vmm->phase;
	timeline_begin(&reply.timeline, phase);
	timeline_end(&reply.timeline, phase);
	if (request->verb == AGENT_EXPORT)
		say_exported(vmm, &reply);
	else
		say(vmm, agent_reply_to_json(&reply));
}

void bench_up_with_two(struct bench *b)
{
	static const char *const names[] = {"a", "b"};

	bench_up(b);
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		b->vmms[i].preserve = true;
		bench_connect(b, &b->vmms[i], names[i], AGENT_PHASE_RUNNING);
	}
}

void bench_begin_update(struct bench *b, const struct update_config *config)
{
	struct error err = ERROR_INIT;

	b->vmms[0].journal[0] = b->vmms[1].journal[0] = '\0';
	if (update_begin(&b->luod, config, &err) < 0)
		fail_msg("%s", error_message(&err));
}

void bench_answer(struct played_vmm *vmm, enum agent_verb verb)
{
	const struct agent_request request = {.seq = vmm->seq, .verb = verb};

	obey(vmm, &request);
}

static void refuse(struct played_vmm *vmm, const struct agent_request *request)
{
	bool cannot = vmm->conduct[request->verb] == CANNOT;
	struct agent_reply reply = {
		.seq = request->seq, .code = cannot ? -EOPNOTSUPP : -ENOMEM, .message = "no"};

	if (request->verb == AGENT_RESUME || request->verb == AGENT_RESTORE)
		vmm->phase = AGENT_PHASE_FAILED;
	reply.phase = vmm->phase;
	say(vmm, agent_reply_to_json(&reply));
}

static void act(struct played_vmm *vmm, const struct agent_request *request)
{
	struct agent_event event = {.kind = AGENT_EVENT_EXIT, .reason = "poweroff"};

	switch (vmm->conduct[request->verb]) {
	case OBEY:
		obey(vmm, request);
		break;
	case REFUSE:
	case CANNOT:
		refuse(vmm, request);
		break;
	case POWEROFF:
		say(vmm, agent_event_to_json(&event));
		close_fdp(&vmm->fd);
		break;
	case DIE:
		close_fdp(&vmm->fd);
		break;
	case WAIT:
		break;
	}
}

static void play(struct played_vmm *vmm)
{
	int fds[SOCK_FDS_MAX];
	unsigned int count = 0;
	struct agent_request request;
	struct error err = ERROR_INIT;
	size_t used = strlen(vmm->journal);
	json_t *message;

	if (vmm->fd < 0 || sock_recv_json(vmm->fd, &message, fds, &count, &err) < 0)
		return;
	assert_int_equal(agent_request_from_json(message, &request, &err), 0);
	json_decref(message);
	vmm->sessions += count;
	vmm->seq = request.seq;
	if (request.tokens.count)
		vmm->tokens = request.tokens;
	sock_close_fds(fds, count);
	snprintf(vmm->journal + used, sizeof(vmm->journal) - used, "%s%s", used ? " " : "",
		 agent_verb_name(request.verb));
	act(vmm, &request);
}

static void turn(struct bench *b)
{
	assert_int_equal(loop_run_once(b->luod.loop, 5), 0);
	for (unsigned int i = 0; i < BENCH_VMS; i++)
		play(&b->vmms[i]);
}

void bench_until(struct bench *b, bool (*done)(struct bench *b))
{
	uint64_t deadline = clock_monotonic_ns() + 20 * NSEC_PER_SEC;

	while (!done(b)) {
		if (clock_monotonic_ns() > deadline)
			fail_msg("it did not come to its end");
		turn(b);
	}
}

void bench_settle(struct bench *b)
{
	for (unsigned int i = 0; i < 5; i++)
		turn(b);
}

bool bench_update_ended(struct bench *b)
{
	return !b->luod.update && update_has_ended(&b->luod.registry.update);
}

struct vm_record *bench_record(struct bench *b, const char *id)
{
	struct vm_record *record = registry_find(&b->luod.registry, id);

	assert_non_null(record);
	return record;
}

void bench_assert_clean(struct bench *b)
{
	assert_null(b->luod.update);
	for (struct vm_record *record = b->luod.registry.vms; record; record = record->next)
		assert_int_equal(record->vm->session_fd, FD_NONE);
	assert_int_equal(bench_kernel.loads > 0 ? bench_kernel.unloads : 1,
			 MAX_OF(bench_kernel.loads, 1));
}
