/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI host bridge: bus 0 with single-function devices in slots 1 to 31 and the bridge itself in
 * slot 0, reached by configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2) and by ECAM (PCI
 * Express Base 5.0, 7.2.2). What is not there reads all ones.
 */
#ifndef HOLDFAST_DEVICES_PCI_PCI_HOST_H
#define HOLDFAST_DEVICES_PCI_PCI_HOST_H

#include "devices/pci/pci.h"

/* CONFIG_ADDRESS and CONFIG_DATA. */
#define PCI_HOST_PORTS	   0xcf8
#define PCI_HOST_PORT_SIZE 8

#define PCI_HOST_STATE_MAX 1024 /* bytes of a state blob at most */

struct pci_host;

/*
 * Accesses of CONFIG_ADDRESS that are no dwords are not the bridge's: byte 0xcf9 is the PC's reset
 * control register, which other_ops (may be NULL) gets at offset 0.
 */
struct pci_host_params {
	const struct io_ops *other_ops;
	void *other_opaque;
};

int pci_host_new(const struct pci_host_params *params, struct pci_host **ret, struct error *err);
void pci_host_free(struct pci_host *host); /* functions must be gone. NULL is fine */

/* Puts a function into slot 1..31; borrowed. -EBUSY: there is one. */
int pci_host_add(struct pci_host *host, unsigned int slot, struct pci_device *dev,
		 struct error *err);
/* Takes it out; no configuration access of it is under way when this returns. */
void pci_host_remove(struct pci_host *host, unsigned int slot);
struct pci_device *pci_host_slot(struct pci_host *host, unsigned int slot); /* NULL: empty */
/* The lowest free slot; -ENOSPC. */
int pci_host_free_slot(struct pci_host *host, struct error *err);

/* opaque: struct pci_host for both. vCPU threads. */
extern const struct io_ops pci_host_port_io_ops; /* PCI_HOST_PORT_SIZE bytes */
extern const struct io_ops pci_host_ecam_io_ops;
/* obj: struct pci_host. Node "pci-host". */
extern const struct state_ops pci_host_state_ops;

#endif
