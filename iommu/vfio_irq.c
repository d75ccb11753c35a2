/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts: which there are, and what they signal. */
#include <assert.h>
#include <string.h>

#include "base/util.h"
#include "iommu/vfio_impl.h"

static_assert(VFIO_IRQ_INTX == (int)VFIO_PCI_INTX_IRQ_INDEX &&
		      VFIO_IRQ_MSI == (int)VFIO_PCI_MSI_IRQ_INDEX &&
		      VFIO_IRQ_MSIX == (int)VFIO_PCI_MSIX_IRQ_INDEX &&
		      VFIO_IRQ_ERROR == (int)VFIO_PCI_ERR_IRQ_INDEX &&
		      VFIO_IRQ_REQUEST == (int)VFIO_PCI_REQ_IRQ_INDEX,
	      "linux/vfio.h numbers interrupts otherwise");

static const char *const names[VFIO_IRQ_MAX] = {"INTx", "MSI", "MSI-X", "error", "request"};

void vfio_irqs_read(struct vfio_device *dev)
{
	for (uint32_t i = 0; i < VFIO_IRQ_MAX; i++) {
		struct vfio_irq_info info = {.argsz = sizeof(info), .index = i};

		/* The kernel has no error interrupt for a device without PCIe: no failure. */
		if (vfio_call(dev, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0 ||
		    !(info.flags & VFIO_IRQ_INFO_EVENTFD))
			continue;
		dev->irqs[i].count = info.count;
		dev->irqs[i].grows = !(info.flags & VFIO_IRQ_INFO_NORESIZE);
	}
}

unsigned int vfio_irq_count(const struct vfio_device *dev, enum vfio_irq irq)
{
	return dev->irqs[irq].count;
}

bool vfio_irq_grows(const struct vfio_device *dev, enum vfio_irq irq)
{
	return dev->irqs[irq].grows;
}

static int set_eventfds(struct vfio_device *dev, enum vfio_irq irq, uint32_t action,
			unsigned int first, const int *fds, unsigned int count)
{
	size_t size = sizeof(struct vfio_irq_set) + count * sizeof(int32_t);
	_cleanup_free_ struct vfio_irq_set *set = calloc(1, size);

	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)size;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | action;
	set->index = (uint32_t)irq;
	set->start = first;
	set->count = count;
	memcpy(set->data, fds, count * sizeof(int32_t));
	return vfio_call(dev, VFIO_DEVICE_SET_IRQS, set);
}

int vfio_irq_set(struct vfio_device *dev, enum vfio_irq irq, unsigned int first, const int *fds,
		 unsigned int count, struct error *err)
{
	int r = set_eventfds(dev, irq, VFIO_IRQ_SET_ACTION_TRIGGER, first, fds, count);

	if (r == -ENOSPC)
		return error_set(err, r,
				 "device %s: the host has no interrupt vectors left for %u of kind "
				 "%s",
				 dev->name, count, names[irq]);
	if (r < 0)
		return error_sys(err, r, "device %s: cannot switch on %s interrupts %u to %u",
				 dev->name, names[irq], first, first + count - 1);
	return 0;
}

int vfio_irq_set_unmask(struct vfio_device *dev, int fd, struct error *err)
{
	int r = set_eventfds(dev, VFIO_IRQ_INTX, VFIO_IRQ_SET_ACTION_UNMASK, 0, &fd, 1);

	return r < 0 ? error_sys(err, r, "device %s: INTx cannot be unmasked by an eventfd",
				 dev->name)
		     : 0;
}

void vfio_irq_disable(struct vfio_device *dev, enum vfio_irq irq)
{
	struct vfio_irq_set set = {.argsz = sizeof(set),
				   .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				   .index = (uint32_t)irq};

	/* One that is off already is no failure. */
	vfio_call(dev, VFIO_DEVICE_SET_IRQS, &set);
}
