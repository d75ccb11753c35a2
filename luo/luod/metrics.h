/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts over all updates of this host, carried in the registry from kernel to kernel: how updates
 * ended, and how long guests stood still and each phase took. Plain data; a client sees it at
 * /metrics.
 */
#ifndef HOLDFAST_LUOD_METRICS_H
#define HOLDFAST_LUOD_METRICS_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "luo/timeline.h"

/* Upper bounds in seconds; one more bucket takes the rest. */
#define METRICS_BOUNDS 16
extern const double metrics_bounds[METRICS_BOUNDS];

struct histogram {
	uint64_t buckets[METRICS_BOUNDS + 1]; /* each counts its own range only */
	double sum_seconds;
};

/* The blackout stands beside the phases. */
#define METRICS_BLACKOUT   TIMELINE_PHASE_MAX
#define METRICS_HISTOGRAMS (TIMELINE_PHASE_MAX + 1)
/* At least as many as enum update_state has. */
#define METRICS_RESULTS 16

struct metrics {
	uint64_t results[METRICS_RESULTS]; /* by enum update_state, ended ones only */
	struct histogram histograms[METRICS_HISTOGRAMS];
};

/* "freeze" and so on, or "blackout". */
const char *metrics_histogram_name(unsigned int index);
uint64_t histogram_count(const struct histogram *histogram);

/*
 * Counts an update that has ended: a view as update_view() makes it. before: the view of the same
 * update when it ended the first time, NULL if this is that; what it had is not counted twice.
 */
void metrics_count(struct metrics *metrics, const json_t *before, const json_t *view);

/* New reference, NULL when out of memory. */
json_t *metrics_to_json(const struct metrics *metrics);
/* NULL reads as none. Everything is checked; on error *ret is left alone. -EBADMSG. */
int metrics_from_json(const json_t *json, struct metrics *ret, struct error *err);

#endif
