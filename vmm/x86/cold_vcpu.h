/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU at power-on, and as a kernel's entry wants it. */
#ifndef HOLDFAST_VMM_X86_COLD_VCPU_H
#define HOLDFAST_VMM_X86_COLD_VCPU_H

#include <linux/kvm.h>

#include "base/error.h"
#include "vmm/x86/boot.h"

/* The LAPIC's pins as firmware leaves them: LINT0 takes the PIC's interrupts (ExtINT), LINT1 NMI
 * (Intel MultiProcessor Specification 1.4, 3.6.2.2: virtual wire mode). */
int cold_vcpu_lapic(int vcpu_fd, struct error *err);

/* Registers for the entry, from those that a vCPU has at power-on; no side effect. */
void cold_vcpu_registers(const struct boot_entry *entry, struct kvm_sregs2 *sregs,
			 struct kvm_regs *regs);

/* Gives vCPU 0 these registers. */
int cold_vcpu_enter(int vcpu_fd, const struct boot_entry *entry, struct error *err);

#endif
