/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86/cold_vcpu.h"

#include <string.h>

#include "base/util.h"
#include "vmm/kvm.h"
#include "vmm/x86/layout.h"

/* Control registers: Intel SDM vol. 3A, 2.5; EFER: 2.2.1. */
#define CR0_PE	 (1ULL << 0)
#define CR0_ET	 (1ULL << 4)
#define CR0_PG	 (1ULL << 31)
#define CR4_PAE	 (1ULL << 5)
#define EFER_LME (1ULL << 8)
#define EFER_LMA (1ULL << 10)

#define RFLAGS_RESERVED 2ULL /* always set; interrupts off */

/* LAPIC registers, Intel SDM vol. 3A, 11.5.1. */
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_LVT_LINT1 0x360
#define LVT_MODE_MASK	0x700U
#define LVT_MODE_NMI	0x400U
#define LVT_MODE_EXTINT 0x700U
#define LVT_MASKED	0x10000U

static void lapic_set_pin(struct kvm_lapic_state *lapic, size_t reg, uint32_t mode)
{
	uint32_t value;

	memcpy(&value, &lapic->regs[reg], sizeof(value));
	value = (value & ~(LVT_MODE_MASK | LVT_MASKED)) | mode;
	memcpy(&lapic->regs[reg], &value, sizeof(value));
}

int cold_vcpu_lapic(int vcpu_fd, struct error *err)
{
	struct kvm_lapic_state lapic;
	int r = kvm_ioctl(vcpu_fd, KVM_GET_LAPIC, &lapic, "KVM_GET_LAPIC", err);

	if (r < 0)
		return r;
	lapic_set_pin(&lapic, LAPIC_LVT_LINT0, LVT_MODE_EXTINT);
	lapic_set_pin(&lapic, LAPIC_LVT_LINT1, LVT_MODE_NMI);
	return kvm_ioctl(vcpu_fd, KVM_SET_LAPIC, &lapic, "KVM_SET_LAPIC", err);
}

/* Flat, 4 GiB. Type: 0xb code, execute/read, accessed; 0x3 data, read/write, accessed. */
static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool long_mode)
{
	bool code = type == 0xb;

	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = code && long_mode,
		.db = !(code && long_mode),
	};
}

void cold_vcpu_registers(const struct boot_entry *entry, struct kvm_sregs2 *sregs,
			 struct kvm_regs *regs)
{
	struct kvm_segment data = flat_segment(BOOT_DS, 0x3, entry->long_mode);

	sregs->cs = flat_segment(BOOT_CS, 0xb, entry->long_mode);
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	/* A busy 32/64-bit TSS (type 0xb) of the smallest size: VMX wants one that is usable. */
	sregs->tr = (struct kvm_segment){.limit = 0x67, .type = 0xb, .present = 1};
	sregs->ldt = (struct kvm_segment){.type = 0x2, .present = 0, .unusable = 1};
	sregs->gdt = (struct kvm_dtable){.base = GDT_ADDR, .limit = BOOT_GDT_LIMIT};
	sregs->idt = (struct kvm_dtable){.base = 0, .limit = 0};
	sregs->cr0 = CR0_PE | CR0_ET;
	sregs->cr3 = 0;
	sregs->cr4 = 0;
	sregs->efer = 0;
	if (entry->long_mode) {
		sregs->cr0 |= CR0_PG;
		sregs->cr3 = PML4_ADDR;
		sregs->cr4 = CR4_PAE;
		sregs->efer = EFER_LME | EFER_LMA;
	}
	sregs->flags = 0;
	*regs = (struct kvm_regs){
		.rip = entry->rip,
		.rsi = entry->long_mode ? entry->rsi : 0,
		.rbx = entry->long_mode ? 0 : entry->rbx,
		.rsp = BOOT_STACK_ADDR,
		.rbp = BOOT_STACK_ADDR,
		.rflags = RFLAGS_RESERVED,
	};
}

int cold_vcpu_enter(int vcpu_fd, const struct boot_entry *entry, struct error *err)
{
	struct kvm_sregs2 sregs;
	struct kvm_regs regs;
	int r = kvm_ioctl(vcpu_fd, KVM_GET_SREGS2, &sregs, "KVM_GET_SREGS2", err);

	if (r < 0)
		return r;
	cold_vcpu_registers(entry, &sregs, &regs);
	r = kvm_ioctl(vcpu_fd, KVM_SET_SREGS2, &sregs, "KVM_SET_SREGS2", err);
	if (r >= 0)
		r = kvm_ioctl(vcpu_fd, KVM_SET_REGS, &regs, "KVM_SET_REGS", err);
	return r;
}
