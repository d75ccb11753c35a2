/* SPDX-License-Identifier: Apache-2.0 */
/* luod's buffer of events: what is told, in which order, and what is lost when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/agent.h"
#include "luo/luod/events.h"
#include "luo/luod/registry.h"

/* What luo/luod/events.h promises. */
#define SPEC_KEPT  8192U
#define SPEC_BYTES (1024U * 1024)

struct bench {
	struct registry reg;
	struct events *events;
};

static int up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct error err = ERROR_INIT;

	assert_non_null(b);
	assert_int_equal(registry_init(&b->reg), 0);
	assert_int_equal(events_new(&b->events, &err), 0);
	*state = b;
	return 0;
}

static int down(void **state)
{
	struct bench *b = *state;

	registry_done(&b->reg);
	events_free(b->events);
	free(b);
	return 0;
}

static const struct event *next(const struct bench *b, uint64_t seq)
{
	bool lost = true;
	const struct event *event = events_after(b->events, seq, &lost);

	assert_false(lost);
	return event;
}

static void assert_event(const struct bench *b, uint64_t seq, const char *kind, const char *data)
{
	const struct event *event = next(b, seq - 1);
	char id[EVENT_ID_SIZE], text[512];

	assert_non_null(event);
	events_id(b->events, seq, id);
	snprintf(text, sizeof(text), "id: %s\nevent: %s\ndata: %s\n\n", id, kind, data);
	assert_string_equal(event->text, text);
	assert_int_equal(event->length, strlen(text));
	assert_int_equal(event->seq, seq);
}

static void test_what_is_told(void **state)
{
	struct bench *b = *state;
	struct vm_record *record;

	events_compare(b->events, &b->reg);
	assert_int_equal(events_newest(b->events), 0);
	assert_null(next(b, 0));

	record = registry_add(&b->reg, "web1");
	record->status = VM_CONNECTED;
	record->owner = 1000;
	events_compare(b->events, &b->reg);
	assert_event(
		b, 1, "vm",
		"{\"id\":\"web1\",\"phase\":\"running\",\"connected\":true,\"preserve\":false}");
	assert_string_equal(next(b, 0)->vm, "web1");
	assert_int_equal(next(b, 0)->owner, 1000);

	/* Nothing new; then what an event does not tell. */
	record->memory = 4096;
	events_compare(b->events, &b->reg);
	assert_null(next(b, 1));

	record->status = VM_FAILED;
	registry_set_text(record->why, sizeof(record->why), "it broke");
	events_compare(b->events, &b->reg);
	assert_event(b, 2, "vm",
		     "{\"id\":\"web1\",\"phase\":\"failed\",\"connected\":false,\"preserve\":false,"
		     "\"why\":\"it broke\"}");

	snprintf(b->reg.update.id, sizeof(b->reg.update.id), "u1");
	b->reg.update.state = UPDATE_PREPARING;
	events_compare(b->events, &b->reg);
	assert_event(b, 3, "update", "{\"id\":\"u1\",\"state\":\"preparing\",\"ended\":false}");
	assert_string_equal(next(b, 2)->vm, "");
}

/* One that goes and comes again under the same name is another. */
static void test_same_name(void **state)
{
	struct bench *b = *state;
	struct vm_record *record = registry_add(&b->reg, "web1");

	record->status = VM_STOPPED;
	events_compare(b->events, &b->reg);
	registry_remove(&b->reg, record);
	record = registry_add(&b->reg, "web1");
	record->status = VM_STOPPED;
	events_compare(b->events, &b->reg);
	assert_event(b, 2, "vm-removed", "{\"id\":\"web1\"}");
	assert_non_null(strstr(next(b, 2)->text, "event: vm\n"));
	assert_null(next(b, 3));
}

/* Changes the VM so that each comparison gives one event. */
static void churn(struct bench *b, struct vm_record *record, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		record->preserve = !record->preserve;
		events_compare(b->events, &b->reg);
	}
}

