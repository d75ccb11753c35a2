/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that a vCPU is, apart from its TSC (clock_state.h): taken out of KVM, put into KVM, and
 * checked in between without KVM. The structures are the kernel's own.
 */
#ifndef HOLDFAST_VMM_X86_VCPU_IMAGE_H
#define HOLDFAST_VMM_X86_VCPU_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "base/error.h"
#include "base/state.h"
#include "vmm/x86/cpuid.h"
#include "vmm/x86/msr.h"

struct vcpu_image {
	struct cpuid_table cpuid;
	struct kvm_mp_state mp_state;
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	bool has_ssp; /* the guest was offered shadow stacks */
	uint64_t ssp; /* KVM_REG_GUEST_SSP */
	uint64_t mcg_cap;
	unsigned int msr_count;
	struct kvm_msr_entry msrs[MSR_COUNT_MAX];
	size_t xsave_size;
	struct kvm_xsave *xsave; /* owned; xsave_size bytes */
};

/* xsave_size: bytes, from KVM_CAP_XSAVE2; at least sizeof(struct kvm_xsave). */
int vcpu_image_new(size_t xsave_size, struct vcpu_image **ret, struct error *err);
void vcpu_image_free(struct vcpu_image *image); /* NULL is fine */
static inline void vcpu_image_freep(struct vcpu_image **image)
{
	vcpu_image_free(*image);
}

/* Takes it out of a stopped vCPU. CPUID is the caller's to fill in: KVM adds to what it was given.
 */
int vcpu_image_get(int vcpu_fd, const struct msr_list *msrs, struct vcpu_image *image,
		   struct error *err);

/* Puts it into a vCPU that has never run. Its TSC must stand already. */
int vcpu_image_set(int vcpu_fd, const struct vcpu_image *image, struct error *err);

/* To and from a state node. Reading checks everything that can be checked without KVM. */
void vcpu_image_write(const struct vcpu_image *image, struct state_writer *w);
void vcpu_image_read(struct state_reader *r, struct vcpu_image *image);

/* Upper bound of vcpu_image_write(), in bytes of a blob. */
size_t vcpu_image_size_max(size_t xsave_size, unsigned int msr_count);

#endif
