/* SPDX-License-Identifier: Apache-2.0 */
/* What luod counts over its updates, and the text that Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/luod/metrics.h"
#include "luo/luod/metrics_text.h"
#include "luo/luod/registry.h"

static json_t *parse(const char *text)
{
	json_error_t where;
	json_t *doc = json_loads(text, 0, &where);

	if (!doc)
		fail_msg("%s", where.text);
	return doc;
}

#define STAMPED(phase, ms) "{\"phase\":\"" phase "\",\"begin\":1,\"end\":2,\"ms\":" ms "}"
#define RUNS                                                                                \
	"{\"id\":\"a\",\"phase\":\"running\",\"blackout-ms\":250.0,\"timeline\":[" STAMPED( \
		"prepare", "40.0") "," STAMPED("freeze", "1.0") "]}"
#define FAILS "{\"id\":\"b\",\"phase\":\"failed\",\"timeline\":[" STAMPED("prepare", "70000.0") "]}"
#define TAKEN_UP                                                                               \
	"{\"id\":\"b\",\"phase\":\"running\",\"blackout-ms\":400000.0,\"timeline\":[" STAMPED( \
		"prepare", "70000.0") "," STAMPED("run", "2.5") "]}"

static const struct histogram *of(const struct metrics *m, unsigned int index)
{
	return &m->histograms[index];
}

/* An update that ends partial, and again when its last VM was taken up: nothing counts twice. */
static void count_twice(struct metrics *m)
{
	json_t *first = parse("{\"state\":\"partial\",\"vms\":[" RUNS "," FAILS "]}");
	json_t *second = parse("{\"state\":\"done\",\"vms\":[" RUNS "," TAKEN_UP "]}");

	metrics_count(m, NULL, first);
	metrics_count(m, first, second);
	json_decref(first);
	json_decref(second);
}

static void test_count(void **state _unused_)
{
	struct metrics m = {0};

	count_twice(&m);
	assert_int_equal(m.results[UPDATE_PARTIAL], 1);
	assert_int_equal(m.results[UPDATE_DONE], 0);
	assert_int_equal(histogram_count(of(&m, METRICS_BLACKOUT)), 2);
	assert_int_equal(histogram_count(of(&m, TIMELINE_PREPARE)), 2);
	assert_int_equal(histogram_count(of(&m, TIMELINE_FREEZE)), 1);
	assert_int_equal(histogram_count(of(&m, TIMELINE_RUN)), 1);
	assert_int_equal(histogram_count(of(&m, TIMELINE_LOAD)), 0);
	/* A bound belongs to its bucket (le); what is above all has one of its own. */
	assert_int_equal(of(&m, TIMELINE_FREEZE)->buckets[0], 1);
	assert_int_equal(of(&m, METRICS_BLACKOUT)->buckets[METRICS_BOUNDS], 1);
	assert_true(of(&m, METRICS_BLACKOUT)->sum_seconds == 400.25);
}

static void test_carried(void **state _unused_)
{
	struct metrics m = {0}, again;
	struct error err = ERROR_INIT;
	json_t *doc;

	count_twice(&m);
	doc = metrics_to_json(&m);
	assert_int_equal(metrics_from_json(doc, &again, &err), 0);
	json_decref(doc);
	assert_memory_equal(&m, &again, sizeof(m));
	assert_int_equal(metrics_from_json(NULL, &again, &err), 0);
	assert_int_equal(histogram_count(of(&again, METRICS_BLACKOUT)), 0);
}

static void test_damaged(void **state _unused_)
{
	static const char *const wrong[] = {
		"[]",
		"{}",
		"{\"results\":{},\"histograms\":{},\"more\":1}",
		"{\"results\":[],\"histograms\":{}}",
		"{\"results\":{\"dancing\":1},\"histograms\":{}}",
		"{\"results\":{\"loading\":1},\"histograms\":{}}",
		"{\"results\":{\"done\":-1},\"histograms\":{}}",
		"{\"results\":{\"done\":\"1\"},\"histograms\":{}}",
		"{\"results\":{},\"histograms\":{\"sleep\":{\"buckets\":[],\"sum\":0}}}",
		"{\"results\":{},\"histograms\":{\"run\":{\"buckets\":[1],\"sum\":0}}}",
		"{\"results\":{},\"histograms\":{\"run\":{\"buckets\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
		"0,0,"
		"-1],\"sum\":0}}}",
		"{\"results\":{},\"histograms\":{\"run\":{\"buckets\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
		"0,0,"
		"1],\"sum\":-1}}}",
	};
	struct error err = ERROR_INIT;
	struct metrics m = {.results = {[UPDATE_DONE] = 7}};

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		json_t *doc = parse(wrong[i]);

		assert_int_equal(metrics_from_json(doc, &m, &err), -EBADMSG);
		assert_int_equal(m.results[UPDATE_DONE], 7);
		json_decref(doc);
	}
}

static void assert_line(const char *text, const char *line)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("no line \"%s\" in: %s", line, text);
}

static void test_text(void **state _unused_)
{
	struct registry reg;
	struct vm_record *record;
	size_t length;
	char *text;

	assert_int_equal(registry_init(&reg), 0);
	count_twice(&reg.metrics);
	record = registry_add(&reg, "a");
	record->status = VM_CONNECTED;
	record->phase = AGENT_PHASE_FROZEN;
	record->memory = 4096;
	record = registry_add(&reg, "b");
	record->status = VM_FAILED;
	record->resume = true;
	record->memory = 100;
	/* One that runs has nothing preserved. */
	record = registry_add(&reg, "c");
	record->status = VM_CONNECTED;
	record->memory = 1 << 20;
	assert_int_equal(metrics_text(&reg, &text, &length), 0);
	assert_int_equal(length, strlen(text));
	assert_line(text, "holdfast_vms{phase=\"frozen\"} 1");
	assert_line(text, "holdfast_vms{phase=\"failed\"} 1");
	assert_line(text, "holdfast_vms{phase=\"running\"} 1");
	assert_line(text, "holdfast_vms{phase=\"stopped\"} 0");
	assert_line(text, "holdfast_preserved_bytes 4196");
	assert_line(text, "holdfast_updates_total{result=\"partial\"} 1");
	assert_line(text, "holdfast_update_under_way 0");
	assert_line(text, "holdfast_blackout_seconds_bucket{le=\"0.1\"} 0");
	assert_line(text, "holdfast_blackout_seconds_bucket{le=\"0.25\"} 1");
	assert_line(text, "holdfast_blackout_seconds_bucket{le=\"300\"} 1");
	assert_line(text, "holdfast_blackout_seconds_bucket{le=\"+Inf\"} 2");
	assert_line(text, "holdfast_blackout_seconds_sum 400.25");
	assert_line(text, "holdfast_blackout_seconds_count 2");
	assert_line(text, "holdfast_phase_seconds_bucket{phase=\"freeze\",le=\"0.001\"} 1");
	assert_line(text, "holdfast_phase_seconds_count{phase=\"prepare\"} 2");
	assert_line(text, "# TYPE holdfast_phase_seconds histogram");
	free(text);
	registry_done(&reg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_carried),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
