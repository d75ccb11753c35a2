/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_LUOD_METRICS_TEXT_H
#define HOLDFAST_LUOD_METRICS_TEXT_H

#include <stddef.h>

#include "luo/luod/registry.h"

/*
 * What /metrics says, in Prometheus' text format 0.0.4: VMs by phase, preserved bytes, updates by
 * result, histograms of blackout and phases. *ret is owned by the caller. -ENOMEM.
 */
int metrics_text(const struct registry *reg, char **ret, size_t *ret_length);

#endif
