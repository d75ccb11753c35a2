/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/agent.h"

#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "luo/tokens.h"

static const char *const verb_names[AGENT_VERB_MAX] = {
	[AGENT_PREPARE] = "prepare",
	[AGENT_FREEZE] = "freeze",
	[AGENT_THAW] = "thaw",
	[AGENT_ABORT] = "abort",
	[AGENT_RESUME] = "resume",
	[AGENT_FINISH] = "finish",
	[AGENT_POWER_BUTTON] = "power-button",
	[AGENT_SHUTDOWN] = "shutdown",
	[AGENT_EXPORT] = "export",
	[AGENT_ADOPT] = "adopt",
	[AGENT_RELEASE] = "release",
	[AGENT_SNAPSHOT] = "snapshot",
	[AGENT_RESTORE] = "restore",
};

static const char *const phase_names[AGENT_PHASE_MAX] = {
	[AGENT_PHASE_RUNNING] = "running",   [AGENT_PHASE_PREPARING] = "preparing",
	[AGENT_PHASE_PREPARED] = "prepared", [AGENT_PHASE_FREEZING] = "freezing",
	[AGENT_PHASE_FROZEN] = "frozen",     [AGENT_PHASE_WAITING] = "waiting",
	[AGENT_PHASE_LOADED] = "loaded",     [AGENT_PHASE_RESUMED] = "resumed",
	[AGENT_PHASE_FAILED] = "failed",     [AGENT_PHASE_ADOPTED] = "adopted",
	[AGENT_PHASE_RELEASED] = "released",
};

static const char *const type_names[] = {
	[AGENT_HELLO] = "hello",
	[AGENT_REQUEST] = "request",
	[AGENT_REPLY] = "reply",
	[AGENT_EVENT] = "event",
};

static const char *const event_names[] = {
	[AGENT_EVENT_PHASE] = "phase",
	[AGENT_EVENT_EXIT] = "exit",
	[AGENT_EVENT_DEVICE] = "device",
};

static const char *const device_whats[AGENT_DEVICE_WHAT_MAX] = {
	[AGENT_DEVICE_ERROR] = "error", [AGENT_DEVICE_WANTED] = "wanted",
	[AGENT_DEVICE_STAYS] = "stays", [AGENT_DEVICE_TAKEN_AWAY] = "taken-away",
	[AGENT_DEVICE_GONE] = "gone",
};

static int find_name(const char *const *names, unsigned int count, const char *name)
{
	for (unsigned int i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return (int)i;
	}
	return -EINVAL;
}

const char *agent_verb_name(enum agent_verb verb)
{
	return (unsigned int)verb < AGENT_VERB_MAX ? verb_names[verb] : "unknown";
}

int agent_verb_parse(const char *name, enum agent_verb *ret)
{
	int i = find_name(verb_names, AGENT_VERB_MAX, name);

	if (i < 0)
		return i;
	*ret = (enum agent_verb)i;
	return 0;
}

const char *agent_phase_name(enum agent_phase phase)
{
	return (unsigned int)phase < AGENT_PHASE_MAX ? phase_names[phase] : "unknown";
}

