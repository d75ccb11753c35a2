/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI in the machine: the host bridge on the buses, the windows that BARs may lie in, INTA of every
 * slot over the pins that the interrupt controllers have for PCI, message-signalled interrupts and
 * doorbells through KVM. Knows no device. Loop's thread; what a function is given may be called
 * from any.
 */
#ifndef HOLDFAST_VMM_MACHINE_PCI_H
#define HOLDFAST_VMM_MACHINE_PCI_H

#include "base/loop.h"
#include "base/state.h"
#include "devices/pci/pci.h"
#include "vmm/arch_platform.h"
#include "vmm/bus.h"
#include "vmm/guest_memory.h"

struct machine_pci;

/* All borrowed for the life of the object. */
struct machine_pci_params {
	struct loop *loop;
	int vm_fd;
	struct arch_vm *arch;
	struct arch_platform *platform;
	struct guest_ram *ram;
	struct bus *ports, *mmio;
};

int machine_pci_new(const struct machine_pci_params *params, struct machine_pci **ret,
		    struct error *err);
void machine_pci_free(struct machine_pci *pci); /* functions must be gone. NULL is fine */

/* Whom to tell that a guest has let go of the function in a slot: it is in no slot any more. */
typedef void machine_pci_ejected_fn(void *opaque, unsigned int slot);
void machine_pci_on_ejected(struct machine_pci *pci, machine_pci_ejected_fn *fn, void *opaque);
/* Tells now what has been ejected so far. vCPUs are stopped. */
void machine_pci_settle(struct machine_pci *pci);

/* What a function in this slot (1 to 31) is made with. */
struct pci_attach machine_pci_attach(struct machine_pci *pci, unsigned int slot);
/* Gives the function's BARs a place and puts it into its slot; borrowed. On failure it is nowhere.
 */
int machine_pci_add(struct machine_pci *pci, unsigned int slot, struct pci_device *function,
		    struct error *err);
/* The same in a machine that runs: its operating system is told, and places the BARs. */
int machine_pci_plug(struct machine_pci *pci, unsigned int slot, struct pci_device *function,
		     struct error *err);
/* Asks the guest for the function in the slot. It may never give it. */
void machine_pci_request_unplug(struct machine_pci *pci, unsigned int slot);
/* As if the guest had given it: it is told later that it is gone. */
void machine_pci_take_out(struct machine_pci *pci, unsigned int slot);
/* Takes it out; no configuration access is under way when this returns. */
void machine_pci_remove(struct machine_pci *pci, unsigned int slot);

/* Bridge and hot plug controller, for the machine's list. Returns how many. */
#define MACHINE_PCI_OBJECTS_MAX 2
size_t machine_pci_objects(struct machine_pci *pci,
			   struct state_object objects[MACHINE_PCI_OBJECTS_MAX]);
/* Upper bound of what saving them writes, in bytes. */
size_t machine_pci_state_size_max(void);

#endif
