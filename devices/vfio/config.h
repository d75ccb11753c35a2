/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user says about a device of the host that a VM is to have. As one option:
 *
 *	--device 0000:65:00.0,id=nic0,policy=reset
 *
 * or as a JSON object with the keys host (the address), fd, id, policy and slot; docs/devices.md
 * lists them. What is only known on the host is told when the device is opened.
 */
#ifndef HOLDFAST_DEVICES_VFIO_CONFIG_H
#define HOLDFAST_DEVICES_VFIO_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "devices/virtio/slots.h"

#define VFIO_PCI_ID_MAX	      63
#define VFIO_PCI_SLOT_MAX     VIRTIO_SLOT_MAX
#define VFIO_PCI_ADDRESS_SIZE 17 /* "0000:65:00.0" and its terminator */

/* What becomes of the device when the host's kernel is updated. */
enum vfio_pci_policy {
	VFIO_PCI_RESET,	   /* the guest gives it up before, and gets it back after */
	VFIO_PCI_DETACH,   /* the guest gives it up before */
	VFIO_PCI_PRESERVE, /* the guest keeps it: needs a kernel that can hand it over */
};

struct vfio_pci_config {
	char host[VFIO_PCI_ADDRESS_SIZE]; /* address on this host; "": fd */
	int fd;				  /* opened by whoever started us; FD_NONE: host */
	char id[VFIO_PCI_ID_MAX + 1];	  /* "" for none */
	enum vfio_pci_policy policy;
	uint8_t slot; /* PCI slot of the guest, 1 to VFIO_PCI_SLOT_MAX; 0: the VMM chooses */
	bool away;    /* given up for an update that is not over; set by the VMM */
	/* Not part of what a user says: */
	bool asked; /* the guest was asked for it because of an update */
	bool kept;  /* it stays with the guest in the update that is under way */
};

const char *vfio_pci_policy_name(enum vfio_pci_policy policy);

/*
 * json: an object, or a string as after --device. Everything that is wrong becomes a problem that
 * begins with path ("device[0]"); *ret is then of no use.
 */
void vfio_pci_config_read(json_t *json, const char *path, struct vfio_pci_config *ret,
			  struct problems *problems);
/* vfio_pci_config_read() of it gives an equal one. New reference; NULL: out of memory. */
json_t *vfio_pci_config_to_json(const struct vfio_pci_config *config);

#endif
