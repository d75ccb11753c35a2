/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI devices of this host as candidates for a VM: what each is, whether it can be given away, what
 * can become of it in an update; and giving it to vfio-pci and back (Linux
 * Documentation/ABI/testing/sysfs-bus-pci). One thread.
 */
#ifndef HOLDFAST_LUO_HOSTDEV_HOSTDEV_H
#define HOLDFAST_LUO_HOSTDEV_HOSTDEV_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/pci_sysfs.h"

/* What the running kernel can do with devices that are passed through. */
struct hostdev_kernel {
	bool iommufd;  /* /dev/iommu is there */
	bool handlers; /* live update handlers for vfio-pci and iommufd files */
	bool off;      /* they are there, and its command line has not switched them on */
};

/* root: "" or a folder that stands for "/". Reads the kernel's own memory, if it may. */
void hostdev_kernel_read(const char *root, struct hostdev_kernel *ret);

/*
 * One device:
 *
 *   {"address", "class", "kind", "vendor", "device", "driver", "driver-override", "iommu-group",
 *    "group-members": [{"address", "driver"}], "reset-methods": [], "bridge", "virtual-function",
 *    "vfio-device", "ready": bool, "why-not",
 *    "policies": [{"policy", "possible": bool, "why-not"}]}
 *
 * Members are the others of its group. What there is not is null. "ready": a VM can have it as it
 * is now. New reference; NULL: out of memory.
 */
json_t *hostdev_describe(const char *root, const char *address,
			 const struct hostdev_kernel *kernel);
/* All devices, bridges only with `all`, in order of their addresses. -ENOENT: there is no PCI. */
int hostdev_list(const char *root, bool all, json_t **ret, struct error *err);

struct hostdev_bind_options {
	const char *driver; /* of vfio; NULL: vfio-pci */
	bool group;	    /* with everything else of its IOMMU group */
	bool force;	    /* though it is in use */
};

/*
 * Gives it to vfio-pci, or the driver that is named; fine if that has it. -ENODEV no such device,
 * -EOPNOTSUPP a bridge, or vfio makes no character device for it, -EXDEV no IOMMU, -ENOENT no
 * vfio-pci, -EBUSY in use, -EPERM others of its group are the host's. What a failure has changed is
 * taken back. *ret_count: how many devices were bound.
 */
int hostdev_bind(const char *root, const char *address, const struct hostdev_bind_options *options,
		 unsigned int *ret_count, struct error *err);
/*
 * Gives it back to its own driver, whose name is in driver afterwards ("": none wants it). -EINVAL:
 * no driver of vfio has it. -EBUSY: a VM has it; with force that VM is asked for it, and this
 * waits.
 */
int hostdev_unbind(const char *root, const char *address, bool force, char driver[NAME_MAX + 1],
		   struct error *err);

/* ---- Between the files. ---- */

#define HOSTDEV_GROUP_MAX 64

/* The others of its group, at most HOSTDEV_GROUP_MAX; how many. */
size_t hostdev_members(const char *root, const char *address,
		       char ret[HOSTDEV_GROUP_MAX][PCI_ADDRESS_SIZE]);
/* A number in a file of the device, as "0x1234"; 0: there is none. */
unsigned int hostdev_number(const char *root, const char *address, const char *name);
bool hostdev_is_bridge(const char *root, const char *address);
/* What the host does with it, so that its driver must not lose it: true, and a text like "its
 * network interface eth0 is up". */
bool hostdev_in_use(const char *root, const char *address, char *text, size_t size);

#endif
