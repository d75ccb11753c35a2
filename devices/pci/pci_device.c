/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/util.h"
#include "devices/pci/pci_impl.h"

#define CAPS_START 0x40U /* after the standard header: PCI 3.0, 6.1 */

static void init_header(struct pci_device *dev, const struct pci_params *params)
{
	uint16_t command = PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
			   PCI_COMMAND_INTX_DISABLE;

	for (unsigned int i = 0; i < PCI_BAR_COUNT; i++) {
		if (dev->bars[i].kind == PCI_BAR_IO)
			command |= PCI_COMMAND_IO;
		else if (dev->bars[i].kind != PCI_BAR_NONE)
			command |= PCI_COMMAND_MEMORY;
	}
	le_put16(dev->config, PCI_VENDOR_ID, params->vendor_id);
	le_put16(dev->config, PCI_DEVICE_ID, params->device_id);
	le_put16(dev->writable, PCI_COMMAND, command);
	le_put32(dev->config, PCI_CLASS_REVISION, params->class_code << 8 | params->revision);
	dev->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	le_put16(dev->config, PCI_SUBSYSTEM_VENDOR_ID, params->subsystem_vendor_id);
	le_put16(dev->config, PCI_SUBSYSTEM_ID, params->subsystem_id);
	dev->config[PCI_INTERRUPT_PIN] = params->interrupt_pin;
	dev->writable[PCI_INTERRUPT_LINE] = 0xff;
}

int pci_device_new(const struct pci_params *params, const struct pci_attach *attach,
		   struct pci_device **ret, struct error *err)
{
	struct pci_device *dev = calloc(1, sizeof(*dev));
	int r;

	if (!dev)
		return error_set(err, -ENOMEM, "%s: out of memory", params->name);
	dev->self = dev;
	dev->name = params->name;
	dev->attach = *attach;
	dev->command_changed = params->command_changed;
	dev->config_written = params->config_written;
	dev->msix_changed = params->msix_changed;
	dev->msix_table_written = params->msix_table_written;
	dev->opaque = params->opaque;
	dev->cap_end = CAPS_START;
	pthread_mutex_init(&dev->config_lock, NULL);
	pthread_mutex_init(&dev->lock, NULL);
	r = pci_bars_init(dev, params, err);
	if (r == 0) {
		init_header(dev, params);
		r = pci_msix_init(dev, params, err);
	}
	if (r < 0) {
		pci_device_free(dev);
		return r;
	}
	*ret = dev;
	return 0;
}

void pci_device_unplug(struct pci_device *dev)
{
	pthread_mutex_lock(&dev->config_lock);
	pci_bars_unmap(dev);
	pthread_mutex_unlock(&dev->config_lock);
}

void pci_device_free(struct pci_device *dev)
{
	if (!dev)
		return;
	pci_device_unplug(dev);
	pci_intx_set(dev, false);
	pci_msix_done(dev);
	pthread_mutex_destroy(&dev->lock);
	pthread_mutex_destroy(&dev->config_lock);
	free(dev);
}

const char *pci_device_name(const struct pci_device *dev)
{
	return dev->name;
}

int pci_add_capability(struct pci_device *dev, uint8_t id, const void *data, size_t len,
		       const void *write_mask, struct error *err)
{
	return pci_add_capability_at(dev, ALIGN_UP(dev->cap_end, 4U), id, data, len, write_mask,
				     err);
}

int pci_add_capability_at(struct pci_device *dev, unsigned int at, uint8_t id, const void *data,
			  size_t len, const void *write_mask, struct error *err)
{
	if (at < CAPS_START || at % 4 || len > PCI_CONFIG_USED ||
	    at + PCI_CAP_FLAGS + len > PCI_CONFIG_USED)
		return error_set(err, -ENOSPC, "%s: no room for PCI capability 0x%x", dev->name,
				 id);
	dev->config[at + PCI_CAP_LIST_ID] = id;
	if (len)
		memcpy(&dev->config[at + PCI_CAP_FLAGS], data, len);
	if (write_mask)
		memcpy(&dev->writable[at + PCI_CAP_FLAGS], write_mask, len);
	dev->config[dev->cap_last ? dev->cap_last + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST] =
		(uint8_t)at;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	dev->cap_last = at;
	dev->cap_end = MAX_OF(dev->cap_end, at + PCI_CAP_FLAGS + (unsigned int)len);
	return (int)at;
}

void pci_set_config_hook(struct pci_device *dev, const struct pci_config_hook *hook)
{
	dev->hook = *hook;
}

static bool overlaps(unsigned int offset, unsigned int size, unsigned int start, unsigned int len)
{
	return offset < start + len && start < offset + size;
}

static bool is_hooked(const struct pci_device *dev, unsigned int offset, unsigned int size)
{
	const struct pci_config_hook *hook = &dev->hook;

	return overlaps(offset, size, hook->offset, hook->size) &&
	       (!hook->covers || hook->covers(hook->opaque, offset, size));
}

