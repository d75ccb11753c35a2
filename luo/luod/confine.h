/* SPDX-License-Identifier: Apache-2.0 */
/* What luod, and every program that it starts, gives up for good. docs/confinement.md. */
#ifndef HOLDFAST_LUOD_CONFINE_H
#define HOLDFAST_LUOD_CONFINE_H

#include "base/error.h"

/* Main thread, before others are started. */
int luod_confine(struct error *err);

#endif
