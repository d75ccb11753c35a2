/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of virtio 1.2, 5.10. */
#ifndef HOLDFAST_DEVICES_VIRTIO_VSOCK_VSOCK_SPEC_H
#define HOLDFAST_DEVICES_VIRTIO_VSOCK_VSOCK_SPEC_H

#define VSOCK_DEVICE_ID	  19
#define VSOCK_CLASS_OTHER 0x078000 /* communication controller, other */
#define VSOCK_F_STREAM	  (1ULL << 0)
#define VSOCK_F_SEQPACKET (1ULL << 1)
#define VSOCK_Q_RX	  0
#define VSOCK_Q_TX	  1
#define VSOCK_Q_EVENT	  2
#define VSOCK_QUEUES	  3
#define VSOCK_CONFIG_SIZE 8 /* le64 guest_cid */
#define VSOCK_EVENT_SIZE  4 /* le32 id */
#define VSOCK_EVENT_RESET 0 /* VIRTIO_VSOCK_EVENT_TRANSPORT_RESET */

#endif
