/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X: PCI Local Bus 3.0, 6.8.2 and 6.8.3. The inner lock is held from the look at the masks to
 * the delivery, so that a vector which was unmasked while it fired can neither be lost nor come
 * twice.
 */
#include "base/util.h"
#include "devices/pci/pci_impl.h"

#define BAR_SIZE_MIN   4096U
#define ADDRESS_OFFSET 0U /* in a table entry: Message Address, Upper Address, Data, Control */
#define UPPER_OFFSET   4U
#define DATA_OFFSET    8U

static uint64_t pba_size(unsigned int vectors)
{
	return ALIGN_UP(vectors, 64U) / 8;
}

uint64_t pci_msix_bar_size(unsigned int vectors, uint32_t *ret_pba_offset)
{
	uint32_t table = vectors * MSIX_ENTRY_SIZE;
	uint64_t size = BAR_SIZE_MIN;

	/* PBA and table do not share a dword; 8-byte alignment is the specification's. */
	*ret_pba_offset = (uint32_t)ALIGN_UP(table, 8U);
	while (size < *ret_pba_offset + pba_size(vectors))
		size *= 2;
	return size;
}

static int check_places(const struct pci_device *dev, const struct pci_params *params,
			struct error *err)
{
	uint64_t size = dev->bars[params->msix_bar].size;
	uint64_t table = dev->msix.table_offset, pba = dev->msix.pba_offset;
	uint64_t table_end = table + (uint64_t)params->msix_vectors * MSIX_ENTRY_SIZE;
	uint64_t pba_end = pba + pba_size(params->msix_vectors);

	if (table % 8 || pba % 8 || table_end > size || pba_end > size ||
	    (table < pba_end && pba < table_end))
		return error_set(err, -EINVAL, "%s: MSI-X table and PBA do not fit into BAR %u",
				 dev->name, params->msix_bar);
	return 0;
}

static int add_capability(struct pci_device *dev, const struct pci_params *params,
			  struct error *err)
{
	uint8_t body[PCI_CAP_MSIX_SIZEOF - PCI_CAP_FLAGS] = {0}, mask[sizeof(body)] = {0};
	unsigned int shift = PCI_CAP_FLAGS;
	int at;

