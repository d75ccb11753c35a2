/* SPDX-License-Identifier: Apache-2.0 */
/* What preflight finds: each with a code that never changes, for scripts, and words for people. */
#ifndef HOLDFAST_LUO_PREFLIGHT_REPORT_H
#define HOLDFAST_LUO_PREFLIGHT_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

enum severity {
	SEVERITY_ERROR,	  /* the update will fail, or lose guests */
	SEVERITY_WARNING, /* it may, or it cannot be told */
	SEVERITY_INFO,	  /* what was compared and is as it should be */
};

const char *severity_name(enum severity severity);

#define FINDING_TEXT_MAX 512

struct finding {
	enum severity severity;
	const char *code;		/* a literal: docs/abi.md lists all */
	char object[160];		/* "kernel /boot/vmlinuz-7.3", "vm web1" */
	char reason[FINDING_TEXT_MAX];	/* what is wrong with it */
	char way_out[FINDING_TEXT_MAX]; /* what to do; "" for information */
};

struct report {
	struct finding *findings; /* owned */
	size_t count;
	bool lost;	      /* memory was short: a finding is missing */
	struct finding spare; /* takes the words of the lost one */
};

/*
 * Adds a finding and returns it for report_way_out(). Never NULL; good until the next one is
 * added.
 */
struct finding *report_add(struct report *report, enum severity severity, const char *code,
			   const char *object, const char *reason, ...) _printf_(5, 6);
void report_way_out(struct finding *finding, const char *fmt, ...) _printf_(2, 3);

/* Whether the update can be expected to succeed: no error, nothing lost. */
bool report_ok(const struct report *report);
size_t report_count(const struct report *report, enum severity severity);
const struct finding *report_find(const struct report *report, const char *code);

/* Errors first. */
void report_print(const struct report *report, FILE *out);
/* {"ok": bool, "errors": n, "warnings": n, "findings": [{code, severity, object, reason,
 * "way-out"}]}. New reference, NULL when out of memory. */
json_t *report_to_json(const struct report *report);
void report_done(struct report *report);

#define _cleanup_report_ __attribute__((cleanup(report_done)))

#endif
