/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI devices of this host as sysfs shows them (Linux Documentation/ABI/testing/sysfs-bus-pci):
 * what a device is bound to, its IOMMU group, and the character device that vfio made for it. Any
 * thread.
 */
#ifndef HOLDFAST_BASE_PCI_SYSFS_H
#define HOLDFAST_BASE_PCI_SYSFS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* "0000:65:00.0" and its terminator: domain, bus, device, function; a domain may have 8 digits. */
#define PCI_ADDRESS_SIZE 17

/* "65:00.0" gets the domain 0000. -EINVAL: no such notation. */
int pci_address_parse(const char *text, char ret[PCI_ADDRESS_SIZE], struct error *err);

/*
 * Paths and links of a device's folder in sysfs; root, "" but in tests, is put before /sys, and
 * name ("/driver", "" for the folder) behind.
 */
void pci_sysfs_path(char path[PATH_MAX], const char *root, const char *address, const char *name);
/* The last part of where such a link leads; false: there is none. */
bool pci_sysfs_link(const char *root, const char *address, const char *name,
		    char ret[NAME_MAX + 1]);
/* The first entry of such a folder whose name begins with prefix; false: there is none. */
bool pci_sysfs_entry(const char *root, const char *address, const char *name, const char *prefix,
		     char ret[NAME_MAX + 1]);

/* Why a device without an IOMMU group is nothing for a VM, and what to do. */
#define PCI_SYSFS_NO_IOMMU                                                           \
	"no IOMMU is in front of it; switch VT-d or AMD-Vi on in the firmware, and " \
	"intel_iommu=on on the host's command line"

#define PCI_SYSFS_VFIO "vfio-pci" /* the driver */
/* vfio-pci has it, or another driver of vfio. */
bool pci_sysfs_is_vfio(const char *root, const char *address);
/* A driver has it that is none of vfio, and that uses its DMA: such a device may not stand beside
 * one of a VM in a group. */
bool pci_sysfs_is_of_host(const char *root, const char *address, char driver[NAME_MAX + 1]);

/*
 * Writes text to a file of sysfs: 0, or what the kernel says to it. path is whole, with root.
 */
int pci_sysfs_write(const char *path, const char *text);

/*
 * The path of the character device of vfio for this PCI device, root being put before /sys and
 * /dev ("" but in tests). Every reason why there is none says what to do: -ENODEV there is no such
 * device, -EXDEV no IOMMU is in front of it, -EBUSY another driver has it, -ENXIO no driver has it,
 * -EOPNOTSUPP the kernel makes no such character devices.
 */
int pci_sysfs_find_vfio(const char *root, const char *address, char ret[PATH_MAX],
			struct error *err);

/*
 * A device of the same IOMMU group that a driver of the host uses, so that none of the group can be
 * given away: true, and a text like "0000:65:00.1 (driver nvme)".
 */
bool pci_sysfs_group_blocker(const char *root, const char *address, char *text, size_t size);

#endif
