/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_LUOCTL_TIMELINE_SVG_H
#define HOLDFAST_LUOCTL_TIMELINE_SVG_H

#include <jansson.h>
#include <stdio.h>

#include "base/error.h"

/*
 * Draws an update (a document of the API) as an SVG 1.1 picture: a row for each VM, its phases from
 * left to right on one scale of time that begins with the first freeze; prepare, which goes on
 * while guests run, on a scale of its own. -ENODATA: no VM has a phase with an end.
 */
int timeline_svg(const json_t *update, FILE *out, struct error *err);

#endif
