// SPDX-License-Identifier: GPL-2.0-only
/*
 * The character device of a vfio-pci function across a live update: the function keeps running and
 * doing DMA, with its interrupts off. See drivers/pci/liveupdate.c for what the bus has to do, and
 * drivers/iommu/ for its translation.
 */
#include <linux/file.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/devices.h>
#include <linux/liveupdate_devices.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

#include "vfio_pci_priv.h"

MODULE_IMPORT_NS("IOMMUFD");

struct preserved {
	struct pci_dev *pdev;
	struct vfio_pci_liveupdate_ser *ser;
	bool intx_was_on; /* freeze has switched it off */
};

/* -- old kernel -------------------------------------------------------------------------------- */

static bool is_vfio_pci(struct device *dev)
{
	return dev->driver && !strcmp(dev->driver->name, "vfio-pci");
}

static bool vfio_pci_can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	struct vfio_device *device = vfio_liveupdate_device(file);

	return device && dev_is_pci(device->dev) && is_vfio_pci(device->dev) &&
	       !to_pci_dev(device->dev)->is_virtfn;
}

/* It must be attached, and to an iommufd that this session has preserved before. */
static int check_iommufd(struct vfio_device *device, struct liveupdate_session *session)
{
	struct iommufd_ctx *ictx;
	u64 token;

	guard(mutex)(&device->dev_set->lock);
	ictx = vfio_iommufd_device_ictx(device);
	if (!ictx || !device->iommufd_attached)
		return -EINVAL;
	return liveupdate_get_token_outgoing(session, iommufd_liveupdate_file(ictx), &token)
		       ? -EINVAL
		       : 0;
}

static int vfio_pci_preserve(struct liveupdate_file_op_args *args)
{
	struct vfio_device *device = vfio_liveupdate_device(args->file);
	struct pci_dev *pdev = to_pci_dev(device->dev);
	struct preserved *preserved;
	int err;

	err = check_iommufd(device, args->session);
	if (err)
		return err;
	preserved = kzalloc_obj(*preserved);
	if (!preserved)
		return -ENOMEM;
	preserved->pdev = pdev;
	preserved->ser = kho_alloc_preserve(sizeof(*preserved->ser));
	if (IS_ERR(preserved->ser)) {
		err = PTR_ERR(preserved->ser);
		goto free;
	}
	preserved->ser->domain = pci_domain_nr(pdev->bus);
	preserved->ser->bdf = pci_dev_id(pdev);
	err = iommu_liveupdate_preserve_device(&pdev->dev);
	if (err)
		goto free_ser;
	err = pci_liveupdate_preserve(pdev);
	if (err)
		goto unpreserve;
	args->private_data = preserved;
	args->serialized_data = virt_to_phys(preserved->ser);
	return 0;

unpreserve:
	iommu_liveupdate_unpreserve_device(&pdev->dev);
free_ser:
	kho_unpreserve_free(preserved->ser);
free:
	kfree(preserved);
	return err;
}

static void vfio_pci_unpreserve(struct liveupdate_file_op_args *args)
{
	struct preserved *preserved = args->private_data;

	pci_liveupdate_unpreserve(preserved->pdev);
	iommu_liveupdate_unpreserve_device(&preserved->pdev->dev);
	kho_unpreserve_free(preserved->ser);
	kfree(preserved);
}

static int vfio_pci_freeze(struct liveupdate_file_op_args *args)
{
	struct vfio_device *device = vfio_liveupdate_device(args->file);
	struct preserved *preserved = args->private_data;
	struct pci_dev *pdev = preserved->pdev;
	u16 command;
	int err;

	/* Nobody would be there for them, and the table that they go through is not kept. */
	if (container_of(device, struct vfio_pci_core_device, vdev)->irq_type !=
	    VFIO_PCI_NUM_IRQS) {
		pci_info(pdev, "cannot be frozen: its interrupts are on\n");
		return -EINVAL;
	}
	if (pdev->current_state != PCI_D0) {
		pci_info(pdev, "cannot be frozen: it is not in D0\n");
		return -EINVAL;
	}
	err = iommu_liveupdate_freeze_device(&pdev->dev);
	if (err)
		return err;
	err = pci_liveupdate_freeze(pdev);
	if (err)
		return err;
	/* With MSI off it would signal on a line, which others may share. */
	pci_read_config_word(pdev, PCI_COMMAND, &command);
	preserved->intx_was_on = !(command & PCI_COMMAND_INTX_DISABLE);
	pci_intx(pdev, 0);
	return 0;
}

