/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's image: a raw file or a block device of the host. Opened by its path, locked, and asked
 * what it can do; and the one blocking way to do an operation on it, for worker threads.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_BLK_IMAGE_H
#define HOLDFAST_DEVICES_VIRTIO_BLK_IMAGE_H

#include <sys/stat.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/state.h"
#include "devices/virtio/blk/config.h"

#define BLK_SECTOR	  512U
#define BLK_IDENTITY_MAX  256
#define BLK_ALIGNMENT_MAX 65536U

/* What a driver is told about the image beside its capacity (virtio 1.2, 5.2.4): hints all of them,
 * so a guest keeps the ones that it has read. Sectors are of 512 bytes. */
struct blk_limits {
	uint32_t block_size;		 /* bytes */
	uint32_t physical_block_exp;	 /* log2 of logical blocks per physical one */
	uint32_t alignment_offset;	 /* of the first physical block, in logical blocks */
	uint32_t min_io_size;		 /* logical blocks; 16 bits */
	uint32_t opt_io_size;		 /* logical blocks */
	uint32_t discard_alignment;	 /* sectors */
	uint32_t max_discard_sectors;	 /* of one range; 0: no discard */
	uint32_t max_zeroes_sectors;	 /* of one range; 0: no write zeroes */
	uint32_t write_zeroes_may_unmap; /* 0 or 1 */
};

struct blk_image {
	char path[PATH_MAX];
	int fd; /* owned */
	bool block_device, readonly, direct;
	uint64_t size; /* bytes, whole sectors */
	/* What one operation on fd must be aligned to, in bytes: addresses, and offsets and
	 * lengths. Buffered: 1 and 1. Powers of two. */
	uint32_t memory_align, offset_align;
	uint32_t logical_block; /* block devices: of BLKDISCARD and BLKZEROOUT; files: 1 */
	struct blk_limits limits;
	dev_t dev, device; /* of the opened object, as fstat() tells them; device: what a block
			      device stands for */
	ino_t ino;
	char identity[BLK_IDENTITY_MAX]; /* see blk_image_identify() */
};

/* Opens, checks and locks. Errors name the path, the reason and the way out. */
int blk_image_open(struct blk_image *image, const struct virtio_blk_config *config,
		   struct error *err);
/* Of one that failed to open, too. */
void blk_image_close(struct blk_image *image);
/* The size as it is now, in whole sectors. */
int blk_image_size(const struct blk_image *image, uint64_t *ret, struct error *err);

/*
 * Before an update: would blk_image_open() find the same image? -ENOENT, -ESTALE: the path leads
 * nowhere, or elsewhere. across_kexec: also refuses what is gone with this kernel (-EINVAL).
 */
int blk_image_check_reopen(const struct blk_image *image, bool across_kexec, struct error *err);

/* image_lock.c: held as long as the open file is, and so until the last operation on it has ended,
 * also when the process is killed. -EBUSY: somebody else has it. */
int blk_image_lock(const struct blk_image *image, struct error *err);

/* image_probe.c: alignment, limits and capabilities of an image that is open. */
int blk_image_probe(struct blk_image *image, const struct virtio_blk_config *config,
		    struct error *err);

/* image_identity.c: "file INODE of FILESYSTEM born TIME" or "block device SERIAL": what stays the
 * same for the same object, across kernels too. */
void blk_image_identify(struct blk_image *image);
/* 0, or -ESTALE with what is different: saved_* came out of a state. */
int blk_image_compare(const struct blk_image *image, const char *saved_identity,
		      uint64_t saved_size, struct error *err);

/* ---- Operations. ---- */

enum blk_io_op {
	BLK_IO_READ,
	BLK_IO_WRITE,
	BLK_IO_WRITE_UNALIGNED, /* reads and writes back the blocks around it: nothing else may be
				   in flight */
	BLK_IO_FLUSH,
	BLK_IO_DISCARD,
	BLK_IO_ZERO,
};

struct blk_io {
	enum blk_io_op op;
	bool through; /* writes: on stable storage before they are done */
	bool unmap;   /* BLK_IO_ZERO: may deallocate */
	uint64_t offset, length;
	struct iovec *iov; /* borrowed until done: READ, WRITE; WRITE_UNALIGNED has one */
	unsigned int iov_count;
	int64_t result;	     /* bytes moved (may be less than asked for), 0, or a negative errno */
	struct blk_io *next; /* the backend's */
};

/* image_io.c. Any thread, blocking: does it and returns the result. */
int64_t blk_image_do(const struct blk_image *image, const struct blk_io *io);
/* Whether it must be alone (WRITE_UNALIGNED, or a zeroed range that ends inside a block). */
bool blk_image_misaligned(const struct blk_image *image, uint64_t offset, uint64_t length);

#endif