int agent_phase_parse(const char *name, enum agent_phase *ret)
{
	int i = find_name(phase_names, AGENT_PHASE_MAX, name);

	if (i < 0)
		return i;
	*ret = (enum agent_phase)i;
	return 0;
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

const char *agent_device_what_name(enum agent_device_what what)
{
	return (unsigned int)what < AGENT_DEVICE_WHAT_MAX ? device_whats[what] : "unknown";
}

bool agent_id_is_valid(const char *id)
{
	size_t len = strlen(id);

	if (len == 0 || len > LUO_VM_ID_MAX || !is_alnum(id[0]))
		return false;
	for (const char *p = id; *p; p++) {
		if (!is_alnum(*p) && !strchr("-_.", *p))
			return false;
	}
	return true;
}

int agent_message_type(const json_t *message, enum agent_message_type *ret, struct error *err)
{
	const char *type = json_string_value(json_object_get(message, "type"));
	int i = type ? find_name(type_names, ARRAY_SIZE(type_names), type) : -EINVAL;

	if (i < 0)
		return error_set(err, -EBADMSG,
				 "message: \"type\" is none of hello, request, reply, event");
	*ret = (enum agent_message_type)i;
	return 0;
}

/* The reader of a message; its problems, if any, become the error of end_message(). */
struct message_reader {
	struct json_reader r;
	struct problems problems;
	const char *type;
};

static void begin_message(struct message_reader *m, json_t *message, enum agent_message_type type)
{
	const char *got;

	*m = (struct message_reader){.type = type_names[type]};
	json_reader_init(&m->r, message, "", &m->problems);
	got = json_get_string(&m->r, "type", "", 16);
	if (strcmp(got, m->type) != 0)
		problem_add(&m->problems, "type: must be \"%s\"", m->type);
}

static int end_message(struct message_reader *m, struct error *err)
{
	json_reader_end(&m->r);
	if (!m->problems.count)
		return 0;
	return error_set(err, -EBADMSG, "%s message: %s", m->type, m->problems.text);
}

static void require(struct message_reader *m, const char *key)
{
	if (!json_has(&m->r, key))
		problem_add(&m->problems, "%s: missing", key);
}

static enum agent_phase get_phase(struct message_reader *m)
{
	const char *name = json_get_string(&m->r, "phase", "", 32);
	enum agent_phase phase = AGENT_PHASE_RUNNING;

	if (!json_has(&m->r, "phase"))
		problem_add(&m->problems, "phase: missing");
	else if (agent_phase_parse(name, &phase) < 0)
		problem_add(&m->problems, "phase: unknown phase \"%s\"", name);
	return phase;
}

json_t *agent_hello_to_json(const struct agent_hello *hello)
{
	json_t *message = json_pack(
		"{s:s, s:s, s:I, s:s, s:s, s:b, s:I, s:I}", "type", "hello", "id", hello->id, "pid",
		(json_int_t)hello->pid, "version", hello->version ? hello->version : "", "phase",
		agent_phase_name(hello->phase), "preserve", hello->preserve, "memory",
		(json_int_t)hello->memory, "cpus", (json_int_t)hello->cpus);

	if (!message)
		return NULL;
	if (hello->api_socket && hello->api_socket[0])
		json_object_set_new(message, "api-socket", json_string(hello->api_socket));
	if (hello->tsc_khz)
		json_object_set_new(message, "tsc-khz", json_integer((json_int_t)hello->tsc_khz));
	if (hello->config)
		json_object_set(message, "config", hello->config);
	return message;
}

int agent_hello_from_json(json_t *message, struct agent_hello *ret, struct error *err)
{
	struct agent_hello hello;
	struct message_reader m;
	int r;

	begin_message(&m, message, AGENT_HELLO);
	hello = (struct agent_hello){
		.id = json_get_string(&m.r, "id", "", LUO_VM_ID_MAX + 1),
		.pid = (uint32_t)json_get_u64(&m.r, "pid", 0, 1, INT32_MAX),
		.version = json_get_string(&m.r, "version", "", 64),
		.phase = get_phase(&m),
		.preserve = json_get_bool(&m.r, "preserve", false),
		.memory = json_get_u64(&m.r, "memory", 0, 0, INT64_MAX),
		.cpus = (uint32_t)json_get_u64(&m.r, "cpus", 0, 0, UINT16_MAX),
		.api_socket = json_get_string(&m.r, "api-socket", "", PATH_MAX),
		.tsc_khz = json_get_u64(&m.r, "tsc-khz", 0, 0, UINT32_MAX),
		.config = json_get_object(&m.r, "config"),
	};
	require(&m, "pid");
	if (!agent_id_is_valid(hello.id))
		problem_add(
			&m.problems,
			"id: must be 1 to %d letters, digits, '-', '_' or '.', the first a letter"
			" or digit",
			LUO_VM_ID_MAX);
	r = end_message(&m, err);
	if (r == 0)
		*ret = hello;
	return r;
}

static void set_tokens(json_t *message, const struct agent_tokens *tokens)
{
	json_t *array;

	if (!tokens->count)
		return;
	array = json_array();
	for (unsigned int i = 0; i < tokens->count; i++)
		json_array_append_new(array, json_integer((json_int_t)tokens->token[i]));
	json_object_set_new(message, "tokens", array);
}

static void read_tokens(struct message_reader *m, struct agent_tokens *tokens)
{
	json_t *array = json_get_array(&m->r, "tokens"), *value;
	size_t i;

	if (json_array_size(array) > AGENT_TOKENS_MAX) {
		problem_add(&m->problems, "tokens: more than %d", AGENT_TOKENS_MAX);
		return;
	}
	json_array_foreach(array, i, value)
	{
		json_int_t token = json_is_integer(value) ? json_integer_value(value) : -1;

		for (size_t k = 0; k < i; k++)
			token = (json_int_t)tokens->token[k] == token ? -1 : token;
		if (token < 0)
			problem_add(&m->problems, "tokens[%zu]: no token, or there twice", i);
		tokens->token[i] = (uint64_t)token;
	}
	tokens->count = (unsigned int)json_array_size(array);
}

json_t *agent_request_to_json(const struct agent_request *request)
{
	json_t *message =
		json_pack("{s:s, s:I, s:s}", "type", "request", "seq", (json_int_t)request->seq,
			  "verb", agent_verb_name(request->verb));

	if (message && request->timeout_ms)
		json_object_set_new(message, "timeout-ms",
				    json_integer((json_int_t)request->timeout_ms));
	if (message)
		set_tokens(message, &request->tokens);
	return message;
}

int agent_request_from_json(json_t *message, struct agent_request *ret, struct error *err)
{
	struct agent_request request;
	struct message_reader m;
	const char *verb;
	int r;

	begin_message(&m, message, AGENT_REQUEST);
	request = (struct agent_request){
		.seq = (uint32_t)json_get_u64(&m.r, "seq", 0, 0, UINT32_MAX),
		.timeout_ms = (uint32_t)json_get_u64(&m.r, "timeout-ms", 0, 1, UINT32_MAX),
	};
	require(&m, "seq");
	verb = json_get_string(&m.r, "verb", "", 32);
	if (agent_verb_parse(verb, &request.verb) < 0)
		problem_add(&m.problems, "verb: unknown verb \"%s\"", verb);
	read_tokens(&m, &request.tokens);
	r = end_message(&m, err);
	if (r == 0)
		*ret = request;
	return r;
}

json_t *agent_reply_to_json(const struct agent_reply *reply)
{
	json_t *message =
		json_pack("{s:s, s:I, s:b, s:s}", "type", "reply", "seq", (json_int_t)reply->seq,
			  "ok", reply->ok, "phase", agent_phase_name(reply->phase));

	if (!message)
		return NULL;
	if (!reply->ok)
		json_object_set_new(message, "error",
				    json_pack("{s:i, s:s}", "errno", -reply->code, "message",
					      reply->message ? reply->message : ""));
	if (reply->has_timeline)
		json_object_set_new(message, "timeline", timeline_to_json(&reply->timeline));
	set_tokens(message, &reply->tokens);
	return message;
}

static void read_error(struct message_reader *m, struct agent_reply *reply)
{
	json_t *object = json_get_object(&m->r, "error");
	struct json_reader r;

	if (reply->ok) {
		if (object)
			problem_add(&m->problems, "error: not with \"ok\": true");
		return;
	}
	if (!object)
		problem_add(&m->problems, "error: missing");
	json_reader_init(&r, object, "error", &m->problems);
	/* An unset errno must not read as success: EIO stands for it. */
	reply->code = -(int)json_get_u64(&r, "errno", EIO, 1, 4095);
	reply->message = json_get_string(&r, "message", "", ERROR_MESSAGE_MAX);
	json_reader_end(&r);
}

int agent_reply_from_json(json_t *message, struct agent_reply *ret, struct error *err)
{
	struct agent_reply reply = {.message = ""};
	struct error why = ERROR_INIT;
	struct message_reader m;
	json_t *timeline;
	int r;

	begin_message(&m, message, AGENT_REPLY);
	reply.seq = (uint32_t)json_get_u64(&m.r, "seq", 0, 0, UINT32_MAX);
	reply.ok = json_get_bool(&m.r, "ok", false);
	reply.phase = get_phase(&m);
	require(&m, "seq");
	require(&m, "ok");
	read_error(&m, &reply);
	read_tokens(&m, &reply.tokens);
	timeline = json_get_array(&m.r, "timeline");
	if (timeline) {
		reply.has_timeline = true;
		if (timeline_from_json(timeline, &reply.timeline, &why) < 0)
			problem_add(&m.problems, "%s", error_message(&why));
	}
	r = end_message(&m, err);
	if (r == 0)
		*ret = reply;
	return r;
}

json_t *agent_event_to_json(const struct agent_event *event)
{
	if (event->kind == AGENT_EVENT_PHASE)
		return json_pack("{s:s, s:s, s:s}", "type", "event", "event", "phase", "phase",
				 agent_phase_name(event->phase));
	if (event->kind == AGENT_EVENT_DEVICE)
		return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", "event", "event",
				 "device", "device", event->device.id, "host",
				 event->device.host ? event->device.host : "", "what",
				 agent_device_what_name(event->device.what), "message",
				 event->device.message ? event->device.message : "");
	return json_pack("{s:s, s:s, s:s}", "type", "event", "event", "exit", "reason",
			 event->reason ? event->reason : "");
}

