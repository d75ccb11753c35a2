/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/agent.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/util.h"
#include "base/version.h"
#include "luo/agent.h"
#include "vmm/guest_memory.h"
#include "vmm/passthrough.h"

#define RETRY_NS NSEC_PER_SEC

struct agent {
	struct vm *vm;	   /* borrowed */
	struct loop *loop; /* borrowed */
	char path[PATH_MAX];
	int fd; /* owned; FD_NONE: not connected */
	struct loop_source *source;
	struct loop_timer *retry; /* owned */
	bool told_absent;	  /* one line in the log for each absence */
	bool busy;		  /* a request of seq is under way */
	uint32_t seq;
	enum agent_verb verb;
	unsigned int connection; /* counts them */
	unsigned int asked_on;	 /* the one that the request came by */
};

/* "retrieved" is a step on the way of ours; for luod the VM still waits. */
static enum agent_phase to_agent_phase(enum update_phase phase)
{
	static const enum agent_phase map[UPDATE_PHASE_MAX] = {
		[UPDATE_RUNNING] = AGENT_PHASE_RUNNING,
		[UPDATE_PREPARING] = AGENT_PHASE_PREPARING,
		[UPDATE_PREPARED] = AGENT_PHASE_PREPARED,
		[UPDATE_FREEZING] = AGENT_PHASE_FREEZING,
		[UPDATE_FROZEN] = AGENT_PHASE_FROZEN,
		[UPDATE_WAITING] = AGENT_PHASE_WAITING,
		[UPDATE_RETRIEVED] = AGENT_PHASE_WAITING,
		[UPDATE_LOADED] = AGENT_PHASE_LOADED,
		[UPDATE_RESUMED] = AGENT_PHASE_RESUMED,
		[UPDATE_FAILED] = AGENT_PHASE_FAILED,
		[UPDATE_ADOPTED] = AGENT_PHASE_ADOPTED,
		[UPDATE_RELEASED] = AGENT_PHASE_RELEASED,
	};

	return map[phase];
}

/* Released, and not taken back yet: another try may come, of whoever asks. */
static enum agent_phase phase_of(const struct vm *vm)
{
	if (vm_phase(vm) == UPDATE_FAILED && vm_has_table(vm))
		return AGENT_PHASE_RELEASED;
	return to_agent_phase(vm_phase(vm));
}

static void disconnect(struct agent *a)
{
	if (a->fd < 0)
		return;
	loop_remove_fd(a->source);
	a->source = NULL;
	close_fdp(&a->fd);
	loop_timer_arm(a->retry, RETRY_NS, 0);
}

/*
 * luod is gone, in the middle of an exchange. Who waits for a guest that another vmm runs waits for
 * nothing: the luod that comes next knows of no exchange. Who has released one has it back, unless
 * the other was quicker.
 */
static void lose(struct agent *a)
{
	const enum update_phase phase = vm_phase(a->vm);
	const struct vm_request mine = {
		.verb = phase == UPDATE_ADOPTED ? VM_QUIT : VM_RESUME_PRESERVED,
		.caller = VM_CALLER_AGENT,
		.session_fd = FD_NONE,
	};
	struct error err = ERROR_INIT;

	disconnect(a);
	if (phase != UPDATE_ADOPTED && phase != UPDATE_RELEASED)
		return;
	log_warning("the exchange of this vmm is off");
	if (vm_request(a->vm, &mine, NULL, NULL, &err) < 0)
		log_error("%s", error_message(&err));
}

/* Takes the reference. A luod that does not read loses the connection, and hears all in the next
 * hello. */
static void say_with_fds(struct agent *a, json_t *message, const int *fds, unsigned int count)
{
	struct error err = ERROR_INIT;

	if (a->fd >= 0 && (!message || sock_send_json(a->fd, message, fds, count, &err) < 0)) {
		log_warning("luod at %s: %s", a->path, error_message(&err));
		disconnect(a);
	}
	json_decref(message);
}

static void say(struct agent *a, json_t *message)
{
	say_with_fds(a, message, NULL, 0);
}

static void say_hello(struct agent *a)
{
	const struct vm_config *config = vm_config(a->vm);
	bool known = config->kernel[0] != '\0';
	json_t *document = known ? vm_config_to_json(config) : NULL;
	const struct agent_hello hello = {
		.id = config->id,
		.pid = (uint32_t)getpid(),
		.version = HOLDFAST_VERSION,
		.phase = phase_of(a->vm),
		.preserve = config->preserve_on_update,
		.memory = known ? vm_config_memory(config) : 0,
		.cpus = known ? config->cpus : 0,
		.api_socket = config->api_socket,
		.tsc_khz = vm_tsc_khz(a->vm),
		.config = document,
	};

	say(a, agent_hello_to_json(&hello));
	json_decref(document);
}

