/* SPDX-License-Identifier: Apache-2.0 */
/* luo/agent: every message both ways, and every way in which one can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/agent.h"

static json_t *parse(const char *text)
{
	json_error_t why;
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &why);

	if (!json)
		fail_msg("%s: %s", text, why.text);
	return json;
}

static void test_names(void **state _unused_)
{
	enum agent_phase phase;
	enum agent_verb verb;

	for (unsigned int i = 0; i < AGENT_VERB_MAX; i++) {
		assert_int_equal(agent_verb_parse(agent_verb_name((enum agent_verb)i), &verb), 0);
		assert_int_equal(verb, i);
	}
	for (unsigned int i = 0; i < AGENT_PHASE_MAX; i++) {
		assert_int_equal(agent_phase_parse(agent_phase_name((enum agent_phase)i), &phase),
				 0);
		assert_int_equal(phase, i);
	}
	assert_int_equal(agent_verb_parse("dance", &verb), -EINVAL);
	assert_int_equal(agent_phase_parse("dancing", &phase), -EINVAL);
	assert_string_equal(agent_verb_name(AGENT_VERB_MAX), "unknown");
	assert_string_equal(agent_phase_name(AGENT_PHASE_MAX), "unknown");
}

static void test_ids(void **state _unused_)
{
	char id[64];

	assert_true(agent_id_is_valid("web1"));
	assert_true(agent_id_is_valid("0.a-b_C"));
	assert_false(agent_id_is_valid(""));
	assert_false(agent_id_is_valid(".hidden"));
	assert_false(agent_id_is_valid("a/b"));
	assert_false(agent_id_is_valid("a b"));
	memset(id, 'x', sizeof(id));
	id[61] = '\0';
	assert_false(agent_id_is_valid(id));
	id[60] = '\0';
	assert_true(agent_id_is_valid(id));
}

static void test_hello(void **state _unused_)
{
	json_t *config = parse("{\"memory\": \"1G\"}");
	struct agent_hello in = {.id = "web1",
				 .pid = 42,
				 .version = "0.1.0",
				 .phase = AGENT_PHASE_FROZEN,
				 .preserve = true,
				 .memory = 1ULL << 40,
				 .cpus = 2,
				 .api_socket = "/run/web1.sock",
				 .tsc_khz = 2100000,
				 .config = config},
			   out;
	struct error err = ERROR_INIT;
	enum agent_message_type type;
	json_t *message = agent_hello_to_json(&in);

	assert_int_equal(agent_message_type(message, &type, &err), 0);
	assert_int_equal(type, AGENT_HELLO);
	assert_int_equal(agent_hello_from_json(message, &out, &err), 0);
	assert_string_equal(out.id, "web1");
	assert_int_equal(out.pid, 42);
	assert_string_equal(out.version, "0.1.0");
	assert_int_equal(out.phase, AGENT_PHASE_FROZEN);
	assert_true(out.preserve);
	assert_int_equal(out.memory, 1ULL << 40);
	assert_int_equal(out.cpus, 2);
	assert_string_equal(out.api_socket, "/run/web1.sock");
	assert_int_equal(out.tsc_khz, 2100000);
	assert_true(json_equal(out.config, config));
	json_decref(message);
	json_decref(config);

	/* The least that is a hello. */
	message = parse("{\"type\":\"hello\",\"id\":\"a\",\"pid\":1,\"phase\":\"waiting\"}");
	assert_int_equal(agent_hello_from_json(message, &out, &err), 0);
	assert_string_equal(out.api_socket, "");
	assert_false(out.preserve);
	assert_null(out.config);
	json_decref(message);
}

static void test_request(void **state _unused_)
{
	struct error err = ERROR_INIT;
	enum agent_message_type type;

	for (unsigned int i = 0; i < AGENT_VERB_MAX; i++) {
		struct agent_request in = {
			.seq = UINT32_MAX - i, .verb = (enum agent_verb)i, .timeout_ms = i * 1000};
		struct agent_request out;
		json_t *message = agent_request_to_json(&in);

		assert_int_equal(agent_message_type(message, &type, &err), 0);
		assert_int_equal(type, AGENT_REQUEST);
		assert_int_equal(agent_request_from_json(message, &out, &err), 0);
		assert_int_equal(out.seq, in.seq);
		assert_int_equal(out.verb, in.verb);
		assert_int_equal(out.timeout_ms, in.timeout_ms);
		json_decref(message);
	}
}

