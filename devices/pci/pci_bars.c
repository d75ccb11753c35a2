/* SPDX-License-Identifier: Apache-2.0 */
/* Base address registers: PCI Local Bus 3.0, 6.2.5. */
#include "base/util.h"
#include "devices/pci/pci_impl.h"

#define MEM_SIZE_MIN 4096U
#define IO_SIZE_MIN  4U
#define IO_SIZE_MAX  256U /* 6.2.5.1: a device must not ask for more */

static unsigned int bar_offset(unsigned int bar)
{
	return PCI_BASE_ADDRESS_0 + 4 * bar;
}

static bool is_mem64(enum pci_bar_kind kind)
{
	return kind == PCI_BAR_MEM64 || kind == PCI_BAR_MEM64_PREFETCH;
}

static int check_bar(const struct pci_device *dev, unsigned int i, struct error *err)
{
	const struct pci_bar *bar = &dev->bars[i];
	uint64_t min = bar->kind == PCI_BAR_IO ? IO_SIZE_MIN : MEM_SIZE_MIN;
	uint64_t max = bar->kind == PCI_BAR_IO	    ? IO_SIZE_MAX
		       : bar->kind == PCI_BAR_MEM32 ? 1ULL << 31
						    : 1ULL << 46;

	if (bar->size < min || bar->size > max || (bar->size & (bar->size - 1)))
		return error_set(err, -EINVAL, "%s: BAR %u cannot have 0x%llx bytes", dev->name, i,
				 (unsigned long long)bar->size);
	if (is_mem64(bar->kind) &&
	    (i + 1 >= PCI_BAR_COUNT || dev->bars[i + 1].kind != PCI_BAR_NONE))
		return error_set(err, -EINVAL, "%s: no room for the upper half of BAR %u",
				 dev->name, i);
	return 0;
}

static void init_bar(struct pci_device *dev, unsigned int i)
{
	const struct pci_bar *bar = &dev->bars[i];
	uint32_t flags = 0;

	if (bar->kind == PCI_BAR_IO)
		flags = PCI_BASE_ADDRESS_SPACE_IO;
	if (is_mem64(bar->kind))
		flags = PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (bar->kind == PCI_BAR_MEM64_PREFETCH)
		flags |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	le_put32(dev->config, bar_offset(i), flags);
	le_put32(dev->writable, bar_offset(i), (uint32_t)~(bar->size - 1));
	if (is_mem64(bar->kind))
		le_put32(dev->writable, bar_offset(i + 1), (uint32_t)(~(bar->size - 1) >> 32));
}

static int add_msix_bar(struct pci_device *dev, const struct pci_params *params, struct error *err)
{
	struct pci_bar *bar;

	if (params->msix_vectors == 0)
		return 0;
	if (params->msix_vectors > PCI_VECTORS_MAX || params->msix_bar >= PCI_BAR_COUNT)
		return error_set(err, -EINVAL, "%s: %u MSI-X vectors in BAR %u cannot be",
				 dev->name, params->msix_vectors, params->msix_bar);
	bar = &dev->bars[params->msix_bar];
	dev->msix.table_offset = params->msix_table_offset;
	dev->msix.pba_offset = params->msix_pba_offset;
	if (bar->kind == PCI_BAR_NONE) {
		*bar = (struct pci_bar){.kind = PCI_BAR_MEM32};
		dev->msix.table_offset = 0;
		bar->size = pci_msix_bar_size(params->msix_vectors, &dev->msix.pba_offset);
	}
	dev->msix.bar = params->msix_bar;
	dev->msix.beside = bar->ops;
	dev->msix.beside_opaque = bar->opaque;
	return 0;
}

/* 6.2.5.2: at least 2 KiB; here as for every memory, a page. */
static int init_rom(struct pci_device *dev, const struct pci_params *params, struct error *err)
{
	uint64_t size = params->rom.size;

	dev->rom = params->rom;
	if (dev->rom.kind == PCI_BAR_NONE)
		return 0;
	if (size < MEM_SIZE_MIN || size > 1ULL << 24 || (size & (size - 1)))
		return error_set(err, -EINVAL, "%s: the ROM cannot have 0x%llx bytes", dev->name,
				 (unsigned long long)size);
	le_put32(dev->writable, PCI_ROM_ADDRESS,
		 ((uint32_t)~(size - 1) & PCI_ROM_ADDRESS_MASK) | PCI_ROM_ADDRESS_ENABLE);
	return 0;
}

int pci_bars_init(struct pci_device *dev, const struct pci_params *params, struct error *err)
{
	int r;

	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++)
		dev->bars[i] = params->bars[i];
	r = add_msix_bar(dev, params, err);
	for (unsigned int i = 0; r == 0 && i < PCI_BAR_COUNT; i++) {
		if (dev->bars[i].kind == PCI_BAR_NONE)
			continue;
		r = check_bar(dev, i, err);
		if (r == 0)
			init_bar(dev, i);
	}
	return r < 0 ? r : init_rom(dev, params, err);
}

