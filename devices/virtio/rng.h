/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy device (virtio 1.2, 5.4): fills the driver's buffers from a file, by default
 * /dev/urandom. It has no state: what was asked for and not answered is still in the queue.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_RNG_H
#define HOLDFAST_DEVICES_VIRTIO_RNG_H

#include "devices/virtio/virtio.h"

#define VIRTIO_RNG_SOURCE_DEFAULT "/dev/urandom"

struct virtio_rng;

/* source: opened here, without waiting; errors name it. A source that has nothing (a hardware
 * generator) is waited for, one that ends stops the device until the guest resets it. */
int virtio_rng_new(const char *source, struct virtio_rng **ret, struct error *err);

/* The object is a struct virtio_rng; owned by the transport once it is given to virtio_pci_new().
 */
extern const struct virtio_device_ops virtio_rng_ops;

#endif
