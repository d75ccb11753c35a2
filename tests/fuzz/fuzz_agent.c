/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between vmm and luod: any bytes. What one reader accepts must come out the same when it
 * is built and read again, and no message is two kinds at once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "luo/agent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static bool try_hello(json_t *message)
{
	struct agent_hello hello, again;
	struct error err = ERROR_INIT;
	json_t *copy;

	if (agent_hello_from_json(message, &hello, &err) < 0)
		return false;
	must(agent_id_is_valid(hello.id) && strlen(hello.id) < 64);
	copy = agent_hello_to_json(&hello);
	must(copy && agent_hello_from_json(copy, &again, &err) == 0);
	must(again.phase == hello.phase && again.pid == hello.pid && again.memory == hello.memory &&
	     again.cpus == hello.cpus && again.tsc_khz == hello.tsc_khz &&
	     again.preserve == hello.preserve && !strcmp(again.id, hello.id) &&
	     !strcmp(again.api_socket, hello.api_socket));
	json_decref(copy);
	return true;
}

static bool try_request(json_t *message)
{
	struct agent_request request, again;
	struct error err = ERROR_INIT;
	json_t *copy;

	if (agent_request_from_json(message, &request, &err) < 0)
		return false;
	copy = agent_request_to_json(&request);
	must(copy && agent_request_from_json(copy, &again, &err) == 0);
	must(again.seq == request.seq && again.verb == request.verb &&
	     again.timeout_ms == request.timeout_ms);
	json_decref(copy);
	return true;
}

static bool try_reply(json_t *message)
{
	struct agent_reply reply, again;
	struct error err = ERROR_INIT;
	json_t *copy;

	if (agent_reply_from_json(message, &reply, &err) < 0)
		return false;
	must(reply.ok == (reply.code == 0));
	copy = agent_reply_to_json(&reply);
	must(copy && agent_reply_from_json(copy, &again, &err) == 0);
	must(again.seq == reply.seq && again.ok == reply.ok && again.code == reply.code &&
	     again.phase == reply.phase && !strcmp(again.message, reply.message) &&
	     again.has_timeline == reply.has_timeline &&
	     !memcmp(&again.timeline, &reply.timeline, sizeof(reply.timeline)));
	json_decref(copy);
	return true;
}

static bool try_event(json_t *message)
{
	struct agent_event event, again;
	struct error err = ERROR_INIT;
	json_t *copy;

	if (agent_event_from_json(message, &event, &err) < 0)
		return false;
	copy = agent_event_to_json(&event);
	must(copy && agent_event_from_json(copy, &again, &err) == 0);
	must(again.kind == event.kind && !strcmp(again.reason, event.reason));
	json_decref(copy);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *message = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	enum agent_message_type type = AGENT_HELLO;
	bool typed, accepted[4];

	if (!message)
		return 0;
	typed = agent_message_type(message, &type, NULL) == 0;
	accepted[AGENT_HELLO] = try_hello(message);
	accepted[AGENT_REQUEST] = try_request(message);
	accepted[AGENT_REPLY] = try_reply(message);
	accepted[AGENT_EVENT] = try_event(message);
	for (unsigned int i = 0; i < ARRAY_SIZE(accepted); i++)
		must(!accepted[i] || (typed && type == i));
	json_decref(message);
	return 0;
}
