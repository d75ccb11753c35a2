/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest sees of its CPUs: what KVM can do on this host, cut to what can be preserved, with
 * the topology of N single-threaded cores in one package. Made once, at the cold boot: it is saved
 * and set again as it was, because a guest looks at CPUID only when it boots.
 */
#ifndef HOLDFAST_VMM_X86_CPUID_H
#define HOLDFAST_VMM_X86_CPUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "base/error.h"

#define CPUID_ENTRIES_MAX 256

/* struct kvm_cpuid2 with room. */
struct cpuid_table {
	uint32_t nent, padding;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

/* KVM_GET_SUPPORTED_CPUID. */
int cpuid_supported(int kvm_fd, struct cpuid_table *ret, struct error *err);

/*
 * The table of vCPU `index` of `cpus`, from what is supported. Taken out: nested virtualisation
 * (its state is not saved), the PMU, processor trace, SGX (its memory is the host's), asynchronous
 * page faults and paravirtual spin locks (both leave events in flight inside KVM that no ioctl
 * shows). tsc_deadline: KVM emulates the LAPIC's deadline timer. -E2BIG: no room for topology
 * leaves.
 */
int cpuid_for_vcpu(const struct cpuid_table *supported, unsigned int index, unsigned int cpus,
		   bool tsc_deadline, struct cpuid_table *ret, struct error *err);

/* NULL if it is not there. subleaf is looked at for leaves that have them. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf);

/* VMX or SVM is offered. */
bool cpuid_has_nested(struct cpuid_table *table);

/*
 * Names the first feature bit of leaves 1, 7, 0xd, 0x80000001, 0x80000008 and 0x40000001 which
 * `wanted` has and `offered` lacks: "leaf 0x7 ebx bit 16". False if there is none.
 */
bool cpuid_find_lost(const struct cpuid_table *wanted, const struct cpuid_table *offered, char *buf,
		     size_t size);

#endif
