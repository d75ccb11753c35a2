/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of a guest's life on one kernel: cold boot, and before and after an update. */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "base/util.h"
#include "vmm/x86/acpi.h"
#include "vmm/x86/boot.h"
#include "vmm/x86/cold_vcpu.h"
#include "vmm/x86/layout.h"
#include "vmm/x86/vm.h"

static int write_acpi(const struct vm_config *config, const struct guest_ram *ram,
		      struct error *err)
{
	const struct guest_memory_region *low = guest_ram_region(ram, 0), *last;
	struct acpi_params params = {.cpus = config->cpus,
				     .memory_end = guest_ram_end(ram),
				     .pci = true,
				     .grow_start = guest_ram_grow_start(ram),
				     .grow_end = guest_ram_grow_end(ram),
				     .low_end = low->size};
	const size_t size = ACPI_TABLES_END - ACPI_TABLES_ADDR;
	_cleanup_free_ void *buf = calloc(1, size);
	size_t used;
	int r;

	if (!buf)
		return error_set(err, -ENOMEM, "out of memory for ACPI tables");
	last = guest_ram_region(ram, guest_ram_region_count(ram) - 1);
	params.high_end = last != low ? last->gpa + last->size : 0;
	r = acpi_build(&params, ACPI_TABLES_ADDR, buf, size, &used, err);
	if (r < 0)
		return r;
	if (guest_ram_write(ram, ACPI_TABLES_ADDR, buf, used) < 0)
		return error_set(err, -EFAULT, "guest memory does not reach the ACPI tables");
	return 0;
}

int arch_boot(struct arch_vm *vm, const struct vm_config *config, const struct guest_ram *ram,
	      struct error *err)
{
	struct boot_entry entry = {0};
	int r = write_acpi(config, ram, err);

	if (r == 0)
		r = boot_load(ram, config->kernel, config->initramfs, config->cmdline,
			      ACPI_TABLES_ADDR, &entry, err);
	return r < 0 ? r : cold_vcpu_enter(vm->vcpus[0].fd, &entry, err);
}

/*
 * KVM lets a guest switch nested virtualisation on only if its CPUID has it, and ours has not: so
 * there is no need to stop vCPUs and look into their registers, and this refuses only a guest that
 * was booted by something else.
 */
int arch_can_preserve(struct arch_vm *vm, struct error *err)
{
	for (unsigned int i = 0; i < vm->cpus; i++) {
		if (cpuid_has_nested(&vm->vcpus[i].cpuid))
			return error_set(err, -EOPNOTSUPP,
					 "vCPU %u: the guest was given nested virtualisation (VMX "
					 "or SVM), whose state is not preserved",
					 i);
	}
	return 0;
}

int arch_resumed(struct arch_vm *vm, struct error *err)
{
	for (unsigned int i = 0; i < vm->cpus; i++) {
		/* EINVAL: this vCPU's guest does not use kvmclock, so it has no such flag. */
		if (ioctl(vm->vcpus[i].fd, KVM_KVMCLOCK_CTRL, 0L) < 0 && errno != EINVAL)
			return error_sys(err, -errno, "vCPU %u: KVM_KVMCLOCK_CTRL", i);
	}
	return 0;
}
