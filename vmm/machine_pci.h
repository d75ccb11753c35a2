/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI in the machine: the host bridge on the buses, the windows that BARs may lie in, INTA of every
 * slot over the pins that the interrupt controllers have for PCI, message-signalled interrupts and
 * doorbells through KVM. Knows no device. Loop's thread; what a function is given may be called
 * from any.
 */
#ifndef HOLDFAST_VMM_MACHINE_PCI_H
#define HOLDFAST_VMM_MACHINE_PCI_H

#include "base/state.h"
#include "devices/pci/pci.h"
#include "vmm/arch_platform.h"
#include "vmm/bus.h"
#include "vmm/guest_memory.h"

struct machine_pci;

/* All borrowed for the life of the object. */
struct machine_pci_params {
	int vm_fd;
	struct arch_vm *arch;
	struct arch_platform *platform;
	struct guest_ram *ram;
	struct bus *ports, *mmio;
};

int machine_pci_new(const struct machine_pci_params *params, struct machine_pci **ret,
		    struct error *err);
void machine_pci_free(struct machine_pci *pci); /* functions must be gone. NULL is fine */

/* What a function in this slot (1 to 31) is made with. */
struct pci_attach machine_pci_attach(struct machine_pci *pci, unsigned int slot);
/* Gives the function's BARs a place and puts it into its slot; borrowed. On failure it is nowhere.
 */
int machine_pci_add(struct machine_pci *pci, unsigned int slot, struct pci_device *function,
		    struct error *err);
/* Takes it out; no configuration access is under way when this returns. */
void machine_pci_remove(struct machine_pci *pci, unsigned int slot);

/* The bridge itself, for the machine's list. */
struct state_object machine_pci_object(struct machine_pci *pci);

#endif