static bool access_ok(unsigned int offset, unsigned int size)
{
	return (size == 1 || size == 2 || size == 4) && offset % size == 0 &&
	       offset < PCI_CONFIG_SIZE;
}

uint32_t pci_config_peek(const struct pci_device *dev, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	if (offset + size > PCI_CONFIG_USED)
		return 0;
	pthread_mutex_lock(&dev->self->lock);
	for (unsigned int i = 0; i < size; i++)
		value |= (uint32_t)dev->config[offset + i] << (8 * i);
	pthread_mutex_unlock(&dev->self->lock);
	return value;
}

void pci_config_poke(struct pci_device *dev, unsigned int offset, uint32_t value, unsigned int size)
{
	if (offset + size > PCI_CONFIG_USED)
		return;
	pthread_mutex_lock(&dev->lock);
	for (unsigned int i = 0; i < size; i++)
		dev->config[offset + i] = (uint8_t)(value >> (8 * i));
	pthread_mutex_unlock(&dev->lock);
}

uint32_t pci_config_read(struct pci_device *dev, unsigned int offset, unsigned int size)
{
	uint32_t value;

	if (!access_ok(offset, size))
		return UINT32_MAX;
	if (!is_hooked(dev, offset, size))
		return pci_config_peek(dev, offset, size);
	pthread_mutex_lock(&dev->config_lock);
	value = dev->hook.read(dev->hook.opaque, offset, size);
	pthread_mutex_unlock(&dev->config_lock);
	return value;
}

static void write_bytes(struct pci_device *dev, unsigned int offset, uint32_t value,
			unsigned int size)
{
	for (unsigned int i = 0; i < size; i++) {
		uint8_t mask = dev->writable[offset + i];
		uint8_t byte = (uint8_t)(value >> (8 * i));

		dev->config[offset + i] =
			(uint8_t)((dev->config[offset + i] & ~mask) | (byte & mask));
	}
}

static void update_interrupts(struct pci_device *dev)
{
	struct error err = ERROR_INIT;

	if (pci_msix_update(dev, &err) < 0)
		log_ratelimited(&dev->map_log, LOG_LEVEL_WARNING, "%s", error_message(&err));
	pci_intx_update(dev);
}

static void write_config(struct pci_device *dev, unsigned int offset, uint32_t value,
			 unsigned int size)
{
	bool command = overlaps(offset, size, PCI_COMMAND, 2);
	bool msix = dev->msix.count && overlaps(offset, size, dev->msix.cap + PCI_MSIX_FLAGS, 2);

	pthread_mutex_lock(&dev->lock);
	write_bytes(dev, offset, value, size);
	if (command || msix)
		update_interrupts(dev);
	pthread_mutex_unlock(&dev->lock);
	if (command || overlaps(offset, size, PCI_BASE_ADDRESS_0, 4 * PCI_BAR_COUNT) ||
	    overlaps(offset, size, PCI_ROM_ADDRESS, 4))
		pci_bars_update(dev);
	if (command && dev->command_changed)
		dev->command_changed(dev->opaque, pci_get16(dev, PCI_COMMAND));
	if (msix && dev->msix_changed)
		dev->msix_changed(dev->opaque);
	if (dev->config_written)
		dev->config_written(dev->opaque, offset, size);
}

void pci_config_write(struct pci_device *dev, unsigned int offset, uint32_t value,
		      unsigned int size)
{
	if (!access_ok(offset, size))
		return;
	pthread_mutex_lock(&dev->config_lock);
	if (is_hooked(dev, offset, size))
		dev->hook.write(dev->hook.opaque, offset, value, size);
	else if (offset + size <= PCI_CONFIG_USED)
		write_config(dev, offset, value, size);
	pthread_mutex_unlock(&dev->config_lock);
}

/*
 * PCI 3.0, 6.2.3 and 6.8.3.3: the status bit follows the device whatever the disable bit says; with
 * MSI-X enabled the function may not use its pin.
 */
void pci_intx_update(struct pci_device *dev)
{
	bool enabled = dev->msix.count &&
		       (pci_get16(dev, dev->msix.cap + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_ENABLE);
	bool disabled = pci_get16(dev, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;
	bool out = dev->intx_wanted && !disabled && !enabled;

	if (dev->intx_wanted)
		dev->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else
		dev->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	if (out == dev->intx_out)
		return;
	dev->intx_out = out;
	irq_line_set(&dev->attach.intx, out);
}

void pci_intx_set(struct pci_device *dev, bool level)
{
	pthread_mutex_lock(&dev->lock);
	dev->intx_wanted = level;
	pci_intx_update(dev);
	pthread_mutex_unlock(&dev->lock);
}

bool pci_bus_master(struct pci_device *dev)
{
	return pci_config_peek(dev, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}