/* Its state, its memory, address spaces and devices. */
static_assert(1 + RAM_REGIONS_MAX + PASSTHROUGH_SPACES + VM_PASSED_MAX <= AGENT_TOKENS_MAX &&
		      AGENT_TOKENS_MAX <= SOCK_FDS_MAX,
	      "a message carries all descriptors of a VM");

/* The descriptors of an export that was just made. False: a message cannot carry so many. */
static bool list_exported(const struct agent *a, struct agent_tokens *tokens,
			  int fds[AGENT_TOKENS_MAX])
{
	const struct source_entry *entries = NULL;
	unsigned int count = vm_exported(a->vm, &entries);

	if (count > AGENT_TOKENS_MAX)
		return false;
	for (unsigned int i = 0; i < count; i++) {
		tokens->token[i] = entries[i].token;
		fds[i] = entries[i].fd;
	}
	tokens->count = count;
	return true;
}

static void reply(struct agent *a, uint32_t seq, int result, const struct error *err)
{
	static const struct error too_many = {.code = -E2BIG,
					      .message = "more descriptors than a message carries"};
	int fds[AGENT_TOKENS_MAX];
	struct agent_reply reply = {
		.seq = seq,
		.ok = result == 0,
		.phase = phase_of(a->vm),
		.code = result,
		.message = result < 0 ? error_message(err) : "",
		.has_timeline = true,
		.timeline = *vm_timeline(a->vm),
	};

	if (a->verb == AGENT_EXPORT && result == 0 && !list_exported(a, &reply.tokens, fds)) {
		reply.ok = false;
		reply.code = too_many.code;
		reply.message = too_many.message;
	}
	say_with_fds(a, agent_reply_to_json(&reply), fds, reply.tokens.count);
}

static void request_done(void *opaque, int result, const struct error *err)
{
	struct agent *a = opaque;

	a->busy = false;
	/* The luod that asked may be gone; a new one has read the phase in the hello. */
	if (a->fd >= 0 && a->asked_on == a->connection)
		reply(a, a->seq, result, err);
	if (a->source)
		loop_modify_fd(a->source, EPOLLIN);
}

/* What luod passes with "adopt"; takes the descriptors. */
static int make_table(const struct agent_request *request, const int *fds, unsigned int count,
		      struct source **ret, struct error *err)
{
	struct source_entry entries[AGENT_TOKENS_MAX];

	if (count != request->tokens.count) {
		sock_close_fds(fds, count);
		return error_set(err, -EBADMSG, "adopt: %u tokens, but %u descriptors",
				 request->tokens.count, count);
	}
	for (unsigned int i = 0; i < count; i++)
		entries[i] = (struct source_entry){request->tokens.token[i], fds[i]};
	return source_table_new(entries, count, ret, err);
}

/* Takes the descriptors. One has a meaning but for "adopt"; more have none. */
static int perform(struct agent *a, const struct agent_request *request, const int *fds,
		   unsigned int count, struct error *err)
{
	static const enum vm_verb verbs[AGENT_VERB_MAX] = {
		[AGENT_PREPARE] = VM_PREPARE,
		[AGENT_FREEZE] = VM_FREEZE,
		[AGENT_THAW] = VM_THAW,
		[AGENT_ABORT] = VM_ABORT,
		[AGENT_RESUME] = VM_RESUME_PRESERVED,
		[AGENT_FINISH] = VM_FINISH,
		[AGENT_POWER_BUTTON] = VM_POWER_BUTTON,
		[AGENT_SHUTDOWN] = VM_SHUTDOWN,
		[AGENT_EXPORT] = VM_EXPORT,
		[AGENT_ADOPT] = VM_ADOPT,
		[AGENT_RELEASE] = VM_RELEASE,
		[AGENT_SNAPSHOT] = VM_SNAPSHOT,
		[AGENT_RESTORE] = VM_RESTORE,
	};
	struct vm_request mine = {
		.verb = verbs[request->verb],
		.caller = VM_CALLER_AGENT,
		.timeout_ms = request->timeout_ms,
		.session_fd = FD_NONE,
	};
	int r;

	if (request->verb == AGENT_ADOPT) {
		r = make_table(request, fds, count, &mine.table, err);
		if (r < 0)
			return r;
	} else if (count > 0) {
		mine.session_fd = fds[0];
		sock_close_fds(fds + 1, count - 1);
	}
	return vm_request(a->vm, &mine, request_done, a, err);
}

