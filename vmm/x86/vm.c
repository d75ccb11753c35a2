/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86/vm.h"

#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "vmm/x86/clock_state.h"
#include "vmm/x86/cold_vcpu.h"
#include "vmm/x86/irq_routing.h"
#include "vmm/x86/irqchip_state.h"
#include "vmm/x86/layout.h"
#include "vmm/x86/vcpu_image.h"
#include "vmm/x86/vcpu_state.h"

/* Machine check banks as on most CPUs; IA32_MCG_CAP, Intel SDM vol. 3B, 17.3.1.1. */
#define MC_BANKS  10
#define MCG_CTL_P (1ULL << 8)
#define MCG_SER_P (1ULL << 24)

/* Best effort: without the PMU capability (a kernel booted with kvm.enable_pmu=0) there is none to
 * switch off. */
static int enable_caps(struct arch_vm *vm, struct error *err)
{
	int r = kvm_enable_cap(vm->vm_fd, KVM_CAP_EXCEPTION_PAYLOAD, 1);

	if (r < 0)
		return error_sys(err, r, "cannot enable KVM_CAP_EXCEPTION_PAYLOAD");
	if (kvm_cap(vm->vm_fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT) > 0) {
		r = kvm_enable_cap(vm->vm_fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
		if (r < 0)
			return error_sys(err, r, "cannot enable KVM_CAP_X86_TRIPLE_FAULT_EVENT");
	}
	if (kvm_enable_cap(vm->vm_fd, KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE) < 0)
		log_debug("KVM has no PMU to switch off");
	return 0;
}

/*
 * vCPUs are to have the rate of the host's TSC as the kernel knows it now. Without this KVM takes,
 * where the CPU does not say that its TSC is constant, the rate that was measured at boot; if the
 * kernel has refined that since by more than 250 ppm, KVM gives the vCPU a TSC that it would have
 * to scale, cannot, and leaves it standing still or chasing the host's.
 */
static void use_host_tsc_rate(const struct arch_vm *vm)
{
	if (ioctl(vm->vm_fd, KVM_SET_TSC_KHZ, 0L) < 0)
		log_debug("this KVM does not set the TSC's rate for a whole VM");
}

static int create_irqchip(struct arch_vm *vm, struct error *err)
{
	uint64_t identity = KVM_IDENTITY_ADDR;
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	int r = kvm_ioctl(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity,
			  "KVM_SET_IDENTITY_MAP_ADDR", err);

	if (r >= 0 && ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_ADDR) < 0)
		r = error_sys(err, -errno, "KVM_SET_TSS_ADDR");
	if (r >= 0)
		r = kvm_ioctl(vm->vm_fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP", err);
	if (r >= 0)
		r = irq_routing_set(vm->vm_fd, err);
	if (r >= 0)
		r = kvm_ioctl(vm->vm_fd, KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2", err);
	return r;
}

static int learn_host(struct arch_vm *vm, struct error *err)
{
	uint64_t mce_supported = 0;
	int r = cpuid_supported(vm->kvm_fd, &vm->supported, err);

	if (r < 0)
		return r;
	r = kvm_cap(vm->vm_fd, KVM_CAP_XSAVE2);
	vm->xsave_size = MAX_OF((size_t)r, sizeof(struct kvm_xsave));
	vm->tsc_deadline = kvm_cap(vm->vm_fd, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	r = kvm_ioctl(vm->kvm_fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &mce_supported,
		      "KVM_X86_GET_MCE_CAP_SUPPORTED", err);
	if (r < 0)
		return r;
	vm->mcg_cap = MC_BANKS | (mce_supported & (MCG_CTL_P | MCG_SER_P));
	return msr_list_new(vm->kvm_fd, MC_BANKS, &vm->msrs, err);
}

int arch_vm_new(int kvm_fd, int vm_fd, unsigned int cpus, struct arch_vm **ret, struct error *err)
{
	int max = kvm_cap(vm_fd, KVM_CAP_MAX_VCPUS), r;
	struct arch_vm *vm;

	if (cpus == 0 || cpus > VM_CPUS_MAX || (max > 0 && cpus > (unsigned int)max))
		return error_set(err, -EINVAL, "cpus: %u vCPUs, but 1 to %d are possible here",
				 cpus, max > 0 ? MIN_OF(max, VM_CPUS_MAX) : VM_CPUS_MAX);
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return error_set(err, -ENOMEM, "out of memory for a VM");
	vm->kvm_fd = kvm_fd;
	vm->vm_fd = vm_fd;
	vm->cpus = cpus;
	vm->pic[0] = (struct x86_irqchip){vm_fd, KVM_IRQCHIP_PIC_MASTER};
	vm->pic[1] = (struct x86_irqchip){vm_fd, KVM_IRQCHIP_PIC_SLAVE};
	vm->ioapic = (struct x86_irqchip){vm_fd, KVM_IRQCHIP_IOAPIC};
	use_host_tsc_rate(vm);
	r = enable_caps(vm, err);
	if (r == 0)
		r = create_irqchip(vm, err);
	if (r == 0)
		r = learn_host(vm, err);
	if (r < 0) {
		arch_vm_free(vm);
		return r;
	}
	*ret = vm;
	return 0;
}

void arch_vm_free(struct arch_vm *vm)
{
	free(vm);
}

/* Leaf 0x80000008, EAX (Intel SDM vol. 2A, CPUID); 36 where there is none. */
static unsigned int address_width(const struct arch_vm *vm)
{
	struct cpuid_table table = vm->supported;
	const struct kvm_cpuid_entry2 *e = cpuid_find(&table, 0x80000008, 0);

	return e && (e->eax & 0xff) ? e->eax & 0xff : 36;
}

int arch_check_ram(const struct arch_vm *vm, const struct guest_ram *ram, struct error *err)
{
	unsigned int width = address_width(vm);

	if (guest_ram_end(ram) <= 1ULL << width)
		return 0;
	return error_set(err, -ERANGE,
			 "memory: the guest's processor has addresses of %u bits, and size and "
			 "hotplug_size together need more: take less",
			 width);
}

/* The first vCPU shows what they all have. */
static int learn_from_first_vcpu(struct arch_vm *vm, int fd, struct error *err)
{
	int khz = ioctl(fd, KVM_GET_TSC_KHZ, 0L);

	if (khz <= 0)
		return error_set(err, -EIO,
				 "KVM does not know the rate of the TSC: the host's TSC is not "
				 "usable as a clock");
	vm->tsc_khz = (uint32_t)khz;
	vm->guest_tsc_khz = vm->tsc_khz;
	msr_list_probe(fd, &vm->msrs);
	return 0;
}

/* The guest's TSC is the host's plus an offset: all that clock_state.c does stands on this. */
static int check_tsc(int fd, struct error *err)
{
	uint64_t before = clock_tsc(), guest, offset, host;
	int r = vcpu_tsc_offset_get(fd, &offset, err);

	if (r < 0)
		return r;
	if (msr_get(fd, MSR_IA32_TSC, &guest) < 0)
		return error_set(err, -EIO, "IA32_TSC cannot be read");
	host = guest - offset;
	if (host < before || host > clock_tsc())
		return error_set(err, -EAGAIN,
				 "KVM does not run the vCPU's TSC at the rate of the host's, which "
				 "the kernel is still measuring: try again");
	return 0;
}

int arch_vcpu_init(struct arch_vm *vm, unsigned int index, int fd, struct error *err)
{
	struct x86_vcpu *vcpu = &vm->vcpus[index];
	uint64_t mcg_cap = vm->mcg_cap;
	int r;

	*vcpu = (struct x86_vcpu){.vm = vm, .index = index, .fd = fd};
	r = cpuid_for_vcpu(&vm->supported, index, vm->cpus, vm->tsc_deadline, &vcpu->cpuid, err);
	if (r == 0)
		r = kvm_ioctl(fd, KVM_SET_CPUID2, &vcpu->cpuid, "KVM_SET_CPUID2", err);
	if (r >= 0)
		r = kvm_ioctl(fd, KVM_X86_SETUP_MCE, &mcg_cap, "KVM_X86_SETUP_MCE", err);
	if (r >= 0)
		r = cold_vcpu_lapic(fd, err);
	if (r >= 0)
		r = check_tsc(fd, err);
	if (r >= 0 && index == 0)
		r = learn_from_first_vcpu(vm, fd, err);
	if (r < 0)
		return error_prefix(err, "vCPU %u: ", index), r;
	vm->vcpu_count = index + 1;
	return 0;
}

static void add_object(struct state_object *objects, size_t *count, const struct state_ops *ops,
		       void *obj, int instance)
{
	struct state_object *o = &objects[(*count)++];

	*o = (struct state_object){.ops = ops, .obj = obj};
	if (instance >= 0)
		snprintf(o->instance, sizeof(o->instance), "%d", instance);
}

/* The clock first: a vCPU's deadline timer is armed against its TSC. */
size_t arch_objects(struct arch_vm *vm, struct state_object objects[ARCH_OBJECTS_MAX])
{
	size_t count = 0;

	add_object(objects, &count, &x86_clock_state_ops, vm, -1);
	for (unsigned int i = 0; i < vm->cpus; i++)
		add_object(objects, &count, &x86_vcpu_state_ops, &vm->vcpus[i], (int)i);
	add_object(objects, &count, &x86_pic_state_ops, &vm->pic[0], 0);
	add_object(objects, &count, &x86_pic_state_ops, &vm->pic[1], 1);
	add_object(objects, &count, &x86_ioapic_state_ops, &vm->ioapic, -1);
	add_object(objects, &count, &x86_pit_state_ops, vm, -1);
	return count;
}

size_t arch_state_size_max(const struct arch_vm *vm)
{
	return vm->cpus * vcpu_image_size_max(vm->xsave_size, vm->msrs.count) +
	       X86_CLOCK_STATE_MAX + X86_IRQCHIP_STATE_MAX;
}

void arch_set_irq(struct arch_vm *vm, uint32_t gsi, bool level)
{
	struct kvm_irq_level irq = {.irq = gsi, .level = level};

	/* Fails only for a GSI that has no route: a bug in us. */
	if (ioctl(vm->vm_fd, KVM_IRQ_LINE, &irq) < 0)
		log_error("GSI %u: KVM_IRQ_LINE: %s", gsi, strerror(errno));
}

uint64_t arch_guest_clock_ns(struct arch_vm *vm)
{
	struct kvm_clock_data data = {0};

	if (ioctl(vm->vm_fd, KVM_GET_CLOCK, &data) < 0)
		log_error("KVM_GET_CLOCK: %s", strerror(errno));
	return data.clock;
}

uint32_t arch_tsc_khz(const struct arch_vm *vm)
{
	return vm->tsc_khz;
}