	le_put16(body, PCI_MSIX_FLAGS - shift, (uint16_t)(params->msix_vectors - 1));
	le_put16(mask, PCI_MSIX_FLAGS - shift, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	le_put32(body, PCI_MSIX_TABLE - shift, dev->msix.table_offset | params->msix_bar);
	le_put32(body, PCI_MSIX_PBA - shift, dev->msix.pba_offset | params->msix_bar);
	at = params->msix_cap
		     ? pci_add_capability_at(dev, params->msix_cap, PCI_CAP_ID_MSIX, body,
					     sizeof(body), mask, err)
		     : pci_add_capability(dev, PCI_CAP_ID_MSIX, body, sizeof(body), mask, err);
	if (at < 0)
		return at;
	dev->msix.cap = (unsigned int)at;
	return 0;
}

int pci_msix_init(struct pci_device *dev, const struct pci_params *params, struct error *err)
{
	struct pci_msix *msix = &dev->msix;
	int r;

	if (params->msix_vectors == 0)
		return 0;
	r = check_places(dev, params, err);
	if (r == 0)
		r = add_capability(dev, params, err);
	if (r < 0)
		return r;
	msix->vectors = calloc(params->msix_vectors, sizeof(*msix->vectors));
	if (!msix->vectors)
		return error_set(err, -ENOMEM, "%s: out of memory", dev->name);
	while (msix->count < params->msix_vectors) {
		struct msix_vector *v = &msix->vectors[msix->count];

		v->masked = v->held = true;
		r = dev->attach.msi->alloc(dev->attach.msi_opaque, &v->msi, err);
		if (r < 0)
			return error_prefix(err, "%s: MSI-X vector %u: ", dev->name, msix->count),
			       r;
		msix->count++;
	}
	return 0;
}

void pci_msix_done(struct pci_device *dev)
{
	for (unsigned int i = 0; i < dev->msix.count; i++)
		dev->attach.msi->free(dev->attach.msi_opaque, dev->msix.vectors[i].msi);
	free(dev->msix.vectors);
}

static uint16_t flags(const struct pci_device *dev)
{
	return pci_get16(dev, dev->msix.cap + PCI_MSIX_FLAGS);
}

static bool is_enabled(const struct pci_device *dev)
{
	return dev->msix.count > 0 && (flags(dev) & PCI_MSIX_FLAGS_ENABLE);
}

static void deliver_pending(struct pci_device *dev, struct msix_vector *v)
{
	if (!v->pending || v->held)
		return;
	v->pending = false;
	dev->attach.msi->fire(dev->attach.msi_opaque, v->msi);
}

/* Tells the machine of address, data and masks. A vector that the kernel refuses stays held: what
 * it fires is kept pending. */
static int apply(struct pci_device *dev, unsigned int i, struct error *err)
{
	struct msix_vector *v = &dev->msix.vectors[i];
	bool held = v->masked || !is_enabled(dev) || (flags(dev) & PCI_MSIX_FLAGS_MASKALL);
	int r;

	if (held && v->held)
		return 0;
	r = dev->attach.msi->set(dev->attach.msi_opaque, v->msi, v->address, v->data, held, err);
	v->held = held || r < 0;
	if (r < 0)
		return error_prefix(err, "%s: MSI-X vector %u: ", dev->name, i), r;
	deliver_pending(dev, v);
	return 0;
}

int pci_msix_update(struct pci_device *dev, struct error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < dev->msix.count; i++) {
		int r = apply(dev, i, err);

		ret = ret < 0 ? ret : r;
		/* What was for an owner who has switched MSI-X off is not for the next one. */
		if (!is_enabled(dev))
			dev->msix.vectors[i].pending = false;
	}
	return ret;
}

bool pci_msix_fire(struct pci_device *dev, unsigned int vector)
{
	bool fired = false;

	pthread_mutex_lock(&dev->lock);
	if (is_enabled(dev) && vector < dev->msix.count) {
		struct msix_vector *v = &dev->msix.vectors[vector];

		v->pending = true;
		deliver_pending(dev, v);
		fired = true;
	}
	pthread_mutex_unlock(&dev->lock);
	return fired;
}

bool pci_msix_enabled(struct pci_device *dev)
{
	bool enabled;

	pthread_mutex_lock(&dev->lock);
	enabled = is_enabled(dev);
	pthread_mutex_unlock(&dev->lock);
	return enabled;
}

bool pci_msix_live(struct pci_device *dev, unsigned int vector)
{
	bool live;

	pthread_mutex_lock(&dev->lock);
	live = is_enabled(dev) && vector < dev->msix.count && !dev->msix.vectors[vector].held;
	pthread_mutex_unlock(&dev->lock);
	return live;
}

int pci_msix_eventfd(struct pci_device *dev, unsigned int vector, struct error *err)
{
	int fd;

	if (vector >= dev->msix.count)
		return error_set(err, -EINVAL, "%s: no MSI-X vector %u", dev->name, vector);
	pthread_mutex_lock(&dev->lock);
	fd = dev->attach.msi->eventfd(dev->attach.msi_opaque, dev->msix.vectors[vector].msi, err);
	pthread_mutex_unlock(&dev->lock);
	return fd;
}

void pci_device_resumed(struct pci_device *dev)
{
	pthread_mutex_lock(&dev->lock);
	for (unsigned int i = 0; i < dev->msix.count; i++) {
		struct msix_vector *v = &dev->msix.vectors[i];

		if (!v->held)
			dev->attach.msi->fire(dev->attach.msi_opaque, v->msi);
	}
	pthread_mutex_unlock(&dev->lock);
}

