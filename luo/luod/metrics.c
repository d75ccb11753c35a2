/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/metrics.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/util.h"
#include "luo/luod/registry.h"

static_assert(UPDATE_STATE_MAX <= METRICS_RESULTS, "a result without a counter");

const double metrics_bounds[METRICS_BOUNDS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
					       0.5,   1,      2.5,   5,	   10,	  30,	60,  300};

const char *metrics_histogram_name(unsigned int index)
{
	return index == METRICS_BLACKOUT ? "blackout"
					 : timeline_phase_name((enum timeline_phase)index);
}

uint64_t histogram_count(const struct histogram *histogram)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i <= METRICS_BOUNDS; i++)
		count += histogram->buckets[i];
	return count;
}

static void observe(struct histogram *histogram, double ms)
{
	double seconds = ms / 1000;
	unsigned int i = 0;

	if (!isfinite(seconds) || seconds < 0)
		return;
	while (i < METRICS_BOUNDS && seconds > metrics_bounds[i])
		i++;
	histogram->buckets[i]++;
	histogram->sum_seconds += seconds;
}

static const json_t *find_by(const json_t *array, const char *key, const char *value)
{
	size_t count = json_array_size(array);

	for (size_t i = 0; i < count; i++) {
		const json_t *entry = json_array_get(array, i);
		const char *text = json_string_value(json_object_get(entry, key));

		if (text && value && strcmp(text, value) == 0)
			return entry;
	}
	return NULL;
}

static void count_vm(struct metrics *metrics, const json_t *before, const json_t *vm)
{
	const json_t *timeline = json_object_get(vm, "timeline");
	const json_t *old = json_object_get(before, "timeline");
	const json_t *blackout = json_object_get(vm, "blackout-ms");
	size_t count = json_array_size(timeline);

	for (size_t i = 0; i < count; i++) {
		const json_t *entry = json_array_get(timeline, i);
		const char *name = json_string_value(json_object_get(entry, "phase"));
		const json_t *ms = json_object_get(entry, "ms");
		enum timeline_phase phase;

		if (!ms || !name || timeline_phase_parse(name, &phase) < 0 ||
		    json_object_get(find_by(old, "phase", name), "ms"))
			continue;
		observe(&metrics->histograms[phase], json_number_value(ms));
	}
	if (blackout && !json_object_get(before, "blackout-ms"))
		observe(&metrics->histograms[METRICS_BLACKOUT], json_number_value(blackout));
}

void metrics_count(struct metrics *metrics, const json_t *before, const json_t *view)
{
	const char *name = json_string_value(json_object_get(view, "state"));
	const json_t *vms = json_object_get(view, "vms"), *old = json_object_get(before, "vms");
	size_t count = json_array_size(vms);
	enum update_state state;

	if (!before && name && update_state_parse(name, &state) == 0 && state >= UPDATE_DONE)
		metrics->results[state]++;
	for (size_t i = 0; i < count; i++) {
		const json_t *vm = json_array_get(vms, i);

		count_vm(metrics, find_by(old, "id", json_string_value(json_object_get(vm, "id"))),
			 vm);
	}
}

static json_t *histogram_to_json(const struct histogram *histogram)
{
	json_t *buckets = json_array();

	for (unsigned int i = 0; buckets && i <= METRICS_BOUNDS; i++)
		json_array_append_new(buckets, json_integer((json_int_t)histogram->buckets[i]));
	return json_pack("{s:o, s:f}", "buckets", buckets, "sum", histogram->sum_seconds);
}

json_t *metrics_to_json(const struct metrics *metrics)
{
	json_t *results = json_object(), *histograms = json_object();

	for (unsigned int i = UPDATE_DONE; results && i < UPDATE_STATE_MAX; i++) {
		if (metrics->results[i])
			json_object_set_new(results, update_state_name((enum update_state)i),
					    json_integer((json_int_t)metrics->results[i]));
	}
	for (unsigned int i = 0; histograms && i < METRICS_HISTOGRAMS; i++) {
		if (histogram_count(&metrics->histograms[i]))
			json_object_set_new(histograms, metrics_histogram_name(i),
					    histogram_to_json(&metrics->histograms[i]));
	}
	return json_pack("{s:o, s:o}", "results", results, "histograms", histograms);
}

static bool read_count(const json_t *value, uint64_t *ret)
{
	json_int_t count = json_integer_value(value);

	if (!json_is_integer(value) || count < 0)
		return false;
	*ret = (uint64_t)count;
	return true;
}

static bool read_results(json_t *json, struct metrics *metrics)
{
	const char *name;
	json_t *value;

	if (!json_is_object(json))
		return false;
	json_object_foreach(json, name, value)
	{
		enum update_state state;

		if (update_state_parse(name, &state) < 0 || state < UPDATE_DONE ||
		    !read_count(value, &metrics->results[state]))
			return false;
	}
	return true;
}

static bool read_histogram(const json_t *json, struct histogram *histogram)
{
	const json_t *buckets = json_object_get(json, "buckets");
	const json_t *sum = json_object_get(json, "sum");

	if (json_object_size(json) != 2 || json_array_size(buckets) != METRICS_BOUNDS + 1 ||
	    !json_is_number(sum))
		return false;
	for (unsigned int i = 0; i <= METRICS_BOUNDS; i++) {
		if (!read_count(json_array_get(buckets, i), &histogram->buckets[i]))
			return false;
	}
	histogram->sum_seconds = json_number_value(sum);
	return histogram->sum_seconds >= 0;
}

static bool read_histograms(json_t *json, struct metrics *metrics)
{
	const char *name;
	json_t *value;

	if (!json_is_object(json))
		return false;
	json_object_foreach(json, name, value)
	{
		unsigned int i = 0;

		while (i < METRICS_HISTOGRAMS && strcmp(name, metrics_histogram_name(i)) != 0)
			i++;
		if (i == METRICS_HISTOGRAMS || !read_histogram(value, &metrics->histograms[i]))
			return false;
	}
	return true;
}

int metrics_from_json(const json_t *json, struct metrics *ret, struct error *err)
{
	struct metrics metrics = {0};

	if (json && (json_object_size(json) != 2 ||
		     !read_results(json_object_get(json, "results"), &metrics) ||
		     !read_histograms(json_object_get(json, "histograms"), &metrics)))
		return error_set(err, -EBADMSG, "metrics: not as luod writes them");
	*ret = metrics;
	return 0;
}