/*
 * Where the guest wants BAR i; 0: nowhere. All ones is what sizing leaves behind for a moment, with
 * decoding on if the guest is careless.
 */
static uint64_t wanted_address(const struct pci_device *dev, unsigned int i)
{
	const struct pci_bar *bar = &dev->bars[i];
	uint16_t needed = bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	uint64_t address, mask = ~(bar->size - 1);

	if (bar->kind == PCI_BAR_NONE || !(pci_get16(dev, PCI_COMMAND) & needed))
		return 0;
	address = pci_get32(dev, bar_offset(i));
	if (is_mem64(bar->kind))
		address |= (uint64_t)pci_get32(dev, bar_offset(i + 1)) << 32;
	else
		mask &= UINT32_MAX;
	address &= mask;
	return address == mask ? 0 : address;
}

static void set_mapped(struct pci_device *dev, unsigned int i, uint64_t address)
{
	pthread_mutex_lock(&dev->lock);
	dev->mapped[i] = address;
	pthread_mutex_unlock(&dev->lock);
	if (dev->bars[i].moved)
		dev->bars[i].moved(dev->bars[i].opaque, address);
}

static void unmap(struct pci_device *dev, unsigned int i)
{
	uint64_t address = dev->mapped[i];

	/* Doorbells first: they are found by the address. */
	set_mapped(dev, i, 0);
	dev->attach.unmap_bar(dev->attach.bar_opaque, dev->bars[i].kind == PCI_BAR_IO, address);
}

static void map(struct pci_device *dev, unsigned int i, uint64_t address)
{
	const struct pci_bar *bar = &dev->bars[i];
	bool msix = dev->msix.count && i == dev->msix.bar;
	struct error err = ERROR_INIT;
	int r = dev->attach.map_bar(dev->attach.bar_opaque, bar->kind == PCI_BAR_IO, address,
				    bar->size, msix ? &pci_msix_io_ops : bar->ops,
				    msix ? dev : bar->opaque, &err);

	if (r < 0)
		log_ratelimited(&dev->map_log, LOG_LEVEL_WARNING,
				"%s: the guest put BAR %u where it cannot be: %s", dev->name, i,
				error_message(&err));
	else
		set_mapped(dev, i, address);
}

static uint64_t wanted_rom(const struct pci_device *dev)
{
	uint32_t value = pci_get32(dev, PCI_ROM_ADDRESS);
	uint32_t mask = (uint32_t)~(dev->rom.size - 1);

	if (dev->rom.kind == PCI_BAR_NONE || !(value & PCI_ROM_ADDRESS_ENABLE) ||
	    !(pci_get16(dev, PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return 0;
	return (value & mask) == mask ? 0 : value & mask;
}

static void move_rom(struct pci_device *dev, uint64_t address)
{
	struct error err = ERROR_INIT;

	if (address == dev->rom_mapped)
		return;
	if (dev->rom_mapped)
		dev->attach.unmap_bar(dev->attach.bar_opaque, false, dev->rom_mapped);
	dev->rom_mapped = 0;
	if (!address)
		return;
	if (dev->attach.map_bar(dev->attach.bar_opaque, false, address, dev->rom.size, dev->rom.ops,
				dev->rom.opaque, &err) < 0)
		log_ratelimited(&dev->map_log, LOG_LEVEL_WARNING,
				"%s: the guest put the ROM where it cannot be: %s", dev->name,
				error_message(&err));
	else
		dev->rom_mapped = address;
}

void pci_bars_update(struct pci_device *dev)
{
	uint64_t wanted[PCI_BAR_COUNT];

	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++)
		wanted[i] = wanted_address(dev, i);
	/* All out before the first in: two BARs may change places. */
	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++) {
		if (dev->mapped[i] && dev->mapped[i] != wanted[i])
			unmap(dev, i);
	}
	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++) {
		if (wanted[i] && dev->mapped[i] != wanted[i])
			map(dev, i, wanted[i]);
	}
	move_rom(dev, wanted_rom(dev));
}

void pci_bars_unmap(struct pci_device *dev)
{
	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++) {
		if (dev->mapped[i])
			unmap(dev, i);
	}
	move_rom(dev, 0);
}

uint64_t pci_bar_address(struct pci_device *dev, unsigned int bar)
{
	uint64_t address;

	pthread_mutex_lock(&dev->lock);
	address = dev->mapped[bar];
	pthread_mutex_unlock(&dev->lock);
	return address;
}

void pci_bar_info(const struct pci_device *dev, unsigned int bar, enum pci_bar_kind *ret_kind,
		  uint64_t *ret_size)
{
	*ret_kind = dev->bars[bar].kind;
	*ret_size = dev->bars[bar].size;
}
