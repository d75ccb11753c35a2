/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86/vcpu_image.h"

#include <string.h>
#include <sys/ioctl.h>

#include "base/util.h"
#include "vmm/kvm.h"

#define LEAF7_ECX_SHSTK (1U << 7)

int vcpu_image_new(size_t xsave_size, struct vcpu_image **ret, struct error *err)
{
	struct vcpu_image *image = calloc(1, sizeof(*image));

	if (!image)
		return error_set(err, -ENOMEM, "out of memory for a vCPU's state");
	image->xsave_size = MAX_OF(xsave_size, sizeof(struct kvm_xsave));
	image->xsave = calloc(1, image->xsave_size);
	if (!image->xsave) {
		free(image);
		return error_set(err, -ENOMEM, "out of memory for a vCPU's state");
	}
	*ret = image;
	return 0;
}

void vcpu_image_free(struct vcpu_image *image)
{
	if (!image)
		return;
	free(image->xsave);
	free(image);
}

struct step {
	unsigned long request;
	void *arg;
	const char *what;
};

static int do_steps(int fd, const struct step *steps, size_t count, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < count; i++)
		r = kvm_ioctl(fd, steps[i].request, steps[i].arg, steps[i].what, err);
	return r;
}

static bool has_shadow_stack(struct cpuid_table *cpuid)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 7, 0);

	return e && e->ecx & LEAF7_ECX_SHSTK;
}

static int get_ssp(int fd, struct vcpu_image *image, struct error *err)
{
	struct kvm_one_reg reg = {.id = KVM_X86_REG_KVM(KVM_REG_GUEST_SSP),
				  .addr = (uintptr_t)&image->ssp};

	image->ssp = 0;
	image->has_ssp = has_shadow_stack(&image->cpuid);
	if (!image->has_ssp)
		return 0;
	return kvm_ioctl(fd, KVM_GET_ONE_REG, &reg, "KVM_GET_ONE_REG (SSP)", err);
}

/*
 * MP_STATE first: asking for it makes KVM take a pending INIT or SIPI in, which changes all the
 * rest. Events last: asking for the LAPIC first moves posted interrupts into it.
 */
int vcpu_image_get(int fd, const struct msr_list *msrs, struct vcpu_image *image, struct error *err)
{
	const struct step steps[] = {
		{KVM_GET_MP_STATE, &image->mp_state, "KVM_GET_MP_STATE"},
		{KVM_GET_REGS, &image->regs, "KVM_GET_REGS"},
		{KVM_GET_SREGS2, &image->sregs, "KVM_GET_SREGS2"},
		{KVM_GET_XSAVE2, image->xsave, "KVM_GET_XSAVE2"},
		{KVM_GET_XCRS, &image->xcrs, "KVM_GET_XCRS"},
		{KVM_GET_DEBUGREGS, &image->debugregs, "KVM_GET_DEBUGREGS"},
		{KVM_GET_LAPIC, &image->lapic, "KVM_GET_LAPIC"},
		{KVM_GET_VCPU_EVENTS, &image->events, "KVM_GET_VCPU_EVENTS"},
	};
	int r = do_steps(fd, steps, ARRAY_SIZE(steps) - 1, err);

	if (r == 0)
		r = get_ssp(fd, image, err);
	if (r == 0) {
		image->msr_count = msrs->count;
		r = msr_get_all(fd, msrs, image->msrs, err);
	}
	if (r == 0 && msr_get(fd, MSR_IA32_MCG_CAP, &image->mcg_cap) < 0)
		r = error_set(err, -EIO, "IA32_MCG_CAP cannot be read");
	if (r == 0)
		r = do_steps(fd, &steps[ARRAY_SIZE(steps) - 1], 1, err);
	return r;
}

static int set_ssp(int fd, const struct vcpu_image *image, struct error *err)
{
	uint64_t ssp = image->ssp;
	struct kvm_one_reg reg = {.id = KVM_X86_REG_KVM(KVM_REG_GUEST_SSP),
				  .addr = (uintptr_t)&ssp};

	if (!image->has_ssp)
		return 0;
	return kvm_ioctl(fd, KVM_SET_ONE_REG, &reg, "KVM_SET_ONE_REG (SSP)", err);
}

/* Copies, because the kernel's interface takes what is const here by a plain pointer. */
struct set_scratch {
	struct cpuid_table cpuid;
	struct kvm_mp_state mp_state;
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	uint64_t mcg_cap;
};

/*
 * The order, and why:
 *  1. CPUID: decides which bits of all others KVM takes.
 *  2. Machine check banks: sets their control registers, which are among the MSRs.
 *  3. SREGS2: EFER and the control registers; IA32_APIC_BASE in it gives the LAPIC its mode
 *     (xAPIC, x2APIC), in which the LAPIC's page is then read.
 *  4. General registers, XCR0, then XSAVE (x87 to AMX), debug registers: of no order.
 *  5. LAPIC: before the MSRs, because IA32_TSC_DEADLINE arms a timer only if the LAPIC's timer
 *     is in deadline mode. The timer's remaining count starts to run here.
 *  6. MSRs, IA32_TSC_DEADLINE last of them: a deadline that passed in the gap fires at once.
 *  7. SSP: needs the shadow stack MSRs.
 *  8. Events: what was being injected; setting SREGS or the LAPIC later could undo it.
 *  9. MP_STATE: a vCPU that waits for SIPI, is halted, or runs. After the events, because KVM
 *     refuses a wait-for-SIPI that contradicts a pending INIT.
 */
int vcpu_image_set(int fd, const struct vcpu_image *image, struct error *err)
{
	struct set_scratch s = {image->cpuid, image->mp_state, image->regs,
				image->sregs, image->xcrs,     image->debugregs,
				image->lapic, image->events,   image->mcg_cap};
	const struct step before[] = {
		{KVM_SET_CPUID2, &s.cpuid, "KVM_SET_CPUID2"},
		{KVM_X86_SETUP_MCE, &s.mcg_cap, "KVM_X86_SETUP_MCE"},
		{KVM_SET_SREGS2, &s.sregs, "KVM_SET_SREGS2"},
		{KVM_SET_REGS, &s.regs, "KVM_SET_REGS"},
		{KVM_SET_XCRS, &s.xcrs, "KVM_SET_XCRS"},
		{KVM_SET_XSAVE, image->xsave, "KVM_SET_XSAVE"},
		{KVM_SET_DEBUGREGS, &s.debugregs, "KVM_SET_DEBUGREGS"},
		{KVM_SET_LAPIC, &s.lapic, "KVM_SET_LAPIC"},
	};
	const struct step after[] = {
		{KVM_SET_VCPU_EVENTS, &s.events, "KVM_SET_VCPU_EVENTS"},
		{KVM_SET_MP_STATE, &s.mp_state, "KVM_SET_MP_STATE"},
	};
	int r = do_steps(fd, before, ARRAY_SIZE(before), err);

	if (r == 0)
		r = msr_set_all(fd, image->msrs, image->msr_count, err);
	if (r == 0)
		r = set_ssp(fd, image, err);
	return r < 0 ? r : do_steps(fd, after, ARRAY_SIZE(after), err);
}
