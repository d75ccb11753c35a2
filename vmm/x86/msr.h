/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's model specific registers: which are saved, reading and writing them. The list is the
 * kernel's own (KVM_GET_MSR_INDEX_LIST) with what it leaves out (MTRRs, machine check banks)
 * and without what is not to be set: see msr_is_saved().
 */
#ifndef HOLDFAST_VMM_X86_MSR_H
#define HOLDFAST_VMM_X86_MSR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct kvm_msr_entry;

#define MSR_COUNT_MAX 1024

/* Intel SDM vol. 4, 2.1. */
#define MSR_IA32_TSC	      0x10
#define MSR_IA32_MTRRCAP      0xfe
#define MSR_IA32_MCG_CAP      0x179
#define MSR_IA32_MISC_ENABLE  0x1a0
#define MSR_IA32_MTRRPHYS0    0x200
#define MSR_IA32_MTRRFIX64K   0x250
#define MSR_IA32_MTRRFIX16K0  0x258
#define MSR_IA32_MTRRFIX4K0   0x268
#define MSR_IA32_MTRRDEFTYPE  0x2ff
#define MSR_IA32_MC0_CTL      0x400
#define MSR_IA32_TSC_DEADLINE 0x6e0

struct msr_list {
	unsigned int count;
	uint32_t indices[MSR_COUNT_MAX];
};

/*
 * False for what is kept elsewhere or belongs to something the guest is never offered: IA32_TSC
 * (by its offset: clock_state.h), Hyper-V's synthetic MSRs, and the VMX capability MSRs.
 */
bool msr_is_saved(uint32_t index);

/* The kernel's list, filtered, and what it leaves out, each once, in order of index. mc_banks:
 * machine check banks of the vCPUs. */
int msr_list_new(int kvm_fd, unsigned int mc_banks, struct msr_list *ret, struct error *err);
/* The same from a given list: for tests. */
int msr_list_build(const uint32_t *kernel, unsigned int count, unsigned int mc_banks,
		   struct msr_list *ret, struct error *err);
/* Takes out what this vCPU cannot read. */
void msr_list_probe(int vcpu_fd, struct msr_list *list);

/* Reads one MSR. */
int msr_get(int vcpu_fd, uint32_t index, uint64_t *ret);

/* Reads all of the list into entries (list->count of them). -EIO names the MSR that cannot be read.
 */
int msr_get_all(int vcpu_fd, const struct msr_list *list, struct kvm_msr_entry *entries,
		struct error *err);

/*
 * Writes entries in order, but IA32_TSC_DEADLINE last: it starts a timer, for which the rest must
 * stand. An MSR that this kernel does not take is left out if its value is 0, which is what it has
 * at power-on, and else refused with its index: -EINVAL.
 */
int msr_set_all(int vcpu_fd, const struct kvm_msr_entry *entries, unsigned int count,
		struct error *err);

#endif
