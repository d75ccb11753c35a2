/* SPDX-License-Identifier: Apache-2.0 */
/* The check that bytes must pass before libfdt may look at them. */
#ifndef HOLDFAST_BASE_DEVICETREE_H
#define HOLDFAST_BASE_DEVICETREE_H

#include <stddef.h>

#include "base/error.h"

/*
 * A whole, sound flattened device tree of version 17 (Devicetree Specification v0.4, chapter 5) in
 * the first of the available bytes? Hostile bytes are fine. -EINVAL: no, and why; the message has
 * no subject: callers put it in front.
 */
int devicetree_check(const void *data, size_t available, struct error *err);

#endif
