/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of vhost share. For devices/vhost/ only. */
#ifndef HOLDFAST_DEVICES_VHOST_VHOST_IMPL_H
#define HOLDFAST_DEVICES_VHOST_VHOST_IMPL_H

#include "devices/vhost/vhost.h"

struct vhost_ring {
	struct vhost *vhost;
	unsigned int index;
	struct virtio_pci *transport; /* borrowed; NULL: not started */
	unsigned int queue;	      /* the transport's number */
	int doorbell;		      /* borrowed from the transport */
	int error_fd;		      /* owned eventfd */
	struct loop_source *error_source;
};

struct vhost {
	struct vhost_params params;
	int fd; /* owned */
	uint64_t features, backend_features;
	struct vhost_ring rings[VHOST_RINGS_MAX];
};

#endif
