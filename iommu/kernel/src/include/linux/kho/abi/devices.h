/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one kernel hands to the next so that PCI devices of user space keep doing DMA in between.
 * All numbers are of the machine's byte order, all addresses physical. Every structure starts a
 * page that KHO preserves. A change of any layout needs a new name.
 */
#ifndef _LINUX_KHO_ABI_DEVICES_H
#define _LINUX_KHO_ABI_DEVICES_H

#include <linux/align.h>
#include <linux/mm.h>
#include <linux/types.h>

/* The file of an iommufd: its page tables, which stay as they are until it is finished. */
#define IOMMUFD_LIVEUPDATE_COMPATIBLE "iommufd-v1"

struct iommu_liveupdate_domain_ser {
	u64 top;    /* the top table; second-stage format of VT-d (section 9.8) */
	u32 levels; /* 3, 4 or 5 */
	u32 reserved;
} __packed;

struct iommufd_liveupdate_ser {
	u32 nr_domains;
	u32 reserved;
	struct iommu_liveupdate_domain_ser domains[];
} __packed;

#define IOMMUFD_LIVEUPDATE_MAX                                 \
	((PAGE_SIZE - sizeof(struct iommufd_liveupdate_ser)) / \
	 sizeof(struct iommu_liveupdate_domain_ser))

/* The file of a vfio device: which function it is. */
#define VFIO_PCI_LIVEUPDATE_COMPATIBLE "vfio-pci-v1"

struct vfio_pci_liveupdate_ser {
	u32 domain;
	u16 bdf;
} __packed;

/*
 * FLB: the remapping units that translate for preserved devices. Each has a root table (section
 * 9.1) of its own, made for the hand-over: nothing but the context entries of preserved devices
 * can be reached from it.
 */
#define IOMMU_LIVEUPDATE_COMPATIBLE "holdfast-iommu-v1"

struct iommu_liveupdate_unit_ser {
	u64 reg; /* of its registers */
	u64 root;
} __packed;

struct iommu_liveupdate_ser {
	u32 nr_units;
	u32 reserved;
	struct iommu_liveupdate_unit_ser units[];
} __packed;

#define IOMMU_LIVEUPDATE_MAX                                 \
	((PAGE_SIZE - sizeof(struct iommu_liveupdate_ser)) / \
	 sizeof(struct iommu_liveupdate_unit_ser))

/* FLB: the functions that go on. */
#define PCI_LIVEUPDATE_COMPATIBLE "holdfast-pci-v1"

struct pci_liveupdate_device_ser {
	u32 domain;
	u16 bdf;
	u16 reserved;
} __packed;

struct pci_liveupdate_ser {
	u32 nr_devices;
	u32 reserved;
	struct pci_liveupdate_device_ser devices[];
} __packed;

#define PCI_LIVEUPDATE_MAX \
	((PAGE_SIZE - sizeof(struct pci_liveupdate_ser)) / sizeof(struct pci_liveupdate_device_ser))

#endif /* _LINUX_KHO_ABI_DEVICES_H */
