/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places BARs before the guest starts, as firmware would: there is none. Whoever plugs a function
 * in later leaves that to the guest's operating system.
 */
#ifndef HOLDFAST_DEVICES_PCI_PCI_PLACE_H
#define HOLDFAST_DEVICES_PCI_PCI_PLACE_H

#include "devices/pci/pci.h"

/* What is left of a window: [next, end). */
struct pci_window {
	uint64_t next, end;
};

struct pci_windows {
	struct pci_window io, mem32, mem64;
};

/* Gives every BAR of dev an address aligned to its size; decoding stays off. The same functions in
 * the same order get the same addresses. -ENOSPC names the BAR; nothing was taken then. */
int pci_place_bars(struct pci_device *dev, struct pci_windows *windows, struct error *err);

#endif
