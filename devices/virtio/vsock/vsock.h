/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device (virtio 1.2, 5.10) on the host's vhost-vsock: the kernel has the connections and
 * walks the queues of packets; configuration space and the queue of events are ours. Connections
 * end with the host's kernel, or with the process that had them: after an update the guest is told
 * to reset its transport (5.10.6.7).
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_VSOCK_VSOCK_H
#define HOLDFAST_DEVICES_VIRTIO_VSOCK_VSOCK_H

#include "devices/vhost/vhost.h"
#include "devices/virtio/virtio.h"
#include "devices/virtio/vsock/config.h"

#define VIRTIO_VSOCK_HOST_DEVICE "/dev/vhost-vsock"

struct virtio_vsock;

/*
 * Opens host_device (VIRTIO_VSOCK_HOST_DEVICE; borrowed) and takes the CID, from when on others on
 * the host can connect to the guest. -EADDRINUSE: another VM has it. -ENOENT, -EACCES, ...: said
 * with the way out.
 */
int virtio_vsock_new(const struct virtio_vsock_config *config, const char *host_device,
		     const struct vhost_ram *ram, struct virtio_vsock **ret, struct error *err);
/* 0, or why virtio_vsock_new() would not find the host's device. */
int virtio_vsock_check_host(const char *host_device, struct error *err);

/* The object is a struct virtio_vsock; owned by the transport once it is given to virtio_pci_new().
 */
extern const struct virtio_device_ops virtio_vsock_ops;

#endif
