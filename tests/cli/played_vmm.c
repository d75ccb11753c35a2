/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vmm without a machine: it says hello to luod and does all that it is asked, each thing in
 * HOLDFAST_PLAYED_MS milliseconds.
 *
 * usage: played_vmm --config FILE --agent SOCKET | --resume --id ID --agent SOCKET
 *
 * What it refuses is in the environment: HOLDFAST_PLAYED_REFUSE="freeze:web2" or "resume:web2".
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/sock.h"
#include "base/util.h"
#include "luo/agent.h"
#include "luo/tokens.h"

struct played {
	int fd;
	char id[LUO_VM_ID_MAX + 1];
	enum agent_phase phase;
	struct timeline timeline;
	int delay_ms;
};

static const enum agent_phase phase_after[AGENT_VERB_MAX] = {
	[AGENT_PREPARE] = AGENT_PHASE_PREPARED,	    [AGENT_FREEZE] = AGENT_PHASE_FROZEN,
	[AGENT_THAW] = AGENT_PHASE_PREPARED,	    [AGENT_ABORT] = AGENT_PHASE_RUNNING,
	[AGENT_RESUME] = AGENT_PHASE_RESUMED,	    [AGENT_FINISH] = AGENT_PHASE_RUNNING,
	[AGENT_POWER_BUTTON] = AGENT_PHASE_RUNNING, [AGENT_SHUTDOWN] = AGENT_PHASE_RUNNING,
};

static int say(struct played *vmm, json_t *message)
{
	struct error err = ERROR_INIT;
	int r = sock_send_json(vmm->fd, message, NULL, 0, &err);

	json_decref(message);
	return r;
}

/* What KVM would tell. */
static uint64_t measure_tsc_khz(void)
{
	uint64_t ns = clock_monotonic_ns(), ticks = clock_tsc();

	poll(NULL, 0, 20);
	ns = clock_monotonic_ns() - ns;
	return (uint64_t)((double)(clock_tsc() - ticks) * 1e6 / (double)ns);
}

static int hello(struct played *vmm)
{
	struct agent_hello message = {.id = vmm->id,
				      .pid = (uint32_t)getpid(),
				      .version = "played",
				      .phase = vmm->phase,
				      .preserve = true,
				      .memory = 512 * MIB,
				      .cpus = 2,
				      .tsc_khz = measure_tsc_khz()};

	return say(vmm, agent_hello_to_json(&message));
}

static void stamp(struct played *vmm, enum timeline_phase phase)
{
	timeline_begin(&vmm->timeline, phase);
	poll(NULL, 0, vmm->delay_ms);
	timeline_end(&vmm->timeline, phase);
}

static void do_it(struct played *vmm, enum agent_verb verb)
{
	if (verb == AGENT_PREPARE)
		stamp(vmm, TIMELINE_PREPARE);
	if (verb == AGENT_FREEZE)
		stamp(vmm, TIMELINE_FREEZE);
	if (verb == AGENT_RESUME) {
		stamp(vmm, TIMELINE_RETRIEVE);
		stamp(vmm, TIMELINE_LOAD);
		stamp(vmm, TIMELINE_RUN);
	}
	if (verb == AGENT_FINISH)
		stamp(vmm, TIMELINE_FINISH);
	vmm->phase = phase_after[verb];
}

static bool refuses(const struct played *vmm, enum agent_verb verb)
{
	const char *text = getenv("HOLDFAST_PLAYED_REFUSE");
	char own[128];

	snprintf(own, sizeof(own), "%s:%s", agent_verb_name(verb), vmm->id);
	return text && strcmp(text, own) == 0;
}

static int answer(struct played *vmm, const struct agent_request *request)
{
	struct agent_reply reply = {.seq = request->seq, .ok = true, .has_timeline = true};

	if (refuses(vmm, request->verb)) {
		if (request->verb == AGENT_RESUME)
			vmm->phase = AGENT_PHASE_FAILED;
		reply = (struct agent_reply){
			.seq = request->seq, .code = -ENOMEM, .message = "it was told to refuse"};
	} else {
		do_it(vmm, request->verb);
		reply.timeline = vmm->timeline;
	}
	reply.phase = vmm->phase;
	return say(vmm, agent_reply_to_json(&reply));
}

static int serve(struct played *vmm)
{
	for (;;) {
		struct agent_request request;
		struct error err = ERROR_INIT;
		unsigned int count = 0;
		int fds[SOCK_FDS_MAX];
		json_t *message;
		int r = sock_recv_json(vmm->fd, &message, fds, &count, &err);

		if (r < 0)
			return r == -EPIPE ? 0 : 1;
		sock_close_fds(fds, count);
		r = agent_request_from_json(message, &request, &err);
		json_decref(message);
		if (r < 0 || answer(vmm, &request) < 0)
			return 1;
		if (request.verb == AGENT_SHUTDOWN) {
			struct agent_event event = {.kind = AGENT_EVENT_EXIT, .reason = "shutdown"};

			return say(vmm, agent_event_to_json(&event)) < 0;
		}
	}
}

int main(int argc, char **argv)
{
	const char *ms = getenv("HOLDFAST_PLAYED_MS"), *agent = "";
	struct played vmm = {.fd = FD_NONE, .delay_ms = ms ? atoi(ms) : 0};
	struct error err = ERROR_INIT;
	json_t *config = NULL;

	for (int i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--agent") == 0)
			agent = argv[i + 1];
		if (strcmp(argv[i], "--id") == 0)
			snprintf(vmm.id, sizeof(vmm.id), "%s", argv[i + 1]);
		if (strcmp(argv[i], "--config") == 0 &&
		    json_load_path(argv[i + 1], &config, &err) == 0)
			snprintf(vmm.id, sizeof(vmm.id), "%s",
				 json_string_value(json_object_get(config, "id")));
	}
	vmm.phase = config ? AGENT_PHASE_RUNNING : AGENT_PHASE_WAITING;
	json_decref(config);
	if (sock_connect(agent, SOCK_SEQPACKET, &vmm.fd, &err) < 0 || hello(&vmm) < 0) {
		fprintf(stderr, "played_vmm: %s\n", error_message(&err));
		return 1;
	}
	return serve(&vmm);
}
