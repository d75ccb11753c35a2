/* SPDX-License-Identifier: Apache-2.0 */
/* BARs: registers by calls of vfio, and the pieces that can be mapped as memory of the guest. */
#include <string.h>

#include "base/util.h"
#include "devices/vfio/vfio_pci_impl.h"

#define MEMORY_BAR_MIN 4096U
#define ROM_MAX	       (16 * MIB) /* PCI 3.0, 6.2.5.2 */

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned int size)
{
	const struct vfio_pci_bar *bar = opaque;

	return vfio_read(bar->v->device, bar->index, offset, size);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	const struct vfio_pci_bar *bar = opaque;

	vfio_write(bar->v->device, bar->index, offset, value, size);
}

static const struct io_ops bar_io_ops = {.name = "vfio-pci", .read = bar_read, .write = bar_write};

static void rom_write(void *opaque _unused_, uint64_t offset _unused_, uint64_t value _unused_,
		      unsigned int size _unused_)
{
}

static const struct io_ops rom_io_ops = {
	.name = "vfio-pci-rom", .read = bar_read, .write = rom_write};

static bool is_sharing(const struct vfio_pci *v)
{
	uint32_t shared = 0;

	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++)
		shared |= v->bars[i].shared;
	return shared;
}

static void unmap_windows(struct vfio_pci_bar *bar)
{
	const struct vfio_bar *info = vfio_device_bar(bar->v->device, bar->index);
	const struct pci_attach *attach = &bar->v->attach;

	while (bar->mapped > 0) {
		const struct vfio_window *w = &info->windows[--bar->mapped];

		if (bar->v->io && bar->shared & 1U << bar->mapped)
			iommufd_unmap(bar->v->io, bar->base + w->offset, w->size, NULL);
		attach->unmap_memory(attach->bar_opaque, bar->base + w->offset);
	}
	bar->base = 0;
	bar->shared = 0;
}

/* At the guest's address, so that a driver can tell one device where the other one is. */
static void share_window(struct vfio_pci_bar *bar, unsigned int i)
{
	const struct vfio_window *w = &vfio_device_bar(bar->v->device, bar->index)->windows[i];
	int fd, r;

	if (!bar->v->io)
		return;
	fd = vfio_window_dmabuf(bar->v->device, bar->index, w);
	r = fd < 0 ? fd : iommufd_map_device(bar->v->io, fd, w->size, bar->base + w->offset);
	if (fd >= 0)
		close(fd);
	/* Mapped already: in an address space that a process before this one has left. */
	if (r == 0 || r == -EEXIST) {
		bar->shared |= 1U << i;
		return;
	}
	log_info("%s: other devices of this VM cannot reach its memory by DMA: %s (a kernel with "
		 "CONFIG_VFIO_PCI_DMABUF may)",
		 bar->v->name, strerror(-r));
	/* Told once. What is shared of other BARs is taken back with them. */
	if (!is_sharing(bar->v))
		bar->v->io = NULL;
}

/* What cannot be mapped is reached by the registers, which are slower and as good. */
static void moved(void *opaque, uint64_t base)
{
	struct vfio_pci_bar *bar = opaque;
	const struct vfio_bar *info = vfio_device_bar(bar->v->device, bar->index);
	const struct pci_attach *attach = &bar->v->attach;
	struct error err = ERROR_INIT;

	unmap_windows(bar);
	/* A device that sleeps has no memory; it comes when it wakes. */
	if (base == 0 || !attach->map_memory || bar->v->power != VFIO_PCI_D0)
		return;
	bar->base = base;
	for (; bar->mapped < info->window_count; bar->mapped++) {
		const struct vfio_window *w = &info->windows[bar->mapped];

		if (attach->map_memory(attach->bar_opaque, base + w->offset, w->size, w->address,
				       &err) == 0) {
			share_window(bar, bar->mapped);
			continue;
		}
		log_ratelimited(&bar->v->log, LOG_LEVEL_WARNING,
				"%s: BAR %u is not mapped into the guest, each access to it is an "
				"exit: %s",
				bar->v->name, bar->index, error_message(&err));
		return;
	}
}

void vfio_pci_bars_hide(struct vfio_pci *v)
{
	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++)
		unmap_windows(&v->bars[i]);
}

void vfio_pci_bars_show(struct vfio_pci *v)
{
	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++)
		moved(&v->bars[i], pci_bar_address(v->function, i));
}

void vfio_pci_bars_share(struct vfio_pci *v)
{
	for (unsigned int b = 0; b < PCI_BAR_COUNT; b++) {
		struct vfio_pci_bar *bar = &v->bars[b];
		const struct vfio_bar *info = vfio_device_bar(v->device, b);

		for (unsigned int i = 0; v->io && i < bar->mapped; i++) {
			const struct vfio_window *w = &info->windows[i];

			if (!(bar->shared & 1U << i))
				continue;
			iommufd_unmap(v->io, bar->base + w->offset, w->size, NULL);
			bar->shared &= ~(1U << i);
			share_window(bar, i);
		}
	}
}

static enum pci_bar_kind kind_of(uint32_t flags)
{
	if (flags & PCI_BASE_ADDRESS_SPACE_IO)
		return PCI_BAR_IO;
	if ((flags & PCI_BASE_ADDRESS_MEM_TYPE_MASK) != PCI_BASE_ADDRESS_MEM_TYPE_64)
		return PCI_BAR_MEM32;
	return flags & PCI_BASE_ADDRESS_MEM_PREFETCH ? PCI_BAR_MEM64_PREFETCH : PCI_BAR_MEM64;
}

/* A ROM that is smaller than a page, or no power of two, has ones behind it. */
static void rom_params(struct vfio_pci *v, struct pci_params *params)
{
	uint64_t bytes = vfio_rom_size(v->device), size = MEMORY_BAR_MIN;

	if (bytes == 0 || bytes > ROM_MAX)
		return;
	while (size < bytes)
		size *= 2;
	v->rom = (struct vfio_pci_bar){.v = v, .index = VFIO_ROM};
	params->rom = (struct pci_bar){
		.kind = PCI_BAR_MEM32, .size = size, .ops = &rom_io_ops, .opaque = &v->rom};
}

int vfio_pci_bars_params(struct vfio_pci *v, struct pci_params *params, struct error *err)
{
	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++) {
		const struct vfio_bar *info = vfio_device_bar(v->device, i);
		struct pci_bar *bar = &params->bars[i];

		v->bars[i] = (struct vfio_pci_bar){.v = v, .index = i};
		if (info->size == 0)
			continue;
		if (info->size & (info->size - 1))
			return error_set(err, -EINVAL,
					 "device %s: BAR %u has 0x%llx bytes, which is no power of "
					 "two",
					 v->name, i, (unsigned long long)info->size);
		bar->kind = kind_of((uint32_t)vfio_read(v->device, VFIO_CONFIG_SPACE,
							PCI_BASE_ADDRESS_0 + 4 * i, 4));
		bar->size = info->size;
		/* A guest's BAR has a page of its own; what is above the device's reads ones. */
		if (bar->kind != PCI_BAR_IO)
			bar->size = MAX_OF(bar->size, MEMORY_BAR_MIN);
		bar->ops = &bar_io_ops;
		bar->opaque = &v->bars[i];
		bar->moved = moved;
	}
	rom_params(v, params);
	return 0;
}
