/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console device (virtio 1.2, 5.3) with one port, which Linux shows as hvc0, over a byte backend.
 *
 * Input stays in the backend until the driver has a buffer for it. Output is taken at once and
 * kept here, the newest VIRTIO_CONSOLE_OUTPUT_MAX bytes of it, until the backend takes it: Linux
 * spins until its buffer comes back, so a slow reader must not stop the queue. What is still here
 * at a save travels with the state. That is how the serial port does it, too.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_CONSOLE_H
#define HOLDFAST_DEVICES_VIRTIO_CONSOLE_H

#include "devices/chardev.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_CONSOLE_OUTPUT_MAX 65536

struct virtio_console;

/* backend: taken, even on failure; of the loop on which the device will live. */
int virtio_console_new(struct chardev *backend, struct virtio_console **ret, struct error *err);

/* Where the user finds it; see chardev_path(). Borrowed. */
const char *virtio_console_path(const struct virtio_console *console);

/* The object is a struct virtio_console; owned by the transport once it is given to
 * virtio_pci_new(). */
extern const struct virtio_device_ops virtio_console_ops;

#endif