static void test_reply(void **state _unused_)
{
	struct agent_reply good = {.seq = 7, .ok = true, .phase = AGENT_PHASE_PREPARED};
	struct agent_reply bad = {.seq = 8,
				  .phase = AGENT_PHASE_RUNNING,
				  .code = -ENOMEM,
				  .message = "guest memory: no"};
	struct agent_reply out;
	struct error err = ERROR_INIT;
	enum agent_message_type type;
	json_t *message;

	good.has_timeline = true;
	good.timeline.phases[TIMELINE_PREPARE].begin_tsc = 5;
	good.timeline.phases[TIMELINE_PREPARE].end_tsc = 6;
	message = agent_reply_to_json(&good);
	assert_int_equal(agent_message_type(message, &type, &err), 0);
	assert_int_equal(type, AGENT_REPLY);
	assert_int_equal(agent_reply_from_json(message, &out, &err), 0);
	assert_true(out.ok && out.has_timeline);
	assert_int_equal(out.phase, AGENT_PHASE_PREPARED);
	assert_memory_equal(&out.timeline, &good.timeline, sizeof(out.timeline));
	json_decref(message);

	message = agent_reply_to_json(&bad);
	assert_int_equal(agent_reply_from_json(message, &out, &err), 0);
	assert_false(out.ok || out.has_timeline);
	assert_int_equal(out.code, -ENOMEM);
	assert_string_equal(out.message, "guest memory: no");
	json_decref(message);
}

/* What the descriptors beside a message are; as many as a message can carry. */
static void test_tokens(void **state _unused_)
{
	struct agent_request request = {.verb = AGENT_ADOPT}, out;
	struct agent_reply reply = {.ok = true}, reply_out;
	struct error err = ERROR_INIT;
	json_t *message;

	for (unsigned int i = 0; i < AGENT_TOKENS_MAX; i++)
		request.tokens.token[i] = 0x100 * i;
	request.tokens.count = AGENT_TOKENS_MAX;
	reply.tokens = request.tokens;
	message = agent_request_to_json(&request);
	assert_int_equal(agent_request_from_json(message, &out, &err), 0);
	assert_memory_equal(&out.tokens, &request.tokens, sizeof(out.tokens));
	/* One more, so large that it is no other's. */
	json_array_append_new(json_object_get(message, "tokens"), json_integer(0x7fff));
	assert_int_equal(agent_request_from_json(message, &out, &err), -EBADMSG);
	json_decref(message);
	message = agent_reply_to_json(&reply);
	assert_int_equal(agent_reply_from_json(message, &reply_out, &err), 0);
	assert_memory_equal(&reply_out.tokens, &reply.tokens, sizeof(reply_out.tokens));
	json_decref(message);
}

static void test_event(void **state _unused_)
{
	struct agent_event phase = {.kind = AGENT_EVENT_PHASE, .phase = AGENT_PHASE_LOADED};
	struct agent_event gone = {.kind = AGENT_EVENT_EXIT, .reason = "poweroff"};
	struct error err = ERROR_INIT;
	enum agent_message_type type;
	struct agent_event out;
	json_t *message = agent_event_to_json(&phase);

	assert_int_equal(agent_message_type(message, &type, &err), 0);
	assert_int_equal(type, AGENT_EVENT);
	assert_int_equal(agent_event_from_json(message, &out, &err), 0);
	assert_int_equal(out.kind, AGENT_EVENT_PHASE);
	assert_int_equal(out.phase, AGENT_PHASE_LOADED);
	json_decref(message);
	message = agent_event_to_json(&gone);
	assert_int_equal(agent_event_from_json(message, &out, &err), 0);
	assert_int_equal(out.kind, AGENT_EVENT_EXIT);
	assert_string_equal(out.reason, "poweroff");
	json_decref(message);
}

static void test_device_event(void **state _unused_)
{
	static const char *const whats[AGENT_DEVICE_WHAT_MAX] = {"error", "wanted", "stays",
								 "taken-away", "gone"};
	struct error err = ERROR_INIT;

	for (unsigned int i = 0; i < AGENT_DEVICE_WHAT_MAX; i++) {
		const struct agent_event in = {.kind = AGENT_EVENT_DEVICE,
					       .device = {.id = "nic0",
							  .host = i ? "0000:65:00.0" : NULL,
							  .what = (enum agent_device_what)i,
							  .message = "has failed"}};
		json_t *message = agent_event_to_json(&in);
		struct agent_event out;

		assert_string_equal(json_string_value(json_object_get(message, "what")), whats[i]);
		assert_int_equal(agent_event_from_json(message, &out, &err), 0);
		assert_int_equal(out.kind, AGENT_EVENT_DEVICE);
		assert_string_equal(out.device.id, "nic0");
		assert_string_equal(out.device.host, i ? "0000:65:00.0" : "");
		assert_int_equal(out.device.what, i);
		assert_string_equal(out.device.message, "has failed");
		json_decref(message);
	}
	assert_string_equal(agent_device_what_name(AGENT_DEVICE_WHAT_MAX), "unknown");
}

/* text is refused as each of the messages, for its own reason as `says` tells. */
static void refuse(enum agent_message_type type, const char *text, const char *says)
{
	struct error err = ERROR_INIT;
	json_t *message = parse(text);
	union {
		struct agent_hello hello;
		struct agent_request request;
		struct agent_reply reply;
		struct agent_event event;
	} out;
	int r = 0;

	switch (type) {
	case AGENT_HELLO:
		r = agent_hello_from_json(message, &out.hello, &err);
		break;
	case AGENT_REQUEST:
		r = agent_request_from_json(message, &out.request, &err);
		break;
	case AGENT_REPLY:
		r = agent_reply_from_json(message, &out.reply, &err);
		break;
	case AGENT_EVENT:
		r = agent_event_from_json(message, &out.event, &err);
		break;
	}
	assert_int_equal(r, -EBADMSG);
	if (!strstr(err.message, says))
		fail_msg("%s: \"%s\" does not say \"%s\"", text, err.message, says);
	json_decref(message);
}

