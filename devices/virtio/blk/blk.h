/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block device (virtio 1.2, 5.2) over a raw image file or a block device of the host, by io_uring
 * or worker threads. docs/devices.md tells its options, guarantees and limits.
 *
 * The guarantees, in short: a write is on stable storage when a flush that came after it is done
 * (or at once, where the driver asked for write-through). A request is answered exactly once,
 * across an update too: those which the host has not finished at the deadline of a freeze travel in
 * the state and are done again in the next process, before the guest knows of their end. The image
 * is locked while it is open; who opens it after an update gets the lock only when nothing of the
 * earlier process is on its way to it any more.
 *
 * All queues of a disk are served by one thread: give each disk a loop of its own
 * (base/loop_thread.h) where its I/O should not wait for others.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_BLK_BLK_H
#define HOLDFAST_DEVICES_VIRTIO_BLK_BLK_H

#include "devices/virtio/blk/config.h"
#include "devices/virtio/virtio.h"

struct virtio_blk;

/*
 * Opens and locks the image; errors name it, the reason and the way out, and trying again later is
 * fine. config is copied.
 */
int virtio_blk_new(const struct virtio_blk_config *config, struct virtio_blk **ret,
		   struct error *err);

/* The object is a struct virtio_blk; owned by the transport once it is given to virtio_pci_new().
 * Until virtio_pci_free() the pointer may be used for the functions below. */
extern const struct virtio_device_ops virtio_blk_ops;

/* One that was never given to a transport. */
void virtio_blk_free(struct virtio_blk *blk);

/*
 * Before an update, from any thread, without touching the disk: every reason why the next process
 * would not find this image. across_kexec: also what does not survive the kernel (an image in
 * tmpfs). Errors name the image, the reason and the way out.
 */
int virtio_blk_check_update(const struct virtio_blk *blk, bool across_kexec, struct error *err);

/*
 * Tells the guest of a new size. Any thread; waits for the disk's loop. size: bytes; 0: the size
 * that the image has now. An image file that is smaller is made larger; nothing is ever cut off:
 * -EINVAL for a size below that of the image, or a block device of another size. -EBUSY: frozen for
 * an update.
 */
int virtio_blk_resize(struct virtio_blk *blk, uint64_t size, struct error *err);

/* Any thread. Bytes; a multiple of 512. */
uint64_t virtio_blk_size(const struct virtio_blk *blk);
/* Any thread: "io_uring" or "threads". */
const char *virtio_blk_backend_name(const struct virtio_blk *blk);

/* Since the process began. Bytes count when the host has moved them. */
struct virtio_blk_counters {
	uint64_t read_ops, read_bytes, write_ops, write_bytes, flush_ops, other_ops, errors;
	uint64_t throttled;   /* times that requests were held back by a rate limit */
	uint64_t resubmitted; /* requests of an earlier process */
};

/* Any thread. */
void virtio_blk_get_counters(const struct virtio_blk *blk, struct virtio_blk_counters *ret);

#endif
