/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine needs of an architecture: implemented by vmm/x86/ (and nothing else yet). All
 * functions belong to the loop's thread, with the vCPUs stopped unless said otherwise.
 */
#ifndef HOLDFAST_VMM_ARCH_H
#define HOLDFAST_VMM_ARCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/state.h"
#include "vmm/config.h"
#include "vmm/guest_memory.h"
#include "vmm/kvm.h"

struct arch_vm;

/* What KVM must offer; ended by a name of NULL. */
extern const struct kvm_need arch_kvm_needs[];

/* Interrupt controllers and timers inside KVM; before the first vCPU. Descriptors are borrowed. */
int arch_vm_new(int kvm_fd, int vm_fd, unsigned int cpus, struct arch_vm **ret, struct error *err);
void arch_vm_free(struct arch_vm *vm); /* NULL is fine */

/* -ERANGE: vCPUs cannot address all RAM that there is and may come (MAXPHYADDR). */
int arch_check_ram(const struct arch_vm *vm, const struct guest_ram *ram, struct error *err);

/* Gives a fresh vCPU its identity and its state at power-on. fd is borrowed. In order of index. */
int arch_vcpu_init(struct arch_vm *vm, unsigned int index, int fd, struct error *err);

/* Kernel, tables and vCPU 0's registers for a cold boot. */
int arch_boot(struct arch_vm *vm, const struct vm_config *config, const struct guest_ram *ram,
	      struct error *err);

/*
 * The stateful objects inside KVM, in the order in which they must be loaded. Saving goes in
 * the opposite order: from the sources of interrupts to the vCPUs that take them, because timers
 * inside KVM go on while vCPUs are stopped, and an interrupt must rather be saved twice than never.
 */
#define ARCH_OBJECTS_MAX (VM_CPUS_MAX + 8)
size_t arch_objects(struct arch_vm *vm, struct state_object objects[ARCH_OBJECTS_MAX]);

/* Upper bound of what saving the objects writes, in bytes. */
size_t arch_state_size_max(const struct arch_vm *vm);

/* Refuses what cannot be preserved. vCPUs may run. */
int arch_can_preserve(struct arch_vm *vm, struct error *err);

/* Tells the guest that it stood still, so that its watchdogs do not fire. */
int arch_resumed(struct arch_vm *vm, struct error *err);

/*
 * Interrupt routing, for whoever writes the VM's whole table (vmm/msi): the routes of the
 * controllers' pins, which never change, and the first GSI that is no pin's. Returns how many.
 */
#define ARCH_IRQ_ROUTES_MAX 40
#define ARCH_GSI_MSI	    24
struct kvm_irq_routing_entry;
unsigned int arch_irq_routes(struct kvm_irq_routing_entry *routes);

/* The global system interrupt of INTA of the PCI device in this slot of bus 0. */
unsigned int arch_pci_intx_gsi(unsigned int slot);

/* Pulls or releases the line of a global system interrupt. Any thread. */
void arch_set_irq(struct arch_vm *vm, uint32_t gsi, bool level);

/* The clock that KVM gives the guest, in ns since its cold boot. Any thread. */
uint64_t arch_guest_clock_ns(struct arch_vm *vm);

/* Rate of the host's time stamp counter. */
uint32_t arch_tsc_khz(const struct arch_vm *vm);

#endif
