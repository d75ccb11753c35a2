/* SPDX-License-Identifier: Apache-2.0 */
/* MSI: PCI Local Bus 3.0, 6.8.1. Its registers are in the function's configuration space. */
#include "base/util.h"
#include "devices/vfio/vfio_pci_impl.h"

static uint32_t reg(const struct vfio_pci *v, unsigned int offset, unsigned int size)
{
	return pci_config_peek(v->function, v->msi_cap + offset, size);
}

static bool is_wide(const struct vfio_pci *v)
{
	return reg(v, PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_64BIT;
}

bool vfio_pci_msi_wanted(const struct vfio_pci *v)
{
	return v->msi_cap && (reg(v, PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_ENABLE);
}

/* Multiple Message Enable, no more than the device has; encodings above 5 are reserved. */
static unsigned int wanted_count(const struct vfio_pci *v)
{
	unsigned int n = 1U << ((reg(v, PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_QSIZE) >> 4);

	n = MIN_OF(n, MSI_VECTORS);
	return MIN_OF(n, vfio_irq_count(v->device, VFIO_IRQ_MSI));
}

static bool is_masked(const struct vfio_pci *v, unsigned int vector)
{
	if (!(reg(v, PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_MASKBIT))
		return false;
	return reg(v, is_wide(v) ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32, 4) & 1U << vector;
}

static int program(struct vfio_pci *v, struct error *err)
{
	uint64_t address = reg(v, PCI_MSI_ADDRESS_LO, 4);
	uint32_t data = reg(v, is_wide(v) ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32, 2);
	int r = 0;

	if (is_wide(v))
		address |= (uint64_t)reg(v, PCI_MSI_ADDRESS_HI, 4) << 32;
	/* 6.8.1.6: a function changes the low bits of the data, as many as it has vectors. */
	for (unsigned int i = 0; i < v->msi_count && r == 0; i++)
		r = v->attach.msi->set(v->attach.msi_opaque, v->msi[i], address,
				       (data & ~(v->msi_count - 1)) | i, is_masked(v, i), err);
	return r;
}

static int make_vectors(struct vfio_pci *v, int fds[MSI_VECTORS], struct error *err)
{
	unsigned int count = wanted_count(v);

	while (v->msi_count < count) {
		unsigned int i = v->msi_count;
		int r = v->attach.msi->alloc(v->attach.msi_opaque, &v->msi[i], err);

		if (r < 0)
			return r;
		v->msi_count++;
		fds[i] = v->attach.msi->eventfd(v->attach.msi_opaque, v->msi[i], err);
		if (fds[i] < 0)
			return fds[i];
	}
	return 0;
}

int vfio_pci_msi_on(struct vfio_pci *v, struct error *err)
{
	int fds[MSI_VECTORS];
	int r = make_vectors(v, fds, err);

	if (r == 0)
		r = program(v, err);
	if (r == 0)
		r = vfio_irq_set(v->device, VFIO_IRQ_MSI, 0, fds, v->msi_count, err);
	if (r < 0)
		vfio_pci_msi_off(v);
	return r;
}

int vfio_pci_msi_update(struct vfio_pci *v, struct error *err)
{
	if (v->msi_count == wanted_count(v))
		return program(v, err);
	vfio_pci_msi_off(v);
	return vfio_pci_msi_on(v, err);
}

void vfio_pci_msi_fire(struct vfio_pci *v)
{
	for (unsigned int i = 0; i < v->msi_count; i++) {
		if (!is_masked(v, i))
			v->attach.msi->fire(v->attach.msi_opaque, v->msi[i]);
	}
}

void vfio_pci_msi_off(struct vfio_pci *v)
{
	vfio_irq_disable(v->device, VFIO_IRQ_MSI);
	while (v->msi_count > 0)
		v->attach.msi->free(v->attach.msi_opaque, v->msi[--v->msi_count]);
}
