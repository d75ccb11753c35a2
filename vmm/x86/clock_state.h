/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's time: kvmclock and the vCPUs' TSC. clock_gap.h tells how it gets over an update. */
#ifndef HOLDFAST_VMM_X86_CLOCK_STATE_H
#define HOLDFAST_VMM_X86_CLOCK_STATE_H

#include "base/state.h"
#include "vmm/x86/vm.h"

/* KVM_VCPU_TSC_OFFSET: what KVM adds to the host's TSC. */
int vcpu_tsc_offset_get(int vcpu_fd, uint64_t *ret, struct error *err);

/* obj: struct arch_vm. Node "clock". */
extern const struct state_ops x86_clock_state_ops;

#define X86_CLOCK_STATE_MAX (1024 + 8 * VM_CPUS_MAX) /* bytes of a blob */

#endif
