/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/pci/pci_host.h"

#include <pthread.h>

#include "base/util.h"

/* A generic PCI Express host bridge, as no operating system needs a driver or quirk for. */
#define BRIDGE_VENDOR 0x1b36
#define BRIDGE_DEVICE 0x0008
#define CLASS_HOST    0x060000

#define ADDRESS_ENABLE (1U << 31)
#define ADDRESS_BITS   0x80fffffcU

struct pci_slot {
	struct pci_device *dev;
	unsigned int users; /* accesses under way */
};

struct pci_host {
	struct pci_host *self;
	struct pci_host_params params;
	pthread_mutex_t lock; /* all below; never held during an access */
	pthread_cond_t idle;
	struct pci_slot slots[PCI_SLOTS_MAX];
	uint32_t address; /* CONFIG_ADDRESS */
};

/* A function's place on the bus. */
struct place {
	unsigned int bus, slot, function, offset;
};

int pci_host_new(const struct pci_host_params *params, struct pci_host **ret, struct error *err)
{
	const struct pci_params bridge = {.name = "pci-host",
					  .vendor_id = BRIDGE_VENDOR,
					  .device_id = BRIDGE_DEVICE,
					  .class_code = CLASS_HOST};
	const struct pci_attach nothing = {0};
	struct pci_host *host = calloc(1, sizeof(*host));
	int r;

	if (!host)
		return error_set(err, -ENOMEM, "PCI host bridge: out of memory");
	host->self = host;
	host->params = *params;
	pthread_mutex_init(&host->lock, NULL);
	pthread_cond_init(&host->idle, NULL);
	r = pci_device_new(&bridge, &nothing, &host->slots[0].dev, err);
	if (r < 0) {
		pci_host_free(host);
		return r;
	}
	*ret = host;
	return 0;
}

void pci_host_free(struct pci_host *host)
{
	if (!host)
		return;
	pci_device_free(host->slots[0].dev);
	pthread_cond_destroy(&host->idle);
	pthread_mutex_destroy(&host->lock);
	free(host);
}

int pci_host_add(struct pci_host *host, unsigned int slot, struct pci_device *dev,
		 struct error *err)
{
	int r = 0;

	if (slot == 0 || slot >= PCI_SLOTS_MAX)
		return error_set(err, -EINVAL, "PCI slot %u: there are slots 1 to %u", slot,
				 PCI_SLOTS_MAX - 1);
	pthread_mutex_lock(&host->lock);
	if (host->slots[slot].dev)
		r = error_set(err, -EBUSY, "PCI slot %u: %s is there already", slot,
			      pci_device_name(host->slots[slot].dev));
	else
		host->slots[slot].dev = dev;
	pthread_mutex_unlock(&host->lock);
	return r;
}

void pci_host_remove(struct pci_host *host, unsigned int slot)
{
	struct pci_slot *s = &host->slots[slot];

	pthread_mutex_lock(&host->lock);
	s->dev = NULL;
	while (s->users > 0)
		pthread_cond_wait(&host->idle, &host->lock);
	pthread_mutex_unlock(&host->lock);
}

struct pci_device *pci_host_slot(struct pci_host *host, unsigned int slot)
{
	struct pci_device *dev;

	pthread_mutex_lock(&host->lock);
	dev = host->slots[slot].dev;
	pthread_mutex_unlock(&host->lock);
	return dev;
}

int pci_host_free_slot(struct pci_host *host, struct error *err)
{
	for (unsigned int slot = 1; slot < PCI_SLOTS_MAX; slot++) {
		if (!pci_host_slot(host, slot))
			return (int)slot;
	}
	return error_set(err, -ENOSPC, "no free PCI slot: a VM can have %u devices",
			 PCI_SLOTS_MAX - 1);
}

static struct pci_device *enter(struct pci_host *host, const struct place *place)
{
	struct pci_device *dev = NULL;

	if (place->bus != 0 || place->function != 0)
		return NULL;
	pthread_mutex_lock(&host->lock);
	dev = host->slots[place->slot].dev;
	if (dev)
		host->slots[place->slot].users++;
	pthread_mutex_unlock(&host->lock);
	return dev;
}

static void leave(struct pci_host *host, const struct place *place)
{
	pthread_mutex_lock(&host->lock);
	if (--host->slots[place->slot].users == 0)
		pthread_cond_broadcast(&host->idle);
	pthread_mutex_unlock(&host->lock);
}

static uint32_t read_place(struct pci_host *host, const struct place *place, unsigned int size)
{
	struct pci_device *dev = enter(host, place);
	uint32_t value = UINT32_MAX;

	if (dev) {
		value = pci_config_read(dev, place->offset, size);
		leave(host, place);
	}
	return size < 4 ? value & ((1U << 8 * size) - 1) : value;
}

