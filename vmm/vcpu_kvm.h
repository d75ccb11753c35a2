/* SPDX-License-Identifier: Apache-2.0 */
/* The real thing behind struct vcpu_set: KVM's vCPU descriptors. */
#ifndef HOLDFAST_VMM_VCPU_KVM_H
#define HOLDFAST_VMM_VCPU_KVM_H

#include "vmm/config.h"
#include "vmm/vcpu.h"

struct vcpu_kvm {
	int kvm_fd; /* borrowed, as vm_fd */
	int vm_fd;
	uint64_t exits_offset; /* of the counter "exits" in a vCPU's statistics */
	struct {
		int fd;	      /* owned */
		int stats_fd; /* owned; KVM_GET_STATS_FD */
		struct kvm_run *run;
		size_t run_size;
	} vcpus[VM_CPUS_MAX];
};

/* No vCPU yet. Descriptors are borrowed. */
void vcpu_kvm_init(struct vcpu_kvm *v, int kvm_fd, int vm_fd);

/* backend: struct vcpu_kvm. */
extern const struct vcpu_ops vcpu_kvm_ops;

#endif
