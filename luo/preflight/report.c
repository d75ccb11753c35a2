/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/preflight/report.h"

#include <string.h>

#include "base/util.h"
#include "luo/abi/model.h"

const char *severity_name(enum severity severity)
{
	switch (severity) {
	case SEVERITY_ERROR:
		return "error";
	case SEVERITY_WARNING:
		return "warning";
	case SEVERITY_INFO:
		return "info";
	}
	return "?";
}

struct finding *report_add(struct report *report, enum severity severity, const char *code,
			   const char *object, const char *reason, ...)
{
	struct finding *finding = &report->spare;
	va_list ap;

	if (ABI_GROW(report->findings, report->count) < 0)
		report->lost = true;
	else
		finding = &report->findings[report->count++];
	finding->severity = severity;
	finding->code = code;
	snprintf(finding->object, sizeof(finding->object), "%s", object);
	va_start(ap, reason);
	vsnprintf(finding->reason, sizeof(finding->reason), reason, ap);
	va_end(ap);
	return finding;
}

void report_way_out(struct finding *finding, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(finding->way_out, sizeof(finding->way_out), fmt, ap);
	va_end(ap);
}

size_t report_count(const struct report *report, enum severity severity)
{
	size_t count = 0;

	for (size_t i = 0; i < report->count; i++)
		count += report->findings[i].severity == severity;
	return count;
}

bool report_ok(const struct report *report)
{
	return !report->lost && report_count(report, SEVERITY_ERROR) == 0;
}

const struct finding *report_find(const struct report *report, const char *code)
{
	for (size_t i = 0; i < report->count; i++)
		if (strcmp(report->findings[i].code, code) == 0)
			return &report->findings[i];
	return NULL;
}

void report_print(const struct report *report, FILE *out)
{
	for (int severity = SEVERITY_ERROR; severity <= SEVERITY_INFO; severity++)
		for (size_t i = 0; i < report->count; i++) {
			const struct finding *f = &report->findings[i];

			if ((int)f->severity != severity)
				continue;
			fprintf(out, "%-8s %-22s %s: %s\n", severity_name(f->severity), f->code,
				f->object, f->reason);
			if (f->way_out[0])
				fprintf(out, "%31s -> %s\n", "", f->way_out);
		}
	fprintf(out, "%s (errors: %zu, warnings: %zu)\n",
		report_ok(report) ? "the update can be expected to succeed"
				  : "the update would fail",
		report_count(report, SEVERITY_ERROR), report_count(report, SEVERITY_WARNING));
}

json_t *report_to_json(const struct report *report)
{
	json_t *findings = json_array();

	for (size_t i = 0; i < report->count; i++) {
		const struct finding *f = &report->findings[i];

		json_array_append_new(findings, json_pack("{s:s,s:s,s:s,s:s,s:s}", "code", f->code,
							  "severity", severity_name(f->severity),
							  "object", f->object, "reason", f->reason,
							  "way-out", f->way_out));
	}
	return json_pack("{s:b,s:I,s:I,s:o}", "ok", (int)report_ok(report), "errors",
			 (json_int_t)report_count(report, SEVERITY_ERROR), "warnings",
			 (json_int_t)report_count(report, SEVERITY_WARNING), "findings", findings);
}

void report_done(struct report *report)
{
	free(report->findings);
	*report = (struct report){0};
}
