/* SPDX-License-Identifier: Apache-2.0 */
/* luo/timeline: round trip, merge, blackout, and every way in which a document can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/timeline.h"

static void test_round_trip(void **state _unused_)
{
	struct timeline in = {0}, out = {0};
	struct error err = ERROR_INIT;
	json_t *json;

	timeline_begin(&in, TIMELINE_PREPARE);
	timeline_end(&in, TIMELINE_PREPARE);
	timeline_begin(&in, TIMELINE_FREEZE);
	in.phases[TIMELINE_FINISH].begin_tsc = INT64_MAX;
	in.phases[TIMELINE_FINISH].end_tsc = INT64_MAX;
	assert_true(in.phases[TIMELINE_PREPARE].end_tsc >= in.phases[TIMELINE_PREPARE].begin_tsc);
	json = timeline_to_json(&in);
	assert_int_equal(json_array_size(json), 3);
	assert_int_equal(timeline_from_json(json, &out, &err), 0);
	assert_memory_equal(&in, &out, sizeof(in));
	json_decref(json);
}

static void test_names(void **state _unused_)
{
	enum timeline_phase phase;

	for (unsigned int i = 0; i < TIMELINE_PHASE_MAX; i++) {
		assert_int_equal(
			timeline_phase_parse(timeline_phase_name((enum timeline_phase)i), &phase),
			0);
		assert_int_equal(phase, i);
	}
	assert_int_equal(timeline_phase_parse("lunch", &phase), -EINVAL);
	assert_string_equal(timeline_phase_name(TIMELINE_PHASE_MAX), "unknown");
}

static void refuse(const char *text, const char *says)
{
	struct timeline t = {.phases[0] = {1, 2}}, before = t;
	struct error err = ERROR_INIT;
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(json);
	assert_int_equal(timeline_from_json(json, &t, &err), -EINVAL);
	if (!strstr(err.message, says))
		fail_msg("\"%s\" does not say \"%s\"", err.message, says);
	assert_memory_equal(&t, &before, sizeof(t));
	json_decref(json);
}

static void test_refused(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct timeline t;

	assert_int_equal(timeline_from_json(NULL, &t, &err), -EINVAL);
	refuse("{}", "must be an array");
	refuse("[7]", "timeline[0]: must be an object");
	refuse("[{\"phase\":\"lunch\",\"begin\":1}]", "unknown phase \"lunch\"");
	refuse("[{\"phase\":\"run\"}]", "timeline[0].begin: missing");
	refuse("[{\"phase\":\"run\",\"begin\":-1}]", "timeline[0].begin");
	refuse("[{\"phase\":\"run\",\"begin\":0}]", "timeline[0].begin");
	refuse("[{\"phase\":\"run\",\"begin\":1.5}]", "whole number");
	refuse("[{\"phase\":\"run\",\"begin\":3,\"end\":2}]", "ends before it begins");
	refuse("[{\"phase\":\"run\",\"begin\":3},{\"phase\":\"run\",\"begin\":3}]", "twice");
	refuse("[{\"phase\":\"run\",\"begin\":3,\"colour\":1}]", "colour: unknown key");
	refuse("[0,0,0,0,0,0,0,0,0]", "more entries");
}

static void test_merge(void **state _unused_)
{
	struct timeline t = {0}, from = {0};

	t.phases[TIMELINE_FREEZE].begin_tsc = 100;
	t.phases[TIMELINE_FREEZE].end_tsc = 150;
	from.phases[TIMELINE_RUN].begin_tsc = 200;
	assert_int_equal(timeline_blackout_tsc(&t), 0);
	timeline_merge(&t, &from);
	assert_int_equal(timeline_blackout_tsc(&t), 0);
	from.phases[TIMELINE_RUN].end_tsc = 300;
	timeline_merge(&t, &from);
	assert_int_equal(t.phases[TIMELINE_FREEZE].begin_tsc, 100);
	assert_int_equal(timeline_blackout_tsc(&t), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
