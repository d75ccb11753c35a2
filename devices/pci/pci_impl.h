/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a PCI function share. For devices/pci/ only. */
#ifndef HOLDFAST_DEVICES_PCI_PCI_IMPL_H
#define HOLDFAST_DEVICES_PCI_PCI_IMPL_H

#include <pthread.h>

#include <linux/pci_regs.h>

#include "base/le.h"
#include "base/log.h"
#include "devices/pci/pci.h"

/* Conventional configuration space; what is above reads 0 but where a hook has it. */
#define PCI_CONFIG_USED 256

#define MSIX_ENTRY_SIZE 16U
#define MSIX_CTRL_MASK	1U /* Vector Control: PCI 3.0, 6.8.2.9 */

struct msix_vector {
	uint64_t address;
	uint32_t data;
	bool masked;  /* Vector Control bit 0 */
	bool pending; /* in the PBA; only while held back */
	bool held;    /* what msi->set() was told last: masked by any of the three masks */
	void *msi;
};

struct pci_msix {
	unsigned int count; /* 0: the function has no MSI-X */
	unsigned int cap;   /* offset of the capability */
	unsigned int bar;
	uint32_t table_offset, pba_offset;
	struct msix_vector *vectors; /* owned */
	const struct io_ops *beside; /* the device's own registers in the same BAR, or NULL */
	void *beside_opaque;
};

struct pci_device {
	struct pci_device *self; /* for locking where the function is const */
	const char *name;
	struct pci_attach attach;
	pthread_mutex_t config_lock; /* outer: one configuration access at a time */
	pthread_mutex_t lock;	     /* inner: all below */
	uint8_t config[PCI_CONFIG_USED];
	uint8_t writable[PCI_CONFIG_USED]; /* bits that the guest may change */
	unsigned int cap_end;		   /* first byte that no capability uses */
	unsigned int cap_last;		   /* offset of the last capability; 0: none */
	struct pci_bar bars[PCI_BAR_COUNT];
	uint64_t mapped[PCI_BAR_COUNT]; /* 0: not mapped */
	struct pci_bar rom;
	uint64_t rom_mapped; /* 0: it is not */
	struct pci_config_hook hook;
	void (*command_changed)(void *opaque, uint16_t command);
	void (*config_written)(void *opaque, unsigned int offset, unsigned int size);
	void (*msix_changed)(void *opaque);
	void (*msix_table_written)(void *opaque);
	void *opaque;
	struct pci_msix msix;
	bool intx_wanted; /* as the device said */
	bool intx_out;	  /* as the line was told */
	struct log_ratelimit map_log;
};

static inline uint16_t pci_get16(const struct pci_device *dev, unsigned int offset)
{
	return le_get16(dev->config, offset);
}

static inline uint32_t pci_get32(const struct pci_device *dev, unsigned int offset)
{
	return le_get32(dev->config, offset);
}

/* pci_bars.c. Registers and masks of a BAR; checks kind and size. */
int pci_bars_init(struct pci_device *dev, const struct pci_params *params, struct error *err);
/* Maps and unmaps until the bus is as configuration space says. Outer lock held. */
void pci_bars_update(struct pci_device *dev);
void pci_bars_unmap(struct pci_device *dev);

/* pci_msix.c */
int pci_msix_init(struct pci_device *dev, const struct pci_params *params, struct error *err);
void pci_msix_done(struct pci_device *dev);
/* Enable or function mask may have changed. Inner lock held. Negative: the kernel refused a
 * vector. */
int pci_msix_update(struct pci_device *dev, struct error *err);
/* Fits a BAR of its own: table, then PBA. */
uint64_t pci_msix_bar_size(unsigned int vectors, uint32_t *ret_pba_offset);
extern const struct io_ops pci_msix_io_ops;

/* pci_device.c. Drives INTA as level, disable bit and MSI-X say. Inner lock held. */
void pci_intx_update(struct pci_device *dev);

#endif
