/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/virtio_driver.h"

#define SPEC_CAP_MSIX	 0x11
#define SPEC_CAP_VENDOR	 0x09
#define SPEC_CAP_POINTER 0x34
#define SPEC_TYPE_COMMON 1
#define SPEC_TYPE_NOTIFY 2
#define SPEC_TYPE_ISR	 3
#define SPEC_TYPE_DEVICE 4
#define SPEC_MSIX_ENABLE 0x8000
#define SPEC_MSIX_ENTRY	 16
#define SPEC_NO_VECTOR	 0xffff
#define SPEC_COMMAND_ALL 7 /* I/O, memory, bus master */
#define VECTOR_DATA	 0x40U

static void place_bars(struct virtio_driver *d, uint64_t base)
{
	for (unsigned int bar = 0; bar < 6; bar++) {
		enum pci_bar_kind kind;
		uint64_t size;

		pci_bar_info(d->pci, bar, &kind, &size);
		if (kind == PCI_BAR_NONE)
			continue;
		base = ALIGN_UP(base, size);
		pci_config_write(d->pci, 0x10 + 4 * bar, (uint32_t)base, 4);
		base += size;
	}
	pci_config_write(d->pci, 4, SPEC_COMMAND_ALL, 2);
}

static void vendor_cap(struct virtio_driver *d, unsigned int at)
{
	unsigned int type = pci_config_read(d->pci, at + 3, 1);
	unsigned int bar = pci_config_read(d->pci, at + 4, 1);
	uint32_t offset = pci_config_read(d->pci, at + 8, 4);
	uint32_t length = pci_config_read(d->pci, at + 12, 4);
	uint64_t addr = pci_bar_address(d->pci, bar) + offset;

	if (type == SPEC_TYPE_COMMON) {
		assert_true(length >= 60 && addr % 4 == 0);
		d->common = addr;
	} else if (type == SPEC_TYPE_NOTIFY) {
		d->notify = addr;
		d->notify_multiplier = pci_config_read(d->pci, at + 16, 4);
	} else if (type == SPEC_TYPE_ISR) {
		d->isr = addr;
	} else if (type == SPEC_TYPE_DEVICE) {
		d->config = addr;
		d->config_size = length;
	}
}

void driver_open(struct virtio_driver *d, struct fake_machine *m, struct pci_device *pci,
		 uint64_t base)
{
	memset(d, 0, sizeof(*d));
	d->m = m;
	d->pci = pci;
	place_bars(d, base);
	for (unsigned int at = pci_config_read(pci, SPEC_CAP_POINTER, 1); at;
	     at = pci_config_read(pci, at + 1, 1)) {
		unsigned int id = pci_config_read(pci, at, 1);

		if (id == SPEC_CAP_VENDOR)
			vendor_cap(d, at);
		if (id == SPEC_CAP_MSIX) {
			uint32_t table = pci_config_read(pci, at + 4, 4);

			d->msix_cap = at;
			d->msix_table = pci_bar_address(pci, table & 7) + (table & ~7U);
		}
	}
	assert_true(d->common && d->isr && d->notify && d->msix_cap);
}

uint64_t driver_common(struct virtio_driver *d, unsigned int offset, unsigned int size)
{
	return fake_mmio_read(d->m, d->common + offset, size);
}

void driver_set_common(struct virtio_driver *d, unsigned int offset, uint64_t value,
		       unsigned int size)
{
	fake_mmio_write(d->m, d->common + offset, value, size);
}

uint64_t driver_offered(struct virtio_driver *d)
{
	uint64_t low;

	driver_set_common(d, SPEC_C_DEVICE_FEATURE_SELECT, 0, 4);
	low = driver_common(d, SPEC_C_DEVICE_FEATURE, 4);
	driver_set_common(d, SPEC_C_DEVICE_FEATURE_SELECT, 1, 4);
	return low | driver_common(d, SPEC_C_DEVICE_FEATURE, 4) << 32;
}

