/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/kvm.h>

#include "vmm/arch.h"

#define NEED(cap, since)         \
	{                        \
		cap, #cap, since \
	}

/* Each is used without a second way; the newest of them decides: Linux 5.17. */
const struct kvm_need arch_kvm_needs[] = {
	NEED(KVM_CAP_IRQCHIP, "2.6.20"),
	NEED(KVM_CAP_USER_MEMORY, "2.6.25"),
	NEED(KVM_CAP_SET_TSS_ADDR, "2.6.25"),
	NEED(KVM_CAP_EXT_CPUID, "2.6.26"),
	NEED(KVM_CAP_MP_STATE, "2.6.26"),
	NEED(KVM_CAP_IRQ_ROUTING, "2.6.30"),
	NEED(KVM_CAP_MCE, "2.6.32"),
	NEED(KVM_CAP_PIT2, "2.6.31"),
	NEED(KVM_CAP_IRQFD, "2.6.32"),
	NEED(KVM_CAP_IOEVENTFD, "2.6.32"),
	NEED(KVM_CAP_SET_IDENTITY_MAP_ADDR, "2.6.32"),
	NEED(KVM_CAP_ADJUST_CLOCK, "2.6.33"),
	NEED(KVM_CAP_PIT_STATE2, "2.6.33"),
	NEED(KVM_CAP_VCPU_EVENTS, "2.6.33"),
	NEED(KVM_CAP_DEBUGREGS, "2.6.35"),
	NEED(KVM_CAP_XCRS, "2.6.36"),
	NEED(KVM_CAP_GET_TSC_KHZ, "3.0"),
	NEED(KVM_CAP_KVMCLOCK_CTRL, "3.5"),
	NEED(KVM_CAP_SIGNAL_MSI, "3.5"),
	NEED(KVM_CAP_IMMEDIATE_EXIT, "4.12"),
	NEED(KVM_CAP_EXCEPTION_PAYLOAD, "4.20"),
	NEED(KVM_CAP_BINARY_STATS_FD, "5.14"),
	NEED(KVM_CAP_SREGS2, "5.14"),
	NEED(KVM_CAP_VCPU_ATTRIBUTES, "5.16"),
	NEED(KVM_CAP_XSAVE2, "5.17"),
	{0, NULL, NULL},
};