static void read_device(struct message_reader *m, struct agent_device *device)
{
	const char *what;
	int i;

	*device = (struct agent_device){
		.id = json_get_string(&m->r, "device", "", 64),
		.host = json_get_string(&m->r, "host", "", 64),
		.message = json_get_string(&m->r, "message", "", ERROR_MESSAGE_MAX),
	};
	what = json_get_string(&m->r, "what", "", 32);
	i = find_name(device_whats, ARRAY_SIZE(device_whats), what);
	require(m, "device");
	if (i < 0)
		problem_add(&m->problems, "what: unknown \"%s\"", what);
	device->what = (enum agent_device_what)MAX_OF(i, 0);
}

int agent_event_from_json(json_t *message, struct agent_event *ret, struct error *err)
{
	struct agent_event event = {.reason = ""};
	struct message_reader m;
	const char *name;
	int kind, r;

	begin_message(&m, message, AGENT_EVENT);
	name = json_get_string(&m.r, "event", "", 32);
	kind = find_name(event_names, ARRAY_SIZE(event_names), name);
	switch (kind) {
	case AGENT_EVENT_PHASE:
		event.phase = get_phase(&m);
		break;
	case AGENT_EVENT_EXIT:
		event.reason = json_get_string(&m.r, "reason", "", AGENT_REASON_MAX);
		break;
	case AGENT_EVENT_DEVICE:
		read_device(&m, &event.device);
		break;
	default:
		problem_add(&m.problems, "event: unknown event \"%s\"", name);
		break;
	}
	r = end_message(&m, err);
	if (r < 0)
		return r;
	event.kind = (enum agent_event_kind)kind;
	*ret = event;
	return 0;
}
