/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PCI device of the host in this process's hands: a character device of vfio that is bound to
 * an iommufd and attached to its address space (Linux Documentation/driver-api/vfio.rst). The
 * kernel resets it when it is opened and when it is closed, where it can.
 *
 * Configuration accesses, interrupts and reset may come from any thread; the kernel serialises
 * them. Making and freeing belong to one thread.
 */
#ifndef HOLDFAST_IOMMU_VFIO_H
#define HOLDFAST_IOMMU_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "iommu/iommufd.h"

struct vfio_device;

#define VFIO_BARS 6

/* Kinds of interrupts, of which a device uses one at a time; the last two report about it. */
enum vfio_irq {
	VFIO_IRQ_INTX,
	VFIO_IRQ_MSI,
	VFIO_IRQ_MSIX,
	VFIO_IRQ_ERROR,	  /* it has reported an uncorrectable error (PCIe AER) */
	VFIO_IRQ_REQUEST, /* the host wants it back */
	VFIO_IRQ_MAX,
};

/* A piece of a BAR that this process can map. */
struct vfio_window {
	uint64_t offset, size; /* inside the BAR; whole pages */
	void *address;	       /* mapped; owned by the device */
};
#define VFIO_WINDOWS_MAX 8

struct vfio_bar {
	uint64_t size; /* bytes; 0: there is none */
	struct vfio_window windows[VFIO_WINDOWS_MAX];
	unsigned int window_count; /* 0: every access goes by vfio_read() and vfio_write() */
};

/* What to open: a PCI address of this host, or a descriptor that somebody opened for us. */
struct vfio_source {
	const char *root;    /* before /sys and /dev: "" but in tests */
	const char *address; /* "0000:65:00.0"; NULL: fd */
	int fd;		     /* borrowed: a copy is made */
	/* fd is of address, and came back from an update: the device may be bound and at work. */
	bool kept;
};

/*
 * Opens, binds and attaches. io is borrowed for the device's life. Errors name the device and what
 * its operator can do; see pci_sysfs_find_vfio() for the first of them. -EPERM: another device of
 * its IOMMU group is in use by the host, or interrupts could not be kept inside the VM (no
 * interrupt remapping). -EBUSY: another VM has it.
 */
int vfio_device_open(const struct vfio_source *source, struct iommufd *io, struct vfio_device **ret,
		     struct error *err);
/* Unmaps its windows, detaches and closes: no DMA of it goes on after that. One that is kept stays
 * attached as long as somebody else has it. NULL is fine. */
void vfio_device_free(struct vfio_device *dev);
/* Somebody else has its descriptor, too, for whom it goes on: a live update session, or the process
 * that takes this one's place. */
void vfio_device_keep(struct vfio_device *dev, bool keep);
bool vfio_device_is_kept(const struct vfio_device *dev);
int vfio_device_fd(const struct vfio_device *dev); /* borrowed */

const char *vfio_device_name(const struct vfio_device *dev); /* its address, or "fd 7" */
bool vfio_device_can_reset(const struct vfio_device *dev);
int vfio_device_reset(struct vfio_device *dev, struct error *err);

/* Its IOMMU can tell which pages it has written to (IOMMU_GET_HW_INFO). */
bool vfio_device_tracks_dirty(const struct vfio_device *dev);
/* What its iommufd calls it: told once, to the process that binds it. One that finds it bound must
 * have it from that one; 0: not known. */
uint32_t vfio_device_iommu_id(const struct vfio_device *dev);
void vfio_device_learn_iommu_id(struct vfio_device *dev, uint32_t id);

/*
 * The state of a device as bytes, where its driver can (linux/vfio.h: VFIO migration, version 2).
 * It runs, is stopped (no DMA, no interrupt, no change), saved, and runs again; or another of its
 * kind, which is new, is loaded and runs.
 */
bool vfio_migration_is_offered(const struct vfio_device *dev);
uint64_t vfio_migration_size(const struct vfio_device *dev); /* how many bytes it may be; a guess */
int vfio_migration_stop(const struct vfio_device *dev, struct error *err);
int vfio_migration_run(const struct vfio_device *dev, struct error *err);
/* Stopped, before and after. -E2BIG: more than max. */
int vfio_migration_save(const struct vfio_device *dev, void *buf, size_t max, size_t *ret,
			struct error *err);
/* Stopped afterwards. A driver refuses data that are not of its kind. */
int vfio_migration_load(const struct vfio_device *dev, const void *data, size_t size,
			struct error *err);

/* bar: 0 to 5. Borrowed. Windows are mapped by vfio_map_bars(). */
const struct vfio_bar *vfio_device_bar(const struct vfio_device *dev, unsigned int bar);
/* A dma-buf of a window, for iommufd_map_device(); owned by the caller. -ENOTTY: this kernel gives
 * out none. Any thread. */
int vfio_window_dmabuf(const struct vfio_device *dev, unsigned int bar,
		       const struct vfio_window *window);

/* The expansion ROM, bytes; 0: there is none. vfio_read() of VFIO_ROM reads it. */
#define VFIO_ROM 6U
uint64_t vfio_rom_size(const struct vfio_device *dev);
/*
 * Maps what can be mapped, except for the range of hole_bar that holds the MSI-X table (hole_size
 * 0: none). What the kernel refuses to map is accessed by calls.
 */
void vfio_map_bars(struct vfio_device *dev, unsigned int hole_bar, uint64_t hole_offset,
		   uint64_t hole_size);

/* Bytes of a BAR, the ROM or (VFIO_CONFIG_SPACE) of configuration space; size 1, 2, 4 or 8. What
 * the device does not answer reads all ones. */
#define VFIO_CONFIG_SPACE 7U
uint64_t vfio_read(struct vfio_device *dev, unsigned int bar, uint64_t offset, unsigned int size);
void vfio_write(struct vfio_device *dev, unsigned int bar, uint64_t offset, uint64_t value,
		unsigned int size);

/* How many interrupts of a kind it has; 0: none. */
unsigned int vfio_irq_count(const struct vfio_device *dev, enum vfio_irq irq);
/* Vectors can be added while others are in use. */
bool vfio_irq_grows(const struct vfio_device *dev, enum vfio_irq irq);
/*
 * From now on interrupts first to first + count - 1 of this kind signal fds (-1: none): the kind is
 * switched on with the first of them. Descriptors are borrowed; the kernel keeps what it needs.
 */
int vfio_irq_set(struct vfio_device *dev, enum vfio_irq irq, unsigned int first, const int *fds,
		 unsigned int count, struct error *err);
/* An INTx that was signalled is masked until this descriptor is written. */
int vfio_irq_set_unmask(struct vfio_device *dev, int fd, struct error *err);
/* Switches a kind off. */
void vfio_irq_disable(struct vfio_device *dev, enum vfio_irq irq);

#endif
