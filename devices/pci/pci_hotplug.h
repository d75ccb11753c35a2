/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller of ACPI hot plug for the slots of bus 0: what the methods of the DSDT read and
 * write, and a general purpose event that makes the OS run them. Three dwords with a bit for each
 * slot:
 *
 *	0  PLUGGED  a function was put into the slot; 1 clears
 *	4  UNPLUG   the function in the slot is to be given back; 1 clears
 *	8  EJECT    write 1: the OS has let go of the function. Reads 0
 *
 * What is to be told and was not read yet is state: the OS asks again after an update.
 */
#ifndef HOLDFAST_DEVICES_PCI_PCI_HOTPLUG_H
#define HOLDFAST_DEVICES_PCI_PCI_HOTPLUG_H

#include "base/error.h"
#include "base/state.h"
#include "devices/attach.h"

#define PCI_HOTPLUG_IO_SIZE 12
#define PCI_HOTPLUG_PLUGGED 0
#define PCI_HOTPLUG_UNPLUG  4
#define PCI_HOTPLUG_EJECT   8

#define PCI_HOTPLUG_STATE_MAX 512 /* bytes of a state blob at most */

struct pci_hotplug;

/* Both are called without a lock held. */
struct pci_hotplug_params {
	void (*raise)(void *opaque); /* the event. Any thread */
	/* vCPU threads; slot 1 to 31, also of one that is empty. */
	void (*eject)(void *opaque, unsigned int slot);
	void *opaque;
};

int pci_hotplug_new(const struct pci_hotplug_params *params, struct pci_hotplug **ret,
		    struct error *err);
void pci_hotplug_free(struct pci_hotplug *hotplug); /* NULL is fine */

/* Tell the OS. Any thread; slot 1 to 31. */
void pci_hotplug_plugged(struct pci_hotplug *hotplug, unsigned int slot);
void pci_hotplug_unplug(struct pci_hotplug *hotplug, unsigned int slot);
/* The slot is empty: there is nothing to tell of it any more. Any thread. */
void pci_hotplug_forget(struct pci_hotplug *hotplug, unsigned int slot);

/* opaque: struct pci_hotplug. vCPU threads. */
extern const struct io_ops pci_hotplug_io_ops;
/* obj: struct pci_hotplug. Node "pci-hotplug". */
extern const struct state_ops pci_hotplug_state_ops;

#endif
