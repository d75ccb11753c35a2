/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a device that is passed through share. For devices/vfio/ only. */
#ifndef HOLDFAST_DEVICES_VFIO_VFIO_PCI_IMPL_H
#define HOLDFAST_DEVICES_VFIO_VFIO_PCI_IMPL_H

#include <linux/pci_regs.h>
#include <pthread.h>

#include "base/log.h"
#include "devices/vfio/vfio_pci.h"
#include "iommu/vfio.h"

#define CONFIG_BYTES   256U /* what of configuration space is conventional */
#define MSI_VECTORS    32U  /* PCI 3.0, 6.8.1.3 */
#define IRQ_EVENTS_MAX 2

struct vfio_pci_bar {
	struct vfio_pci *v;
	unsigned int index;
	uint64_t base;	     /* where its memory is mapped; 0: nowhere */
	unsigned int mapped; /* windows that are */
	uint32_t shared;     /* of these: a bit for each that is mapped for DMA, too */
};

/* How the device interrupts now. */
enum irq_mode { IRQ_NONE, IRQ_INTX, IRQ_MSI, IRQ_MSIX };

/* What the device, or its host, tells of it. On the loop. */
struct vfio_pci_report {
	struct vfio_pci *v;
	enum vfio_pci_event event;
	int fd; /* owned */
	struct loop_source *source;
};

struct vfio_pci {
	struct vfio_device *device;  /* owned */
	struct pci_device *function; /* owned */
	struct pci_attach attach;
	char name[24];
	void (*event)(void *opaque, enum vfio_pci_event event);
	void *opaque;
	struct vfio_pci_bar bars[PCI_BAR_COUNT];
	struct vfio_pci_bar rom;
	struct iommufd *io;   /* borrowed; NULL: its memory is not shared, or cannot be */
	bool kept;	      /* it came back from an update */
	bool migrates;	      /* a freeze stops it, and its state has the device's own */
	size_t migration_max; /* bytes of that */

	/* Bytes of configuration space that the function answers, and not the device. */
	bool emulated[CONFIG_BYTES];
	/* Above those: what a guest reads, or that it is the device's own. */
	uint32_t extended[(PCI_CONFIG_SIZE - CONFIG_BYTES) / 4];
	unsigned int msi_cap, msix_cap, pm_cap, af_cap; /* offsets; 0: none */
	unsigned int exp_cap;				/* the same: not a PCI Express device */
	unsigned int power; /* state that the device is in; under the configuration mutex */
	unsigned int msix_vectors;

	pthread_mutex_t irq_lock; /* all below */
	enum irq_mode mode;
	int intx_trigger, intx_resample; /* owned */
	void *msi[MSI_VECTORS];		 /* of the machine; owned */
	unsigned int msi_count;
	bool *msix_wired;	       /* owned; which vectors signal something */
	bool msix_sized;	       /* the device was told how many there are */
	bool freed;		       /* no interrupt is set up any more */
	bool frozen;		       /* none is now */
	uint64_t told[IRQ_EVENTS_MAX]; /* reports by kind */
	struct log_ratelimit log;

	struct vfio_pci_report reports[IRQ_EVENTS_MAX];
};

/* vfio_pci_config.c. What the function is made with: identity, MSI-X; then its capabilities. */
int vfio_pci_config_params(struct vfio_pci *v, struct pci_params *params, struct error *err);
int vfio_pci_config_init(struct vfio_pci *v, struct error *err);
void vfio_pci_command_changed(void *opaque, uint16_t command);

/* vfio_pci_extended.c. After v->exp_cap is known; accesses from 0x100 on. */
#define VFIO_PCI_EXTENDED_OWN UINT32_MAX
void vfio_pci_extended_init(struct vfio_pci *v);
uint32_t vfio_pci_extended_read(struct vfio_pci *v, unsigned int offset, unsigned int size);
void vfio_pci_extended_write(struct vfio_pci *v, unsigned int offset, uint32_t value,
			     unsigned int size);

/* vfio_pci_bars.c. Kinds and sizes; windows are mapped into this process. */
int vfio_pci_bars_params(struct vfio_pci *v, struct pci_params *params, struct error *err);

/* Its memory out of the guest, and in again where the BARs are. Configuration mutex held, or no
 * vCPU runs. */
void vfio_pci_bars_hide(struct vfio_pci *v);
void vfio_pci_bars_show(struct vfio_pci *v);
/* The device was reset, which ends what other devices have mapped of its memory: it is mapped anew
 * for them. */
void vfio_pci_bars_share(struct vfio_pci *v);

/* vfio_pci_power.c. Under the same rule. */
#define VFIO_PCI_D0 0U
/* The guest may have written the power state. */
void vfio_pci_power_update(struct vfio_pci *v);
/* D0, whatever the guest says. */
void vfio_pci_power_wake(struct vfio_pci *v);

/* vfio_pci_irq.c */
int vfio_pci_irq_init(struct vfio_pci *v, struct loop *loop, struct error *err);
void vfio_pci_irq_done(struct vfio_pci *v);
/* The guest has changed MSI or MSI-X: its registers are looked at. Any thread. */
void vfio_pci_irq_update(struct vfio_pci *v);
/* All off, with the reports; and on again as the guest has them, each signalled once. */
void vfio_pci_irq_freeze(struct vfio_pci *v);
int vfio_pci_irq_thaw(struct vfio_pci *v, struct error *err);

/* vfio_pci_msi.c; irq_lock held. */
bool vfio_pci_msi_wanted(const struct vfio_pci *v);
int vfio_pci_msi_on(struct vfio_pci *v, struct error *err);
/* Address, data or masks may be others; as many vectors as before, else it is switched anew. */
int vfio_pci_msi_update(struct vfio_pci *v, struct error *err);
void vfio_pci_msi_off(struct vfio_pci *v);
void vfio_pci_msi_fire(struct vfio_pci *v);

#endif
