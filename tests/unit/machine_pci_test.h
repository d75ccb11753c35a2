/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of vmm/machine_pci and vmm/machine_devices share: both on the real platform and
 * buses, with a KVM that is played by the test.
 */
#ifndef HOLDFAST_TESTS_UNIT_MACHINE_PCI_TEST_H
#define HOLDFAST_TESTS_UNIT_MACHINE_PCI_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/kvm.h>

#include "base/util.h"
#include "vmm/machine_devices.h"
#include "vmm/x86/acpi.h"
#include "vmm/x86/vm.h"

#define VM_FD 1234

static struct {
	bool pin[GSI_COUNT];
	unsigned int pin_calls, bells, signals;
	uint64_t bell_addr;
	struct kvm_irqfd irqfd;			 /* the last */
	struct kvm_userspace_memory_region slot; /* the same */
	unsigned int slots;
	int slot_fails; /* positive errno; 0: it does not */
} kvm;

/* What a test answers to those that are not KVM's; NULL: no such request. */
static int (*other_ioctl)(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct kvm_irq_level *level = arg;
	const struct kvm_ioeventfd *bell = arg;

	if (fd != VM_FD && other_ioctl)
		return other_ioctl(fd, request, arg);
	/* Of an image: a file has nothing of a block device. */
	if (fd != VM_FD) {
		errno = ENOTTY;
		return -1;
	}
	switch (request) {
	case KVM_IRQ_LINE:
		kvm.pin[level->irq] = level->level;
		kvm.pin_calls++;
		break;
	case KVM_IOEVENTFD:
		assert_int_equal(bell->len, 0);
		kvm.bells += bell->flags & KVM_IOEVENTFD_FLAG_DEASSIGN ? -1U : 1U;
		kvm.bell_addr = bell->addr;
		break;
	case KVM_IRQFD:
		kvm.irqfd = *(const struct kvm_irqfd *)arg;
		break;
	case KVM_GET_CLOCK:
		memset(arg, 0, sizeof(struct kvm_clock_data));
		break;
	case KVM_SIGNAL_MSI:
		kvm.signals++;
		break;
	case KVM_SET_USER_MEMORY_REGION:
		if (kvm.slot_fails) {
			errno = kvm.slot_fails;
			return -1;
		}
		kvm.slot = *(const struct kvm_userspace_memory_region *)arg;
		kvm.slots++;
		break;
	default:
		fail_msg("ioctl 0x%lx", request);
	}
	return 0;
}

struct machine_test {
	struct vm_config config;
	struct arch_vm arch;
	struct loop *loop;
	struct bus *ports, *mmio;
	struct guest_ram *ram;
	struct arch_platform *platform;
	struct machine_control control;
	struct machine_pci *pci;
	struct machine_devices *devices;
	unsigned int resets;
	char gone[VM_DEVICE_NAME_MAX]; /* the last device that a guest gave back */
};

static inline void on_gone(void *opaque, const char *name)
{
	struct machine_test *t = opaque;

	snprintf(t->gone, sizeof(t->gone), "%s", name);
	vm_config_forget_device(&t->config, name);
}

static inline void on_request(void *opaque, enum machine_request request)
{
	struct machine_test *t = opaque;

	assert_int_equal(request, MACHINE_REQUEST_RESET);
	t->resets++;
}

static inline void make_pci(struct machine_test *t)
{
	const struct arch_platform_params platform = {.config = &t->config,
						      .loop = t->loop,
						      .vm = &t->arch,
						      .ports = t->ports,
						      .mmio = t->mmio,
						      .control = t->control};
	struct machine_pci_params pci = {.loop = t->loop,
					 .vm_fd = VM_FD,
					 .arch = &t->arch,
					 .ram = t->ram,
					 .ports = t->ports,
					 .mmio = t->mmio};

	assert_int_equal(arch_platform_new(&platform, &t->platform, NULL), 0);
	pci.platform = t->platform;
	assert_int_equal(machine_pci_new(&pci, &t->pci, NULL), 0);
}

static inline int make_devices(struct machine_test *t, struct error *err)
{
	const struct machine_devices_params devices = {
		.config = &t->config,
		.loop = t->loop,
		.ram = t->ram,
		.pci = t->pci,
		.control = &t->control,
		.gone = on_gone,
		.opaque = t,
	};

	return machine_devices_new(&devices, &t->devices, err);
}

static inline void make_growing(struct machine_test *t, uint64_t memory, uint64_t growth)
{
	memset(t, 0, sizeof(*t));
	memset(&kvm, 0, sizeof(kvm));
	vm_config_init(&t->config);
	t->config.console.mode = CONSOLE_OFF;
	t->config.hvc = (struct console_config){.mode = CONSOLE_FILE, .path = "/dev/null"};
	t->arch.vm_fd = VM_FD;
	t->control = (struct machine_control){on_request, t};
	assert_int_equal(loop_new(&t->loop, NULL), 0);
	assert_int_equal(bus_new("port", &t->ports, NULL), 0);
	assert_int_equal(bus_new("MMIO", &t->mmio, NULL), 0);
	t->config.growth.max = growth;
	assert_int_equal(guest_ram_create(memory, &t->config.growth, &t->ram, NULL), 0);
	make_pci(t);
}

static inline void make_with(struct machine_test *t, uint64_t memory)
{
	make_growing(t, memory, 0);
}

static inline void make(struct machine_test *t)
{
	make_with(t, VM_MEMORY_MIN);
	assert_int_equal(make_devices(t, NULL), 0);
}

static inline void count_region(void *opaque, uint64_t base _unused_, uint64_t size _unused_,
				const char *name _unused_)
{
	++*(unsigned int *)opaque;
}

static inline void unmake(struct machine_test *t)
{
	unsigned int left = 0;

	machine_devices_free(t->devices);
	machine_pci_free(t->pci);
	/* Nothing of PCI stays behind. */
	bus_walk(t->mmio, count_region, &left);
	assert_int_equal(left, 0);
	assert_int_equal(kvm.bells, 0);
	arch_platform_free(t->platform);
	bus_free(t->ports);
	bus_free(t->mmio);
	guest_ram_free(t->ram);
	loop_free(t->loop);
}

static inline uint64_t ecam(unsigned int slot, unsigned int offset)
{
	return PCI_ECAM_ADDR + ((uint64_t)slot << 15) + offset;
}

static inline uint32_t config_read(struct machine_test *t, unsigned int slot, unsigned int offset)
{
	uint32_t value;

	bus_read(t->mmio, ecam(slot, offset), &value, sizeof(value));
	return value;
}

static inline uint32_t hotplug_read(struct machine_test *t, unsigned int offset)
{
	uint32_t value;

	bus_read(t->ports, PORT_PCI_HOTPLUG + offset, &value, sizeof(value));
	return value;
}

static inline void hotplug_write(struct machine_test *t, unsigned int offset, uint32_t value)
{
	bus_write(t->ports, PORT_PCI_HOTPLUG + offset, &value, sizeof(value));
}

#endif
