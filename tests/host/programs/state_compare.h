/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a machine that loaded a state saves the same again. */
#ifndef HOLDFAST_TESTS_STATE_COMPARE_H
#define HOLDFAST_TESTS_STATE_COMPARE_H

#include "base/state.h"

/* -EINVAL names the first byte that differs. Clocks and timers may: they go on. */
int state_compare(const struct state_blob *old, const struct state_blob *now, struct error *err);

#endif
