/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_TESTS_FAKE_PRIV_H
#define HOLDFAST_TESTS_FAKE_PRIV_H

#include "fake_vm.h"

/* Counts the call; -EIO if it is to fail. */
int fake_try(enum fake_call call, struct error *err);

#endif