static void vfio_pci_unfreeze(struct liveupdate_file_op_args *args)
{
	struct preserved *preserved = args->private_data;

	if (preserved->intx_was_on)
		pci_intx(preserved->pdev, 1);
	pci_liveupdate_unfreeze(preserved->pdev);
}

/* -- new kernel -------------------------------------------------------------------------------- */

static struct pci_dev *device_of(struct liveupdate_file_op_args *args)
{
	const struct vfio_pci_liveupdate_ser *ser = phys_to_virt(args->serialized_data);

	return pci_get_domain_bus_and_slot(ser->domain, PCI_BUS_NUM(ser->bdf), ser->bdf & 0xff);
}

static int retrieve(struct pci_dev *pdev, struct liveupdate_file_op_args *args)
{
	struct vfio_pci_core_device *vdev;
	struct file *file;
	int err;

	guard(device)(&pdev->dev);
	if (!is_vfio_pci(&pdev->dev))
		return -ENODEV;
	vdev = dev_get_drvdata(&pdev->dev);
	file = vfio_liveupdate_open(&vdev->vdev);
	if (IS_ERR(file))
		return PTR_ERR(file);
	err = pci_liveupdate_retrieve(pdev);
	if (err) {
		fput(file);
		return err;
	}
	args->file = file;
	return 0;
}

static int vfio_pci_retrieve(struct liveupdate_file_op_args *args)
{
	struct pci_dev *pdev = device_of(args);
	int err;

	if (!pdev)
		return -ENODEV;
	err = retrieve(pdev, args);
	pci_dev_put(pdev);
	return err;
}

/* It runs on tables of this kernel, and nothing of the old one is needed. */
static bool taken_over(struct liveupdate_file_op_args *args, struct pci_dev *pdev)
{
	return args->retrieve_status > 0 && vfio_liveupdate_device(args->file) &&
	       !iommu_liveupdate_copied(&pdev->dev);
}

static bool vfio_pci_can_finish(struct liveupdate_file_op_args *args)
{
	struct pci_dev *pdev;
	bool can;

	if (args->retrieve_status <= 0)
		return true; /* it will be stopped */
	/* The same if whoever retrieved it is gone: this reference is the last. */
	if (file_count(args->file) == 1)
		return true;
	pdev = device_of(args);
	can = !pdev || taken_over(args, pdev);
	pci_dev_put(pdev);
	return can;
}

static void vfio_pci_finish(struct liveupdate_file_op_args *args)
{
	struct pci_dev *pdev = device_of(args);

	if (pdev) {
		if (taken_over(args, pdev))
			pci_liveupdate_done(pdev);
		else
			pci_liveupdate_abandon(pdev);
		pci_dev_put(pdev);
	}
	kho_restore_free(phys_to_virt(args->serialized_data));
}

static const struct liveupdate_file_ops vfio_pci_liveupdate_ops = {
	.can_preserve = vfio_pci_can_preserve,
	.preserve = vfio_pci_preserve,
	.unpreserve = vfio_pci_unpreserve,
	.freeze = vfio_pci_freeze,
	.unfreeze = vfio_pci_unfreeze,
	.retrieve = vfio_pci_retrieve,
	.can_finish = vfio_pci_can_finish,
	.finish = vfio_pci_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_file_handler vfio_pci_liveupdate_handler = {
	.ops = &vfio_pci_liveupdate_ops,
	.compatible = VFIO_PCI_LIVEUPDATE_COMPATIBLE,
};

void vfio_pci_liveupdate_init(void)
{
	int err;

	if (!liveupdate_devices_enabled())
		return;
	err = liveupdate_register_file_handler(&vfio_pci_liveupdate_handler);
	if (!err)
		err = liveupdate_register_flb(&vfio_pci_liveupdate_handler, &iommu_liveupdate_flb);
	if (!err)
		err = liveupdate_register_flb(&vfio_pci_liveupdate_handler, &pci_liveupdate_flb);
	if (err && err != -EOPNOTSUPP)
		pr_err("vfio-pci: no live update handler: %pe\n", ERR_PTR(err));
}
