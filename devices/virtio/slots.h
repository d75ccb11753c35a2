/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI slots of devices. Those of which a VM has one at most are in fixed slots at the upper end;
 * disks, network cards and devices of the host have theirs in the configuration, from 1 to
 * VIRTIO_SLOT_MAX.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_SLOTS_H
#define HOLDFAST_DEVICES_VIRTIO_SLOTS_H

#define VIRTIO_SLOT_MAX 27

#endif