static void test_bounds(void **state)
{
	struct bench *b = *state;
	struct vm_record *record = registry_add(&b->reg, "x");
	char id[EVENT_ID_SIZE];
	uint64_t seq = 0, first, bytes = 0;
	const struct event *event;
	bool lost;

	/* Short texts: the number is the bound, or the bytes, whichever comes first. */
	churn(b, record, SPEC_KEPT + 1000);
	assert_int_equal(events_newest(b->events), SPEC_KEPT + 1000);
	assert_null(events_after(b->events, 0, &lost));
	assert_true(lost);
	for (first = 0; !events_after(b->events, first, &lost) && lost; first++)
		;
	assert_in_range(events_newest(b->events) - first, 1000, SPEC_KEPT);
	for (seq = first; (event = next(b, seq)); seq = event->seq) {
		assert_int_equal(event->seq, seq + 1);
		bytes += event->length;
	}
	assert_int_equal(seq, events_newest(b->events));
	assert_in_range(bytes, 1, SPEC_BYTES);

	/* Who has seen what is gone has to begin anew; who has not gone so far goes on. */
	events_id(b->events, first - 1, id);
	assert_int_equal(events_find(b->events, id, &seq), -ESTALE);
	assert_int_equal(seq, events_newest(b->events));
	events_id(b->events, first, id);
	assert_int_equal(events_find(b->events, id, &seq), 0);
	assert_int_equal(seq, first);
}

/* Long texts: fewer are kept, never more bytes. */
static void test_bytes(void **state)
{
	struct bench *b = *state;
	struct vm_record *record = registry_add(&b->reg, "x");
	uint64_t bytes = 0, seq;
	const struct event *event;
	bool lost = true;

	record->status = VM_FAILED;
	memset(record->why, 'y', sizeof(record->why) - 1);
	churn(b, record, 3000);
	for (seq = 0; !events_after(b->events, seq, &lost) && lost; seq++)
		;
	for (; (event = next(b, seq)); seq = event->seq)
		bytes += event->length;
	assert_in_range(bytes, SPEC_BYTES / 2, SPEC_BYTES);
}

static void test_ids(void **state)
{
	static const char *const wrong[] = {"", "1", "x.1", "1.x", ".", "1.1.1", "1.1x", "-", "1."};
	struct bench *b = *state;
	struct vm_record *record = registry_add(&b->reg, "x");
	struct events *other;
	struct error err = ERROR_INIT;
	char id[EVENT_ID_SIZE];
	uint64_t seq;

	churn(b, record, 3);
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_not_equal(events_find(b->events, wrong[i], &seq), 0);
		assert_int_equal(seq, 3);
	}
	for (uint64_t i = 0; i <= 3; i++) {
		events_id(b->events, i, id);
		assert_int_equal(events_find(b->events, id, &seq), 0);
		assert_int_equal(seq, i);
	}
	/* From the future, and of another luod. */
	events_id(b->events, 4, id);
	assert_int_equal(events_find(b->events, id, &seq), -ESTALE);
	assert_int_equal(events_new(&other, &err), 0);
	events_id(other, 0, id);
	assert_int_equal(events_find(b->events, id, &seq), -ESTALE);
	events_free(other);
}

static void test_device(void **state)
{
	struct bench *b = *state;
	struct vm_record *record = registry_add(&b->reg, "web1");
	struct agent_device device = {.id = "nic0",
				      .host = "0000:65:00.0",
				      .what = AGENT_DEVICE_ERROR,
				      .message = "has \"failed\""};

	record->owner = 1000;
	events_add_device(b->events, record, &device);
	assert_event(b, 1, "device",
		     "{\"id\":\"web1\",\"device\":\"nic0\",\"what\":\"error\","
		     "\"message\":\"has \\\"failed\\\"\",\"host\":\"0000:65:00.0\"}");
	assert_string_equal(next(b, 0)->vm, "web1");
	assert_int_equal(next(b, 0)->owner, 1000);
	/* The same once more is another. */
	device.host = "";
	device.what = AGENT_DEVICE_GONE;
	events_add_device(b->events, record, &device);
	events_add_device(b->events, record, &device);
	assert_event(b, 3, "device",
		     "{\"id\":\"web1\",\"device\":\"nic0\",\"what\":\"gone\","
		     "\"message\":\"has \\\"failed\\\"\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_told, up, down),
		cmocka_unit_test_setup_teardown(test_same_name, up, down),
		cmocka_unit_test_setup_teardown(test_bounds, up, down),
		cmocka_unit_test_setup_teardown(test_bytes, up, down),
		cmocka_unit_test_setup_teardown(test_ids, up, down),
		cmocka_unit_test_setup_teardown(test_device, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
