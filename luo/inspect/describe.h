/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's state (base/state.h) as people read it: objects, versions, fields. */
#ifndef HOLDFAST_LUO_INSPECT_DESCRIBE_H
#define HOLDFAST_LUO_INSPECT_DESCRIBE_H

#include <jansson.h>
#include <stdio.h>

#include "base/state.h"

/*
 * Reads a state from a file; bytes behind the blob are fine (a memfd is larger). *ret_data is owned
 * by the caller and holds the blob. -EBADMSG (damaged) and -EPROTONOSUPPORT (another format) still
 * give a blob that can be shown: its tree is sound.
 */
int describe_load(const char *path, void **ret_data, struct state_blob *ret, struct error *err);

void describe_print(const struct state_blob *blob, FILE *out);
/* {"compatible", "writer", "size", "objects": [{"name", "properties": {}, "children": []}]}. New
 * reference, NULL when out of memory. */
json_t *describe_to_json(const struct state_blob *blob);

#endif
