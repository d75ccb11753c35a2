/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What devices of the host that are passed through to one VM share: an address space for their DMA
 * with all guest RAM in it, at the guest's own addresses. It is there while there is a device,
 * since it pins the RAM. Devices that are to be handed over have one of their own: nothing can be
 * changed in it from when it is preserved, and the others come and go. Loop's thread.
 */
#ifndef HOLDFAST_VMM_PASSTHROUGH_H
#define HOLDFAST_VMM_PASSTHROUGH_H

#include "devices/vfio/config.h"
#include "iommu/iommufd.h"
#include "vmm/guest_memory.h"

struct passthrough;

/* What came back from an update (vmm/passthrough_preserve.h). */
struct kept_devices;

/* ram: borrowed for the life of the object. NULL: out of memory. */
struct passthrough *passthrough_new(struct guest_ram *ram);
void passthrough_free(struct passthrough *p); /* devices are gone. NULL is fine */

enum passthrough_space {
	PASSTHROUGH_OTHERS,
	PASSTHROUGH_PRESERVED, /* of devices with the policy preserve */
	PASSTHROUGH_SPACES,
};

static inline enum passthrough_space passthrough_space_of(const struct vfio_pci_config *device)
{
	return device->policy == VFIO_PCI_PRESERVE ? PASSTHROUGH_PRESERVED : PASSTHROUGH_OTHERS;
}

/* For one more device; the first makes it. Borrowed until passthrough_put(). -ENOENT, -ENOMEM, ...
 * with what the operator can do. */
int passthrough_get(struct passthrough *p, enum passthrough_space space, struct iommufd **ret,
		    struct error *err);
/* The device that passthrough_get() was for is attached now, or never will be. */
void passthrough_attached(struct passthrough *p, enum passthrough_space space);
void passthrough_put(struct passthrough *p, enum passthrough_space space);

/* RAM that is added, for devices that are there; of a failure nothing is left. Later ones have it
 * with the rest of guest RAM. */
int passthrough_add_ram(struct passthrough *p, const struct guest_memory_region *region,
			struct error *err);
/* The opposite, of what is not added after all. */
void passthrough_remove_ram(struct passthrough *p, const struct guest_memory_region *region);

/* The first device is to find the address space that came back. kept: borrowed until then. */
void passthrough_adopt(struct passthrough *p, const struct kept_devices *kept);
/* Borrowed; NULL while there is no device. */
struct iommufd *passthrough_iommufd(const struct passthrough *p, enum passthrough_space space);
/* Guest memory is mapped by its files, as what is preserved must be. */
bool passthrough_is_by_file(const struct passthrough *p, enum passthrough_space space);

#endif