/* Takes the descriptors. */
static void handle(struct agent *a, json_t *message, const int *fds, unsigned int count)
{
	struct agent_request request;
	struct error err = ERROR_INIT;
	int r;

	if (agent_request_from_json(message, &request, &err) < 0) {
		log_warning("luod at %s: %s", a->path, error_message(&err));
		sock_close_fds(fds, count);
		lose(a);
		return;
	}
	log_debug("luod asks: %s", agent_verb_name(request.verb));
	a->busy = true;
	a->seq = request.seq;
	a->verb = request.verb;
	a->asked_on = a->connection;
	/* The next request waits in the socket. */
	loop_modify_fd(a->source, 0);
	r = perform(a, &request, fds, count, &err);
	if (r < 0)
		request_done(a, r, &err);
}

static void readable(void *opaque, uint32_t events)
{
	struct agent *a = opaque;
	int fds[SOCK_FDS_MAX];
	unsigned int count = 0;
	struct error err = ERROR_INIT;
	json_t *message;
	int r;

	if (a->busy || !(events & EPOLLIN)) {
		log_warning("luod at %s went away", a->path);
		lose(a);
		return;
	}
	r = sock_recv_json(a->fd, &message, fds, &count, &err);
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r < 0) {
		log_warning("luod at %s: %s", a->path, error_message(&err));
		lose(a);
		return;
	}
	handle(a, message, fds, count);
	json_decref(message);
}

static void try_connect(void *opaque)
{
	struct agent *a = opaque;
	struct error err = ERROR_INIT;
	int r;

	/* Non-blocking: a luod whose queue is full is as good as absent for now. */
	r = sock_connect(a->path, SOCK_SEQPACKET | SOCK_NONBLOCK, &a->fd, &err);
	if (r == 0)
		r = loop_add_fd(a->loop, a->fd, a->busy ? 0 : EPOLLIN, readable, a, &a->source,
				&err);
	if (r < 0) {
		if (!a->told_absent)
			log_warning("luod: %s: trying on", error_message(&err));
		a->told_absent = true;
		close_fdp(&a->fd);
		loop_timer_arm(a->retry, RETRY_NS, 0);
		return;
	}
	a->told_absent = false;
	a->connection++;
	log_info("connected to luod at %s", a->path);
	say_hello(a);
}

int agent_new(struct vm *vm, struct loop *loop, const char *path, struct agent **ret,
	      struct error *err)
{
	struct agent *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return error_set(err, -ENOMEM, "agent: out of memory");
	*a = (struct agent){.vm = vm, .loop = loop, .fd = FD_NONE};
	snprintf(a->path, sizeof(a->path), "%s", path);
	r = loop_timer_new(loop, try_connect, a, &a->retry, err);
	if (r < 0) {
		free(a);
		return r;
	}
	loop_timer_arm(a->retry, 0, 0);
	*ret = a;
	return 0;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	disconnect(a);
	loop_timer_free(a->retry);
	free(a);
}

void agent_phase_changed(struct agent *a, enum update_phase phase)
{
	const struct agent_event event = {.kind = AGENT_EVENT_PHASE,
					  .phase = a ? phase_of(a->vm) : to_agent_phase(phase)};

	if (a && a->fd >= 0 && phase != UPDATE_RETRIEVED)
		say(a, agent_event_to_json(&event));
}

void agent_config_changed(struct agent *a)
{
	if (a && a->fd >= 0)
		say_hello(a);
}

void agent_say_device(struct agent *a, const struct device_news *news)
{
	static const enum agent_device_what map[DEVICE_NEWS_MAX] = {
		[DEVICE_NEWS_ERROR] = AGENT_DEVICE_ERROR,
		[DEVICE_NEWS_WANTED] = AGENT_DEVICE_WANTED,
		[DEVICE_NEWS_STAYS] = AGENT_DEVICE_STAYS,
		[DEVICE_NEWS_TAKEN_AWAY] = AGENT_DEVICE_TAKEN_AWAY,
		[DEVICE_NEWS_GONE] = AGENT_DEVICE_GONE,
	};
	const struct agent_event event = {
		.kind = AGENT_EVENT_DEVICE,
		.device = {.id = news->id,
			   .host = news->host,
			   .what = map[news->kind],
			   .message = news->text},
	};

	if (a && a->fd >= 0)
		say(a, agent_event_to_json(&event));
}

void agent_say_exit(struct agent *a, const char *reason)
{
	const struct agent_event event = {.kind = AGENT_EVENT_EXIT, .reason = reason};

	if (a && a->fd >= 0)
		say(a, agent_event_to_json(&event));
}
