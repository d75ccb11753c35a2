/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl timeline: how long each phase of an update took, for each VM, across both kernels; and
 * luoctl history: the updates there were. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "luo/agent.h"
#include "luo/luoctl/luoctl.h"
#include "luo/luoctl/timeline_svg.h"
#include "luo/timeline.h"

static const json_t *find_phase(const json_t *timeline, const char *name)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(timeline, i, entry)
	{
		if (strcmp(doc_string(entry, "phase"), name) == 0)
			return entry;
	}
	return NULL;
}

static void ms_cell(struct table *table, const json_t *ms)
{
	if (json_is_number(ms))
		table_cell(table, "%.1f", json_number_value(ms));
	else
		table_cell(table, "%s", "");
}

/* Preflight has no time of its own yet: it is left out of the table, not of the document. */
#define FIRST_SHOWN TIMELINE_PREPARE

static void print_vms(const json_t *vms)
{
	const char *titles[TABLE_COLUMNS_MAX] = {"VM"};
	unsigned int columns = 1;
	struct table table;
	const json_t *vm;
	size_t i;

	for (unsigned int p = FIRST_SHOWN; p < TIMELINE_PHASE_MAX; p++)
		titles[columns++] = timeline_phase_name((enum timeline_phase)p);
	titles[columns++] = "BLACKOUT";
	table_init(&table, titles, columns);
	json_array_foreach(vms, i, vm)
	{
		const json_t *timeline = json_object_get(vm, "timeline");

		table_cell(&table, "%s", doc_string(vm, "id"));
		for (unsigned int p = FIRST_SHOWN; p < TIMELINE_PHASE_MAX; p++)
			ms_cell(&table, json_object_get(find_phase(timeline,
								   timeline_phase_name(
									   (enum timeline_phase)p)),
							"ms"));
		ms_cell(&table, json_object_get(vm, "blackout-ms"));
	}
	table_print(&table);
	table_done(&table);
}

static void print_update(const json_t *doc)
{
	const json_t *kexec = find_phase(json_object_get(doc, "timeline"), "kexec");
	const json_t *vms = json_object_get(doc, "vms");

	printf("update %s: %s", doc_string(doc, "id"), doc_string(doc, "state"));
	if (doc_string(doc, "to")[0])
		printf(", %s -> %s", doc_string(doc, "from"), doc_string(doc, "to"));
	if (json_object_get(kexec, "ms"))
		printf(", kexec %.1f ms", json_number_value(json_object_get(kexec, "ms")));
	printf("\n");
	if (doc_string(doc, "why")[0])
		printf("%s\n", doc_string(doc, "why"));
	if (json_array_size(vms) == 0) {
		printf("no VM was part of it\n");
		return;
	}
	printf("milliseconds:\n");
	print_vms(vms);
}

static int write_svg(const json_t *doc, const char *path, struct error *err)
{
	bool to_stdout = strcmp(path, "-") == 0;
	FILE *out = to_stdout ? stdout : fopen(path, "we");
	int r;

	if (!out)
		return error_sys(err, -errno, "%s", path);
	r = timeline_svg(doc, out, err);
	if ((to_stdout ? fflush(out) : fclose(out)) != 0 && r == 0)
		r = error_sys(err, -errno, "%s", path);
	return r;
}

int cmd_timeline(const struct ctl *ctl, int argc, char **argv)
{
	const char *svg = NULL;
	const struct ctl_option option = {"svg", &svg, NULL};
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;
	char path[256] = "/api/v1/timeline";
	int count;

	if (ctl_options(argc, argv, &option, 1, &count) < 0)
		return CTL_USAGE;
	if (count > 1 || (count == 1 && !agent_id_is_valid(argv[1])))
		return ctl_usage(argv[0], "name one update, or none for the newest");
	if (count == 1)
		snprintf(path, sizeof(path), "/api/v1/updates/%s", argv[1]);
	if (api_call(ctl, "GET", path, NULL, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (svg)
		return write_svg(doc, svg, &err) < 0 ? ctl_fail(argv[0], &err) : CTL_OK;
	if (ctl->json)
		ctl_print_json(doc);
	else
		print_update(doc);
	return CTL_OK;
}

/* The longest blackout of its VMs, or NULL. */
static const json_t *longest_blackout(const json_t *vms)
{
	const json_t *longest = NULL, *vm;
	size_t i;

	json_array_foreach(vms, i, vm)
	{
		const json_t *ms = json_object_get(vm, "blackout-ms");

		if (ms && (!longest || json_number_value(ms) > json_number_value(longest)))
			longest = ms;
	}
	return longest;
}

static void print_history(const json_t *updates)
{
	static const char *const titles[] = {"STARTED", "UPDATE", "STATE",   "FROM",
					     "TO",	"VMS",	  "BLACKOUT"};
	struct table table;
	const json_t *update;
	size_t i;

	table_init(&table, titles, ARRAY_SIZE(titles));
	json_array_foreach(updates, i, update)
	{
		time_t seconds = (time_t)(doc_integer(update, "started-ns") / 1000000000);
		char started[32] = "";
		struct tm tm;

		if (localtime_r(&seconds, &tm))
			strftime(started, sizeof(started), "%Y-%m-%d %H:%M:%S", &tm);
		table_cell(&table, "%s", started);
		table_cell(&table, "%s", doc_string(update, "id"));
		table_cell(&table, "%s", doc_string(update, "state"));
		table_cell(&table, "%s", doc_string(update, "from"));
		table_cell(&table, "%s", doc_string(update, "to"));
		table_cell(&table, "%zu", json_array_size(json_object_get(update, "vms")));
		ms_cell(&table, longest_blackout(json_object_get(update, "vms")));
	}
	table_print(&table);
	table_done(&table);
}

int cmd_history(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;

	if (argc > 1)
		return ctl_usage(argv[0], "%s: it takes no argument", argv[1]);
	if (api_call(ctl, "GET", "/api/v1/updates", NULL, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (ctl->json)
		ctl_print_json(doc);
	else
		print_history(json_object_get(doc, "updates"));
	return CTL_OK;
}