static void write_place(struct pci_host *host, const struct place *place, uint32_t value,
			unsigned int size)
{
	struct pci_device *dev = enter(host, place);

	if (!dev)
		return;
	pci_config_write(dev, place->offset, value, size);
	leave(host, place);
}

/* Table 7-1 of PCI Express: bus in bits 27:20, device 19:15, function 14:12, register 11:0. */
static struct place ecam_place(uint64_t offset)
{
	return (struct place){.bus = (unsigned int)(offset >> 20),
			      .slot = (offset >> 15) & 31,
			      .function = (offset >> 12) & 7,
			      .offset = offset & 4095};
}

static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct place place = ecam_place(offset);
	uint64_t value;

	if (size <= 4)
		return read_place(opaque, &place, size);
	/* A root complex need not support qwords; two dwords are what a guest would mean. */
	value = read_place(opaque, &place, 4);
	place.offset += 4;
	return value | (uint64_t)read_place(opaque, &place, 4) << 32;
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct place place = ecam_place(offset);

	write_place(opaque, &place, (uint32_t)value, MIN_OF(size, 4U));
	if (size <= 4)
		return;
	place.offset += 4;
	write_place(opaque, &place, (uint32_t)(value >> 32), 4);
}

/* The place that CONFIG_ADDRESS names; false: it is not enabled. */
static bool address_place(struct pci_host *host, unsigned int byte, struct place *ret)
{
	uint32_t address;

	pthread_mutex_lock(&host->lock);
	address = host->address;
	pthread_mutex_unlock(&host->lock);
	*ret = (struct place){.bus = address >> 16 & 0xff,
			      .slot = address >> 11 & 31,
			      .function = address >> 8 & 7,
			      .offset = (address & 0xfc) + byte};
	return address & ADDRESS_ENABLE;
}

static uint64_t all_ones(unsigned int size)
{
	return size < 8 ? (1ULL << 8 * size) - 1 : UINT64_MAX;
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct pci_host *host = opaque;
	const struct io_ops *other = host->params.other_ops;
	struct place place;
	uint32_t address;

	if (offset >= 4 && offset + size <= PCI_HOST_PORT_SIZE && size <= 4)
		return address_place(host, (unsigned int)offset - 4, &place)
			       ? read_place(host, &place, size)
			       : all_ones(size);
	if (offset == 1 && size == 1 && other)
		return other->read(host->params.other_opaque, 0, 1);
	if (offset != 0 || size != 4)
		return all_ones(size);
	pthread_mutex_lock(&host->lock);
	address = host->address;
	pthread_mutex_unlock(&host->lock);
	return address;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct pci_host *host = opaque;
	const struct io_ops *other = host->params.other_ops;
	struct place place;

	if (offset >= 4 && offset + size <= PCI_HOST_PORT_SIZE && size <= 4) {
		if (address_place(host, (unsigned int)offset - 4, &place))
			write_place(host, &place, (uint32_t)value, size);
	} else if (offset == 1 && size == 1 && other) {
		other->write(host->params.other_opaque, 0, value, 1);
	} else if (offset == 0 && size == 4) {
		pthread_mutex_lock(&host->lock);
		host->address = (uint32_t)value & ADDRESS_BITS;
		pthread_mutex_unlock(&host->lock);
	}
}

static int host_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	const struct pci_host *host = obj;

	pthread_mutex_lock(&host->self->lock);
	state_put_u32(w, "address", host->address);
	pthread_mutex_unlock(&host->self->lock);
	pci_device_save(host->slots[0].dev, w);
	return 0;
}

static int host_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		     enum state_mode mode, struct error *err)
{
	struct pci_host *host = obj;
	uint32_t address = state_get_u32(r, "address");
	int ret;

	state_require(r, (address & ~ADDRESS_BITS) == 0, "address: reserved bits are set");
	state_require(r, state_reader_child_count(r) == 1, "unknown nodes inside");
	ret = state_reader_done(r, err);
	if (ret == 0)
		ret = pci_device_load(host->slots[0].dev, r, mode, err);
	if (ret == 0 && mode == STATE_APPLY) {
		pthread_mutex_lock(&host->lock);
		host->address = address;
		pthread_mutex_unlock(&host->lock);
	}
	return ret;
}

const struct io_ops pci_host_port_io_ops = {
	.name = "pci-config", .read = port_read, .write = port_write};
const struct io_ops pci_host_ecam_io_ops = {
	.name = "pci-ecam", .read = ecam_read, .write = ecam_write};
const struct state_ops pci_host_state_ops = {
	.name = "pci-host", .version = 1, .min_version = 1, .save = host_save, .load = host_load};
