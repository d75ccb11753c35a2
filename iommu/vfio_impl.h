/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a vfio device share. For iommu/ only. */
#ifndef HOLDFAST_IOMMU_VFIO_IMPL_H
#define HOLDFAST_IOMMU_VFIO_IMPL_H

#include <linux/vfio.h>

#include "iommu/vfio.h"

struct vfio_region {
	uint64_t size;
	uint64_t offset; /* in the character device */
	bool mappable;
};

struct vfio_device {
	int fd; /* owned */
	char name[24];
	bool attached, can_reset;
	bool kept;
	int iommufd;	   /* borrowed */
	uint32_t iommu_id; /* of the device in it */
	struct vfio_region regions[VFIO_PCI_NUM_REGIONS];
	struct vfio_bar bars[VFIO_BARS];
	struct {
		unsigned int count;
		bool grows;
	} irqs[VFIO_IRQ_MAX];
};

/* An ioctl on the device, again after EINTR: 0 or -errno. */
int vfio_call(const struct vfio_device *dev, unsigned long request, void *arg);
/* vfio_region.c. Sizes and offsets of all regions. */
int vfio_regions_read(struct vfio_device *dev, struct error *err);
void vfio_regions_unmap(struct vfio_device *dev);
/* vfio_irq.c */
void vfio_irqs_read(struct vfio_device *dev);

#endif
