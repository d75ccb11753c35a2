/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/pci/pci_place.h"

#include <linux/pci_regs.h>

#include "base/util.h"

/* 64-bit BARs go above 4 GiB only where they are large: every guest can reach what is below. */
#define LARGE (64 * MIB)

static struct pci_window *window_for(struct pci_windows *w, enum pci_bar_kind kind, uint64_t size)
{
	if (kind == PCI_BAR_IO)
		return &w->io;
	return kind == PCI_BAR_MEM32 || size < LARGE ? &w->mem32 : &w->mem64;
}

static void put_address(struct pci_device *dev, unsigned int bar, enum pci_bar_kind kind,
			uint64_t address)
{
	unsigned int offset = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint32_t flags = pci_config_peek(dev, offset, 4) &
			 (kind == PCI_BAR_IO ? (uint32_t)~PCI_BASE_ADDRESS_IO_MASK
					     : (uint32_t)~PCI_BASE_ADDRESS_MEM_MASK);

	pci_config_poke(dev, offset, (uint32_t)address | flags, 4);
	if (kind == PCI_BAR_MEM64 || kind == PCI_BAR_MEM64_PREFETCH)
		pci_config_poke(dev, offset + 4, (uint32_t)(address >> 32), 4);
}

int pci_place_bars(struct pci_device *dev, struct pci_windows *windows, struct error *err)
{
	struct pci_windows left = *windows;
	uint64_t addresses[PCI_BAR_COUNT] = {0};
	enum pci_bar_kind kind;
	uint64_t size;

	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++) {
		struct pci_window *w;

		pci_bar_info(dev, i, &kind, &size);
		if (kind == PCI_BAR_NONE)
			continue;
		w = window_for(&left, kind, size);
		addresses[i] = ALIGN_UP(w->next, size);
		if (addresses[i] >= w->end || w->end - addresses[i] < size)
			return error_set(err, -ENOSPC,
					 "%s: no room for BAR %u (0x%llx bytes) in the PCI "
					 "window that ends at 0x%llx",
					 pci_device_name(dev), i, (unsigned long long)size,
					 (unsigned long long)w->end);
		w->next = addresses[i] + size;
	}
	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++) {
		pci_bar_info(dev, i, &kind, &size);
		if (addresses[i])
			put_address(dev, i, kind, addresses[i]);
	}
	*windows = left;
	return 0;
}
