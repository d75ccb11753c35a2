/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PCI device of the host in a guest: a PCI function whose BARs are the device's own, whose
 * interrupts come from the device without passing this process, and whose DMA reaches what is
 * mapped in an iommufd and nothing else.
 *
 * What a guest reads and writes in configuration space:
 *
 *   header      identity is the device's; command, BARs, interrupt line are emulated; of the
 *               command register, bus mastering and interrupt disable reach the device; the ROM
 *               is read-only
 *   MSI, MSI-X  emulated; the MSI-X table and PBA are trapped
 *   power mgmt  without PME; the device goes where the guest sends it
 *   PCIe, VPD, AF, vendor-specific, and bytes that belong to no capability
 *               the device's, as far as vfio lets writes pass (a function-level reset is done by
 *               the kernel)
 *   extended    AER, serial number, power budgeting and vendor-specific ones: the device's
 *   others      not there
 *
 * Its own state stays in the device: a guest gives it up before an update, or keeps it where the
 * descriptor of the device is handed over. Loop's thread, unless said otherwise; registers come
 * from vCPU threads.
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
	/* It came back from an update by this descriptor (borrowed; FD_NONE: it did not): it goes
	 * on with what it does. */
	int kept_fd;
	/* Its state will be loaded: until then it has no interrupts. So if it came back. */
	bool waits;
	/* Other devices of the VM may reach its memory by DMA, as far as the kernel can. */
	bool shares;
};

/* -ENODEV, -EBUSY, -EPERM, ...: the message says what the operator can do. */
int vfio_pci_new(const struct vfio_pci_params *params, struct vfio_pci **ret, struct error *err);
/* Off the bus already. No DMA and no interrupt of it comes after this. NULL is fine. */
void vfio_pci_free(struct vfio_pci *v);

struct pci_device *vfio_pci_function(struct vfio_pci *v); /* borrowed */
const char *vfio_pci_name(const struct vfio_pci *v);	  /* "0000:65:00.0", "fd 7" */
/* It does not answer at its BARs any more: its host has reset it beneath the guest, as after a
 * fatal error, or it is off the bus. Only giving it up and opening it again mends that. */
bool vfio_pci_is_lost(struct vfio_pci *v);

/* ---- A device that stays with its guest through an update (vfio_pci_update.c). ---- */

int vfio_pci_fd(const struct vfio_pci *v); /* of its character device; borrowed */
/* It can be stopped and its state saved, for another device of its kind. */
bool vfio_pci_migrates(const struct vfio_pci *v);
/* A freeze is to stop it, and a save to have the device's own state; or no longer. */
void vfio_pci_set_migrates(struct vfio_pci *v, bool migrates);
/*
 * vCPUs are stopped: all of its interrupts and reports are switched off, as the kernel wants it of
 * a device that is handed over. Its DMA goes on, unless it migrates.
 */
int vfio_pci_freeze(struct vfio_pci *v, struct error *err);
/*
 * The opposite, or, after its state was loaded, the first time. What it signalled meanwhile is
 * lost, so that every vector is signalled to the guest once. Nothing if it is not frozen.
 */
void vfio_pci_thaw(struct vfio_pci *v);
/* What is told of a device. */
struct vfio_pci_counters {
	const char *interrupts; /* "none", "intx", "msi", "msi-x" */
	unsigned int vectors;	/* that the guest uses */
	uint64_t errors;	/* reported (AER) */
	uint64_t requests;	/* the host wanted it back */
	bool can_reset, migrates, tracks_dirty;
};
void vfio_pci_get_counters(struct vfio_pci *v, struct vfio_pci_counters *ret); /* any thread */

/* While it is kept, vfio_pci_free() leaves it as it is: it goes on for the next kernel or process.
 */
void vfio_pci_keep(struct vfio_pci *v, bool keep);

/* What a guest sees of it: configuration space, BARs, vectors. */
extern const struct state_ops vfio_pci_state_ops; /* of struct vfio_pci */
size_t vfio_pci_state_size_max(const struct vfio_pci *v);

#endif
