/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_VMM_X86_VCPU_STATE_H
#define HOLDFAST_VMM_X86_VCPU_STATE_H

#include "base/state.h"

/* obj: struct x86_vcpu. Node "vcpu@N". Loaded after "clock", which sets the TSC. */
extern const struct state_ops x86_vcpu_state_ops;

#endif