static void test_refused(void **state _unused_)
{
	refuse(AGENT_HELLO, "[]", "must be an object");
	refuse(AGENT_HELLO, "{\"type\":\"reply\"}", "type: must be \"hello\"");
	refuse(AGENT_HELLO, "{\"type\":\"hello\"}", "phase: missing; pid: missing; id: must be");
	refuse(AGENT_HELLO, "{\"type\":\"hello\",\"id\":\"../x\",\"pid\":1,\"phase\":\"running\"}",
	       "id: must be");
	refuse(AGENT_HELLO, "{\"type\":\"hello\",\"id\":\"a\",\"pid\":0,\"phase\":\"running\"}",
	       "pid: must be from 1");
	refuse(AGENT_HELLO, "{\"type\":\"hello\",\"id\":\"a\",\"pid\":1,\"phase\":\"lost\"}",
	       "unknown phase \"lost\"");
	refuse(AGENT_HELLO,
	       "{\"type\":\"hello\",\"id\":\"a\",\"pid\":1,\"phase\":\"running\",\"config\":[]}",
	       "config: must be an object");
	refuse(AGENT_HELLO,
	       "{\"type\":\"hello\",\"id\":\"a\",\"pid\":1,\"phase\":\"running\",\"x\":1}",
	       "x: unknown key");
	refuse(AGENT_REQUEST, "{\"type\":\"request\",\"verb\":\"prepare\"}", "seq: missing");
	refuse(AGENT_REQUEST, "{\"type\":\"request\",\"seq\":1}", "unknown verb \"\"");
	refuse(AGENT_REQUEST,
	       "{\"type\":\"request\",\"seq\":1,\"verb\":\"freeze\",\"timeout-ms\":0}",
	       "timeout-ms: must be from 1");
	refuse(AGENT_REQUEST, "{\"type\":\"request\",\"seq\":4294967296,\"verb\":\"freeze\"}",
	       "seq: must be from 0");
	refuse(AGENT_REQUEST,
	       "{\"type\":\"request\",\"seq\":1,\"verb\":\"adopt\",\"tokens\":[0,-1]}",
	       "tokens[1]: no token");
	refuse(AGENT_REQUEST,
	       "{\"type\":\"request\",\"seq\":1,\"verb\":\"adopt\",\"tokens\":[5,6,5]}",
	       "tokens[2]: no token, or there twice");
	refuse(AGENT_REPLY, "{\"type\":\"reply\",\"seq\":1,\"phase\":\"running\"}", "ok: missing");
	refuse(AGENT_REPLY, "{\"type\":\"reply\",\"seq\":1,\"ok\":false,\"phase\":\"running\"}",
	       "error: missing");
	refuse(AGENT_REPLY,
	       "{\"type\":\"reply\",\"seq\":1,\"ok\":true,\"phase\":\"running\",\"error\":{}}",
	       "error: not with");
	refuse(AGENT_REPLY,
	       "{\"type\":\"reply\",\"seq\":1,\"ok\":false,\"phase\":\"running\","
	       "\"error\":{\"errno\":0}}",
	       "error.errno: must be from 1");
	refuse(AGENT_REPLY,
	       "{\"type\":\"reply\",\"seq\":1,\"ok\":true,\"phase\":\"running\",\"timeline\":[1]}",
	       "timeline[0]");
	refuse(AGENT_EVENT, "{\"type\":\"event\",\"event\":\"party\"}", "unknown event");
	refuse(AGENT_EVENT, "{\"type\":\"event\",\"event\":\"phase\"}", "phase: missing");
	refuse(AGENT_EVENT, "{\"type\":\"event\",\"event\":\"exit\",\"phase\":\"running\"}",
	       "phase: unknown key");
	refuse(AGENT_EVENT, "{\"type\":\"event\",\"event\":\"device\",\"what\":\"error\"}",
	       "device: missing");
	refuse(AGENT_EVENT,
	       "{\"type\":\"event\",\"event\":\"device\",\"device\":\"a\",\"what\":\"odd\"}",
	       "what: unknown");
}

static void test_type_refused(void **state _unused_)
{
	static const char *const texts[] = {"{}", "[]", "{\"type\":1}", "{\"type\":\"letter\"}"};
	enum agent_message_type type;

	for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
		json_t *message = parse(texts[i]);

		assert_int_equal(agent_message_type(message, &type, NULL), -EBADMSG);
		json_decref(message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	     cmocka_unit_test(test_ids),
		cmocka_unit_test(test_hello),	     cmocka_unit_test(test_request),
		cmocka_unit_test(test_reply),	     cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_device_event), cmocka_unit_test(test_event),
		cmocka_unit_test(test_refused),	     cmocka_unit_test(test_type_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
