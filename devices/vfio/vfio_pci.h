/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PCI device of the host in a guest: a PCI function whose BARs are the device's own, whose
 * interrupts come from the device without passing this process, and whose DMA reaches what is
 * mapped in an iommufd and nothing else.
 *
 * What a guest reads and writes in configuration space:
 *   header	 identity is the device's; command, BARs, interrupt line are emulated; of the
 *command register, bus mastering and interrupt disable reach the device; there is no ROM MSI, MSI-X
 *emulated; the MSI-X table and PBA are trapped power mgmt	 emulated: the device stays in D0
 *   PCIe, VPD, AF, vendor-specific, and bytes that belong to no capability: the device's, as far as
 *		 vfio lets writes pass (a function-level reset is done by the kernel)
 *   others, and extended configuration space: not there
 *
 * It has no state that could be saved: a guest gives it up before an update. Loop's thread, unless
 * said otherwise; registers come from vCPU threads.
 */
#ifndef HOLDFAST_DEVICES_VFIO_VFIO_PCI_H
#define HOLDFAST_DEVICES_VFIO_VFIO_PCI_H

#include "base/loop.h"
#include "devices/pci/pci.h"
#include "devices/vfio/config.h"
#include "iommu/iommufd.h"

struct vfio_pci;

enum vfio_pci_event {
	VFIO_PCI_EVENT_ERROR,	/* it has reported an uncorrectable error (AER) */
	VFIO_PCI_EVENT_REQUEST, /* the host wants it back, and waits */
};

/* config is borrowed for the call, the rest for the device's life. */
struct vfio_pci_params {
	const struct vfio_pci_config *config;
	const char *root; /* before /sys and /dev: "" but in tests */
	struct iommufd *io;
	struct loop *loop;
	const struct pci_attach *attach; /* copied */
	void (*event)(void *opaque, enum vfio_pci_event event);
	void *opaque;
};

/* -ENODEV, -EBUSY, -EPERM, ...: the message says what the operator can do. */
int vfio_pci_new(const struct vfio_pci_params *params, struct vfio_pci **ret, struct error *err);
/* Off the bus already. No DMA and no interrupt of it comes after this. NULL is fine. */
void vfio_pci_free(struct vfio_pci *v);

struct pci_device *vfio_pci_function(struct vfio_pci *v); /* borrowed */
const char *vfio_pci_name(const struct vfio_pci *v);	  /* "0000:65:00.0", "fd 7" */

#endif