bool driver_negotiate(struct virtio_driver *d, uint64_t features)
{
	driver_set_common(d, SPEC_C_STATUS, 0, 1);
	assert_int_equal(driver_common(d, SPEC_C_STATUS, 1), 0);
	driver_set_common(d, SPEC_C_STATUS, SPEC_S_ACKNOWLEDGE, 1);
	driver_set_common(d, SPEC_C_STATUS, SPEC_S_ACKNOWLEDGE | SPEC_S_DRIVER, 1);
	for (unsigned int i = 0; i < 2; i++) {
		driver_set_common(d, SPEC_C_DRIVER_FEATURE_SELECT, i, 4);
		driver_set_common(d, SPEC_C_DRIVER_FEATURE, (uint32_t)(features >> 32 * i), 4);
	}
	driver_set_common(d, SPEC_C_STATUS, SPEC_S_ACKNOWLEDGE | SPEC_S_DRIVER | SPEC_S_FEATURES_OK,
			  1);
	d->features = features;
	return driver_common(d, SPEC_C_STATUS, 1) & SPEC_S_FEATURES_OK;
}

static void program_vector(struct virtio_driver *d, unsigned int vector)
{
	uint64_t entry = d->msix_table + (uint64_t)vector * SPEC_MSIX_ENTRY;

	fake_mmio_write(d->m, entry, 0xfee00000, 8);
	fake_mmio_write(d->m, entry + 8, VECTOR_DATA + vector, 4);
	fake_mmio_write(d->m, entry + 12, 0, 4);
}

void driver_use_msix(struct virtio_driver *d, unsigned int queues)
{
	pci_config_write(d->pci, d->msix_cap + 2, SPEC_MSIX_ENABLE, 2);
	for (unsigned int vector = 0; vector <= queues; vector++)
		program_vector(d, vector);
	driver_set_common(d, SPEC_C_CONFIG_VECTOR, 0, 2);
	assert_int_equal(driver_common(d, SPEC_C_CONFIG_VECTOR, 2), 0);
	d->msix = true;
}

void driver_enable_queue(struct virtio_driver *d, unsigned int queue, uint16_t size)
{
	struct driver_queue *q = &d->queues[queue];

	driver_queue_init(q, d->m, size, d->features & SPEC_F_RING_PACKED,
			  d->features & SPEC_F_EVENT_IDX);
	driver_set_common(d, SPEC_C_QUEUE_SELECT, queue, 2);
	driver_set_common(d, SPEC_C_QUEUE_SIZE, size, 2);
	assert_int_equal(driver_common(d, SPEC_C_QUEUE_SIZE, 2), size);
	driver_set_common(d, SPEC_C_QUEUE_DESC, q->desc, 4);
	driver_set_common(d, SPEC_C_QUEUE_DRIVER, q->driver, 4);
	driver_set_common(d, SPEC_C_QUEUE_DEVICE, q->device, 4);
	if (d->msix) {
		driver_set_common(d, SPEC_C_QUEUE_VECTOR, queue + 1, 2);
		assert_int_equal(driver_common(d, SPEC_C_QUEUE_VECTOR, 2), queue + 1);
	}
	q->notify = d->notify + driver_common(d, SPEC_C_QUEUE_NOTIFY_OFF, 2) * d->notify_multiplier;
	driver_set_common(d, SPEC_C_QUEUE_ENABLE, 1, 2);
	assert_int_equal(driver_common(d, SPEC_C_QUEUE_ENABLE, 2), 1);
}

void driver_ok(struct virtio_driver *d)
{
	driver_set_common(d, SPEC_C_STATUS, driver_common(d, SPEC_C_STATUS, 1) | SPEC_S_DRIVER_OK,
			  1);
}

void driver_kick(struct virtio_driver *d, unsigned int queue)
{
	fake_mmio_write(d->m, d->queues[queue].notify, queue, 2);
}

unsigned int driver_interrupt_count(struct virtio_driver *d, unsigned int vector)
{
	struct fake_msi *msi = fake_msi_by_data(d->m, VECTOR_DATA + vector);

	return msi ? msi->fired : 0;
}

void driver_start(struct virtio_driver *d, uint64_t features, unsigned int queues, uint16_t size)
{
	assert_true(driver_negotiate(d, features | SPEC_F_VERSION_1));
	driver_use_msix(d, queues);
	for (unsigned int i = 0; i < queues; i++)
		driver_enable_queue(d, i, size);
	driver_ok(d);
}
