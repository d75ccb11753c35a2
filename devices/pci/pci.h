/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI functions as devices build them: configuration space with write masks, BARs, capabilities,
 * INTx and MSI-X (PCI Local Bus 3.0 chapter 6; PCI Express Base 5.0 chapter 7). What a function
 * needs of the machine comes as struct pci_attach; it knows no bus and no KVM. Configuration
 * accesses come from vCPU threads; each function has one mutex for its configuration space and
 * MSI-X table.
 */
#ifndef HOLDFAST_DEVICES_PCI_PCI_H
#define HOLDFAST_DEVICES_PCI_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/state.h"
#include "devices/attach.h"

#define PCI_CONFIG_SIZE 4096
#define PCI_BAR_COUNT	6
#define PCI_SLOTS_MAX	32 /* bus 0; slot 0 is the host bridge */
#define PCI_VECTORS_MAX 64 /* per function */

struct pci_device;

/* One message-signalled interrupt of the machine. */
struct msi_ops {
	/* A vector that fires nothing yet. */
	int (*alloc)(void *opaque, void **ret_msi, struct error *err);
	/* Where it goes (address and data as the guest wrote them into the MSI-X table); masked:
	 * deliveries stay pending in the function's PBA. */
	int (*set)(void *opaque, void *msi, uint64_t address, uint32_t data, bool masked);
	/* Any thread: fires once. */
	void (*fire)(void *opaque, void *msi);
	/* An eventfd that fires it when written (irqfd): for vhost and vfio. Borrowed. -EOPNOTSUPP:
	 * none. */
	int (*eventfd)(void *opaque, void *msi);
	void (*free)(void *opaque, void *msi);
};

/* Doorbells: a write of `size` bytes to a guest physical address signals an eventfd without leaving
 * the kernel (ioeventfd). */
struct doorbell_ops {
	int (*add)(void *opaque, uint64_t gpa, unsigned int size, int eventfd, struct error *err);
	void (*remove)(void *opaque, uint64_t gpa, unsigned int size, int eventfd);
};

/* What the machine gives a PCI function. Copied at creation; ops and opaques outlive it. */
struct pci_attach {
	struct guest_memory memory;
	struct irq_line intx; /* INTA of its slot, level */
	const struct msi_ops *msi;
	void *msi_opaque;
	const struct doorbell_ops *doorbells;
	void *doorbell_opaque;
	/* Puts a BAR's registers into the guest's MMIO or port space, or takes them out. Called
	 * when the guest programs the BAR or toggles decoding, from vCPU threads, without the
	 * function's mutex held. */
	int (*map_bar)(void *opaque, bool io_space, uint64_t base, uint64_t size,
		       const struct io_ops *ops, void *ops_opaque);
	void (*unmap_bar)(void *opaque, bool io_space, uint64_t base);
	void *bar_opaque;
};

enum pci_bar_kind {
	PCI_BAR_NONE,
	PCI_BAR_IO,
	PCI_BAR_MEM32,
	PCI_BAR_MEM64, /* takes two BAR registers */
	PCI_BAR_MEM64_PREFETCH,
};

struct pci_bar {
	enum pci_bar_kind kind;
	uint64_t size; /* power of two, at least 16 (I/O: 4); memory of 4 KiB and more */
	const struct io_ops *ops;
	void *opaque;
	/* After the BAR was mapped at a guest address (0: unmapped), no lock held: doorbells follow
	 * it. */
	void (*moved)(void *opaque, uint64_t base);
};

struct pci_params {
	uint16_t vendor_id, device_id, subsystem_vendor_id, subsystem_id;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
	uint8_t interrupt_pin; /* 0: none, 1: INTA */
	struct pci_bar bars[PCI_BAR_COUNT];
	unsigned int msix_vectors; /* 0: no MSI-X */
	unsigned int msix_bar; /* the BAR that holds table and PBA, made by this module: leave its
				  kind PCI_BAR_NONE */
};

int pci_device_new(const struct pci_params *params, const struct pci_attach *attach,
		   struct pci_device **ret, struct error *err);
void pci_device_free(struct pci_device *dev); /* NULL is fine; unmaps its BARs */

/* Adds a capability of len bytes with id first (data: from the byte after "next"); returns its
 * offset. Before the guest runs only. */
int pci_add_capability(struct pci_device *dev, uint8_t id, const void *data, size_t len,
		       const void *write_mask, struct error *err);

/* Configuration space accesses by the guest: offset < 4096, size 1, 2 or 4, naturally aligned. */
uint32_t pci_config_read(struct pci_device *dev, unsigned int offset, unsigned int size);
void pci_config_write(struct pci_device *dev, unsigned int offset, uint32_t value,
		      unsigned int size);

/* Any thread. Fires MSI-X vector, or holds it pending while masked. Without MSI-X enabled: does
 * nothing, returns false. */
bool pci_msix_fire(struct pci_device *dev, unsigned int vector);
bool pci_msix_enabled(struct pci_device *dev);
/* eventfd of a vector for the kernel's own signallers, or negative errno. While masked the machine
 * routes it nowhere. */
int pci_msix_eventfd(struct pci_device *dev, unsigned int vector);
/* Level of INTA, gated by the command register's interrupt disable and reported in the status
 * register. */
void pci_intx_set(struct pci_device *dev, bool level);
/* Bus mastering on (command register): without it a device must not touch guest memory. */
bool pci_bus_master(struct pci_device *dev);

/* Configuration space, BARs, MSI-X table and PBA: the part of a device's state that every PCI
 * function has. */
int pci_device_save(const struct pci_device *dev, struct state_writer *w, struct error *err);
int pci_device_load(struct pci_device *dev, struct state_reader *r, enum state_mode mode,
		    struct error *err);

#endif
