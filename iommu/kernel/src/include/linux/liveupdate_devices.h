/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices of user space that keep running while the kernel is replaced: what the parts of the
 * kernel that take part in it ask each other. Without CONFIG_LIVEUPDATE_DEVICES none of it is
 * there, with it all of it does nothing until a device is preserved or was handed over.
 */
#ifndef _LINUX_LIVEUPDATE_DEVICES_H
#define _LINUX_LIVEUPDATE_DEVICES_H

#include <linux/errno.h>
#include <linux/liveupdate.h>
#include <linux/types.h>

struct device;
struct file;
struct folio;
struct iommu_domain;
struct iommu_liveupdate_domain_ser;
struct iommufd_ctx;
struct pci_dev;
struct vfio_device;

/* Called for each range that a page table maps; an error ends the walk. */
typedef int (*iommu_liveupdate_leaf_fn)(void *data, u64 iova, phys_addr_t pa, u64 size);

#ifdef CONFIG_LIVEUPDATE_DEVICES

/* The kernel command line has liveupdate_devices=on: new files may be preserved. */
bool liveupdate_devices_enabled(void);

/* drivers/pci/liveupdate.c. Old kernel: */
extern struct liveupdate_flb pci_liveupdate_flb;
int pci_liveupdate_preserve(struct pci_dev *pdev);
void pci_liveupdate_unpreserve(struct pci_dev *pdev);
int pci_liveupdate_freeze(struct pci_dev *pdev);
void pci_liveupdate_unfreeze(struct pci_dev *pdev);
/* The kexec is on its way and something was frozen for it. */
bool pci_liveupdate_frozen(void);
/* It is one that goes on, or a bridge above one: its bus mastering stays on. */
bool pci_liveupdate_keeps(struct pci_dev *pdev);
/* New kernel: */
void pci_liveupdate_add_device(struct pci_dev *pdev);
/* It was handed over and is not finished: it must not be reset, nor opened by its path. */
bool pci_liveupdate_incoming(struct pci_dev *pdev);
int pci_liveupdate_retrieve(struct pci_dev *pdev);
void pci_liveupdate_done(struct pci_dev *pdev);
/* Nobody wants it any more: quiesced, reset and cut off from memory when this returns. */
void pci_liveupdate_abandon(struct pci_dev *pdev);
bool pci_liveupdate_any(void);
/* Translation is about to be lost: no device may do DMA any more. */
void pci_liveupdate_stop_all(void);

/* drivers/iommu/intel/liveupdate.c. Old kernel: */
extern struct liveupdate_flb iommu_liveupdate_flb;
/* Every range that the domain maps passes verify() before anything is preserved. */
int iommu_liveupdate_preserve_domain(struct iommu_domain *domain, iommu_liveupdate_leaf_fn verify,
				     void *data, struct iommu_liveupdate_domain_ser *ser);
void iommu_liveupdate_unpreserve_domain(const struct iommu_liveupdate_domain_ser *ser);
/* The domain that it is attached to must have been preserved. */
int iommu_liveupdate_preserve_device(struct device *dev);
void iommu_liveupdate_unpreserve_device(struct device *dev);
int iommu_liveupdate_freeze_device(struct device *dev);
/* New kernel: */
/* The device still uses the page table of the old kernel. */
bool iommu_liveupdate_copied(struct device *dev);
/* Whether domain maps all that this page table does, to the same frames. */
int iommu_liveupdate_check(struct device *dev, struct iommu_domain *domain);
/* It stops using that page table and gets what a device of this kernel has. */
void iommu_liveupdate_detach(struct device *dev);
void iommu_liveupdate_finish_domain(const struct iommu_liveupdate_domain_ser *ser);
/* A folio that a device may be writing to must not be moved. */
void iommu_liveupdate_hold(struct folio *folio);

/* drivers/iommu/iommufd/liveupdate.c */
void iommufd_liveupdate_init(void);
struct file *iommufd_liveupdate_file(struct iommufd_ctx *ictx);
/* Its mappings and attachments are fixed. */
bool iommufd_liveupdate_preserved(struct iommufd_ctx *ictx);

/* drivers/vfio/liveupdate.c: NULL if it is no character device, or not bound. */
struct vfio_device *vfio_liveupdate_device(struct file *file);
struct file *vfio_liveupdate_open(struct vfio_device *device);

#else /* CONFIG_LIVEUPDATE_DEVICES */

static inline bool pci_liveupdate_keeps(struct pci_dev *pdev)
{
	return false;
}

static inline void pci_liveupdate_add_device(struct pci_dev *pdev)
{
}

static inline bool pci_liveupdate_incoming(struct pci_dev *pdev)
{
	return false;
}

static inline bool iommu_liveupdate_copied(struct device *dev)
{
	return false;
}

static inline int iommu_liveupdate_check(struct device *dev, struct iommu_domain *domain)
{
	return 0;
}

static inline void iommu_liveupdate_hold(struct folio *folio)
{
}

static inline void iommufd_liveupdate_init(void)
{
}

static inline bool iommufd_liveupdate_preserved(struct iommufd_ctx *ictx)
{
	return false;
}

#endif /* CONFIG_LIVEUPDATE_DEVICES */
#endif /* _LINUX_LIVEUPDATE_DEVICES_H */
