/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/timeline.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"

static const char *const phase_names[TIMELINE_PHASE_MAX] = {
	[TIMELINE_PREFLIGHT] = "preflight",
	[TIMELINE_PREPARE] = "prepare",
	[TIMELINE_FREEZE] = "freeze",
	[TIMELINE_KEXEC] = "kexec",
	[TIMELINE_RETRIEVE] = "retrieve",
	[TIMELINE_LOAD] = "load",
	[TIMELINE_RUN] = "run",
	[TIMELINE_FINISH] = "finish",
};

const char *timeline_phase_name(enum timeline_phase phase)
{
	return (unsigned int)phase < TIMELINE_PHASE_MAX ? phase_names[phase] : "unknown";
}

int timeline_phase_parse(const char *name, enum timeline_phase *ret)
{
	for (unsigned int i = 0; i < TIMELINE_PHASE_MAX; i++) {
		if (strcmp(name, phase_names[i]) == 0) {
			*ret = (enum timeline_phase)i;
			return 0;
		}
	}
	return -EINVAL;
}

void timeline_begin(struct timeline *t, enum timeline_phase phase)
{
	t->phases[phase].begin_tsc = clock_tsc();
	t->phases[phase].end_tsc = 0;
}

void timeline_end(struct timeline *t, enum timeline_phase phase)
{
	t->phases[phase].end_tsc = clock_tsc();
}

json_t *timeline_to_json(const struct timeline *t)
{
	json_t *array = json_array();

	for (unsigned int i = 0; array && i < TIMELINE_PHASE_MAX; i++) {
		uint64_t begin = t->phases[i].begin_tsc, end = t->phases[i].end_tsc;
		json_t *entry;

		if (!begin)
			continue;
		entry = json_pack("{s:s, s:I}", "phase", phase_names[i], "begin",
				  (json_int_t)begin);
		if (!entry)
			continue;
		if (end)
			json_object_set_new(entry, "end", json_integer((json_int_t)end));
		json_array_append_new(array, entry);
	}
	return array;
}

static void read_entry(json_t *entry, const char *path, struct timeline *t,
		       struct problems *problems)
{
	enum timeline_phase phase;
	struct json_reader r;
	uint64_t begin, end;
	const char *name;

	json_reader_init(&r, entry, path, problems);
	name = json_get_string(&r, "phase", "", 32);
	begin = json_get_u64(&r, "begin", 0, 1, INT64_MAX);
	end = json_get_u64(&r, "end", 0, 1, INT64_MAX);
	json_reader_end(&r);
	if (timeline_phase_parse(name, &phase) < 0) {
		problem_add(problems, "%s.phase: unknown phase \"%s\"", path, name);
		return;
	}
	if (!begin)
		problem_add(problems, "%s.begin: missing", path);
	else if (end && end < begin)
		problem_add(problems, "%s: phase %s ends before it begins", path, name);
	else if (t->phases[phase].begin_tsc)
		problem_add(problems, "%s: phase %s is there twice", path, name);
	t->phases[phase].begin_tsc = begin;
	t->phases[phase].end_tsc = end;
}

int timeline_from_json(const json_t *json, struct timeline *ret, struct error *err)
{
	struct problems problems = {0};
	struct timeline t = {0};
	size_t count = json_array_size(json);

	if (!json_is_array(json))
		return error_set(err, -EINVAL, "timeline: must be an array");
	if (count > TIMELINE_PHASE_MAX)
		return error_set(err, -EINVAL, "timeline: more entries than there are phases");
	for (size_t i = 0; i < count; i++) {
		char path[32];

		snprintf(path, sizeof(path), "timeline[%zu]", i);
		read_entry(json_array_get(json, i), path, &t, &problems);
	}
	if (problems.count)
		return problems_result(&problems, err);
	*ret = t;
	return 0;
}

void timeline_merge(struct timeline *t, const struct timeline *from)
{
	for (unsigned int i = 0; i < TIMELINE_PHASE_MAX; i++) {
		if (from->phases[i].begin_tsc)
			t->phases[i] = from->phases[i];
	}
}

uint64_t timeline_blackout_tsc(const struct timeline *t)
{
	uint64_t begin = t->phases[TIMELINE_FREEZE].begin_tsc;
	uint64_t end = t->phases[TIMELINE_RUN].end_tsc;

	return begin && end > begin ? end - begin : 0;
}
