/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI slots of virtio devices. Those of which a VM has one at most are in fixed slots at the upper
 * end; disks and network cards have theirs in the configuration, from 1 to VIRTIO_SLOT_MAX.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_SLOTS_H
#define HOLDFAST_DEVICES_VIRTIO_SLOTS_H

#define VIRTIO_SLOT_MAX 27

#endif
