/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/metrics_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "base/version.h"
#include "luo/luod/view.h"

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Its memory is in a session: of this kernel's update, or of the previous one. */
static bool is_preserved(const struct vm_record *record)
{
	if (record->resume)
		return true;
	return record->status == VM_CONNECTED &&
	       (record->phase == AGENT_PHASE_PREPARED || record->phase == AGENT_PHASE_FREEZING ||
		record->phase == AGENT_PHASE_FROZEN);
}

static void put_vms(FILE *out, const struct registry *reg)
{
	unsigned int phases[AGENT_PHASE_MAX] = {0}, statuses[VM_STATUS_MAX] = {0};
	uint64_t preserved = 0;

	for (const struct vm_record *record = reg->vms; record; record = record->next) {
		if (record->status == VM_CONNECTED)
			phases[record->phase]++;
		else
			statuses[record->status]++;
		preserved += is_preserved(record) ? record->memory : 0;
	}
	head(out, "holdfast_vms", "gauge", "VMs of this host by phase.");
	for (unsigned int i = 0; i < AGENT_PHASE_MAX; i++)
		/* One name for both: a vmm that could not resume, and one that could not start. */
		fprintf(out, "holdfast_vms{phase=\"%s\"} %u\n",
			agent_phase_name((enum agent_phase)i),
			phases[i] + (i == AGENT_PHASE_FAILED ? statuses[VM_FAILED] : 0));
	for (unsigned int i = 0; i < VM_STATUS_MAX; i++) {
		if (i != VM_CONNECTED && i != VM_FAILED)
			fprintf(out, "holdfast_vms{phase=\"%s\"} %u\n",
				vm_status_name((enum vm_status)i), statuses[i]);
	}
	head(out, "holdfast_preserved_bytes", "gauge",
	     "Guest memory that is preserved for a kexec, or was and is not given up yet.");
	fprintf(out, "holdfast_preserved_bytes %" PRIu64 "\n", preserved);
}

static void put_updates(FILE *out, const struct registry *reg)
{
	head(out, "holdfast_updates_total", "counter", "Updates of this host by how they ended.");
	for (unsigned int i = UPDATE_DONE; i < UPDATE_STATE_MAX; i++)
		fprintf(out, "holdfast_updates_total{result=\"%s\"} %" PRIu64 "\n",
			update_state_name((enum update_state)i), reg->metrics.results[i]);
	head(out, "holdfast_update_under_way", "gauge", "1 while an update is under way.");
	fprintf(out, "holdfast_update_under_way %d\n",
		reg->update.id[0] && !update_has_ended(&reg->update));
}

static void put_histogram(FILE *out, const char *name, const char *label, const char *value,
			  const struct histogram *histogram)
{
	char with[64] = "", alone[64] = "";
	uint64_t count = 0;

	if (label) {
		snprintf(with, sizeof(with), "%s=\"%s\",", label, value);
		snprintf(alone, sizeof(alone), "{%s=\"%s\"}", label, value);
	}
	for (unsigned int i = 0; i < METRICS_BOUNDS; i++) {
		count += histogram->buckets[i];
		fprintf(out, "%s_bucket{%sle=\"%g\"} %" PRIu64 "\n", name, with, metrics_bounds[i],
			count);
	}
	count += histogram->buckets[METRICS_BOUNDS];
	fprintf(out, "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, with, count);
	fprintf(out, "%s_sum%s %.9g\n", name, alone, histogram->sum_seconds);
	fprintf(out, "%s_count%s %" PRIu64 "\n", name, alone, count);
}

int metrics_text(const struct registry *reg, char **ret, size_t *ret_length)
{
	FILE *out = open_memstream(ret, ret_length);

	if (!out)
		return -ENOMEM;
	head(out, "holdfast_build_info", "gauge", "The version of luod.");
	fprintf(out, "holdfast_build_info{version=\"%s\"} 1\n", HOLDFAST_VERSION);
	put_vms(out, reg);
	put_updates(out, reg);
	head(out, "holdfast_blackout_seconds", "histogram",
	     "How long a guest stood still for an update.");
	put_histogram(out, "holdfast_blackout_seconds", NULL, NULL,
		      &reg->metrics.histograms[METRICS_BLACKOUT]);
	head(out, "holdfast_phase_seconds", "histogram",
	     "How long a phase of an update took, for each VM.");
	for (unsigned int i = TIMELINE_PREPARE; i < TIMELINE_PHASE_MAX; i++)
		put_histogram(out, "holdfast_phase_seconds", "phase", metrics_histogram_name(i),
			      &reg->metrics.histograms[i]);
	/* A stream that could not grow says so here. */
	return fclose(out) == 0 && *ret ? 0 : -ENOMEM;
}