/* One dword of the table. */
static uint32_t entry_read(const struct msix_vector *v, unsigned int offset)
{
	switch (offset) {
	case ADDRESS_OFFSET:
		return (uint32_t)v->address;
	case UPPER_OFFSET:
		return (uint32_t)(v->address >> 32);
	case DATA_OFFSET:
		return v->data;
	default:
		return v->masked ? MSIX_CTRL_MASK : 0;
	}
}

static void entry_write(struct msix_vector *v, unsigned int offset, uint32_t value)
{
	switch (offset) {
	case ADDRESS_OFFSET:
		/* Bits 0 and 1 are zero for a DWORD-aligned address (6.8.2.7). */
		v->address = (v->address & ~(uint64_t)UINT32_MAX) | (value & ~3U);
		break;
	case UPPER_OFFSET:
		v->address = (v->address & UINT32_MAX) | (uint64_t)value << 32;
		break;
	case DATA_OFFSET:
		v->data = value;
		break;
	default:
		v->masked = value & MSIX_CTRL_MASK;
		break;
	}
}

static uint32_t pba_read(struct pci_device *dev, unsigned int first)
{
	uint32_t bits = 0;

	for (unsigned int i = 0; i < 32 && first + i < dev->msix.count; i++) {
		const struct msix_vector *v = &dev->msix.vectors[first + i];

		if (v->pending ||
		    (v->held && dev->attach.msi->pending(dev->attach.msi_opaque, v->msi)))
			bits |= 1U << i;
	}
	return bits;
}

static bool inside(uint64_t offset, uint64_t start, uint64_t len)
{
	return offset >= start && offset - start < len;
}

/* 6.8.2: only aligned DWORD and QWORD accesses are defined; all others read 0 and write nothing. */
static uint64_t msix_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct pci_device *dev = opaque;
	const struct pci_msix *msix = &dev->msix;
	bool table = inside(offset, msix->table_offset, (uint64_t)msix->count * MSIX_ENTRY_SIZE);
	bool pba = inside(offset, msix->pba_offset, pba_size(msix->count));
	uint64_t value = 0;

	if (!table && !pba)
		return msix->beside ? msix->beside->read(msix->beside_opaque, offset, size) : 0;
	if ((size != 4 && size != 8) || offset % size)
		return 0;
	pthread_mutex_lock(&dev->lock);
	for (unsigned int i = 0; i < size; i += 4) {
		uint64_t at = offset + i - (table ? msix->table_offset : msix->pba_offset);
		uint32_t dword = table ? entry_read(&msix->vectors[at / MSIX_ENTRY_SIZE],
						    (unsigned int)(at % MSIX_ENTRY_SIZE))
				       : pba_read(dev, (unsigned int)at * 8);

		value |= (uint64_t)dword << (8 * i);
	}
	pthread_mutex_unlock(&dev->lock);
	return value;
}

static void msix_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct pci_device *dev = opaque;
	const struct pci_msix *msix = &dev->msix;
	struct error err = ERROR_INIT;
	uint64_t at = offset - msix->table_offset;

	if (inside(offset, msix->pba_offset, pba_size(msix->count)))
		return;
	if (!inside(offset, msix->table_offset, (uint64_t)msix->count * MSIX_ENTRY_SIZE)) {
		if (msix->beside)
			msix->beside->write(msix->beside_opaque, offset, value, size);
		return;
	}
	if (size < 4 || offset % size)
		return;
	pthread_mutex_lock(&dev->lock);
	for (unsigned int i = 0; i < size; i += 4)
		entry_write(&msix->vectors[at / MSIX_ENTRY_SIZE],
			    (unsigned int)(at % MSIX_ENTRY_SIZE) + i, (uint32_t)(value >> (8 * i)));
	if (apply(dev, (unsigned int)(at / MSIX_ENTRY_SIZE), &err) < 0)
		log_ratelimited(&dev->map_log, LOG_LEVEL_WARNING, "%s", error_message(&err));
	pthread_mutex_unlock(&dev->lock);
	if (dev->msix_table_written)
		dev->msix_table_written(dev->opaque);
}

const struct io_ops pci_msix_io_ops = {.name = "msix", .read = msix_read, .write = msix_write};
