/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of a VM's state that are not the machine's: its configuration and the timeline of the
 * update so far.
 *
 *   config { compatible = "holdfast,config"; version = <1>; json = "{...}"; held = <0>; };
 *   passthrough { compatible = "holdfast,passthrough"; version = <1>;
 *                 ioas = <1>; ioas-preserved = <0>; };   if one is not 0
 *   timeline { compatible = "holdfast,timeline"; version = <1>; json = "[...]"; };
 */
#ifndef HOLDFAST_VMM_UPDATE_RECORD_H
#define HOLDFAST_VMM_UPDATE_RECORD_H

#include <stdbool.h>

#include "base/state.h"
#include "luo/timeline.h"
#include "vmm/config.h"
#include "vmm/passthrough.h"

/* Upper bound of what record_save() writes, bytes. */
#define RECORD_SIZE_MAX (192UL * 1024)

struct record {
	struct vm_config config;
	bool held;			   /* the guest was paused by its user */
	uint32_t ioas[PASSTHROUGH_SPACES]; /* of the iommufds that are handed over; 0: none is */
	struct timeline timeline;
};

int record_save(const struct record *record, struct state_writer *w, struct error *err);

/* Checks everything before *ret is changed. */
int record_load(const struct state_blob *blob, struct record *ret, struct error *err);

#endif
