/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's parts that are x86: private to vmm/x86/. */
#ifndef HOLDFAST_VMM_X86_VM_H
#define HOLDFAST_VMM_X86_VM_H

#include "vmm/arch.h"
#include "vmm/x86/cpuid.h"
#include "vmm/x86/msr.h"

struct x86_vcpu {
	struct arch_vm *vm;
	unsigned int index;
	int fd; /* borrowed */
	/* As given to KVM, which keeps bits of its own in what it gives back. */
	struct cpuid_table cpuid;
};

/* One of KVM's interrupt controllers, as KVM_GET_IRQCHIP numbers them. */
struct x86_irqchip {
	int vm_fd; /* borrowed */
	uint32_t chip_id;
};

struct arch_vm {
	int kvm_fd; /* borrowed, as vm_fd */
	int vm_fd;
	unsigned int cpus;
	unsigned int vcpu_count; /* initialised so far */
	size_t xsave_size;
	bool tsc_deadline;
	uint64_t mcg_cap;
	uint32_t tsc_khz;	/* of this host */
	uint32_t guest_tsc_khz; /* of the host that the guest was booted on: what it knows */
	struct cpuid_table supported;
	struct msr_list msrs;
	struct x86_irqchip pic[2], ioapic;
	struct x86_vcpu vcpus[VM_CPUS_MAX];
};

#endif
