/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of the API made from the registry. New references, NULL when out of memory. */
#ifndef HOLDFAST_LUOD_VIEW_H
#define HOLDFAST_LUOD_VIEW_H

#include "luo/luod/registry.h"

json_t *vm_view(const struct registry *reg, const struct vm_record *record);

/* The part of it that an event tells: what does not change with every stamp. */
json_t *vm_event_view(const struct vm_record *record);

/* The current or last update with the VMs that belong to it, each with its timeline. */
json_t *update_view(const struct registry *reg);

/* What an entry of the history must be like to be shown: what update_view() makes. -EINVAL. */
int update_view_check(json_t *view, struct error *err);

/* The timeline with milliseconds; "ms" is left out while the rate of the TSC is not known. */
json_t *timeline_view(const struct timeline *timeline, uint64_t tsc_khz);

#endif
