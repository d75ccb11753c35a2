/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/util.h"
#include "devices/virtio/blk/image.h"

#define ZERO_CHUNK 65536U

bool blk_image_misaligned(const struct blk_image *image, uint64_t offset, uint64_t length)
{
	uint32_t align = MAX_OF(image->offset_align, image->logical_block);

	return ((offset | length) & (align - 1)) != 0;
}

static int64_t result_of(ssize_t r)
{
	return r < 0 ? -errno : r;
}

/* All of it, or a negative errno. */
static int64_t read_all(const struct blk_image *image, uint64_t offset, uint8_t *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(image->fd, buf + done, len - done, (off_t)(offset + done));

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int64_t write_all(const struct blk_image *image, uint64_t offset, const uint8_t *buf,
			 size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(image->fd, buf + done, len - done, (off_t)(offset + done));

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* Any range of bytes: what is around it in the same blocks is read and written back. */
static int64_t write_around(const struct blk_image *image, uint64_t offset, const uint8_t *data,
			    size_t len)
{
	uint64_t align = MAX_OF(image->offset_align, image->logical_block);
	uint64_t start = ALIGN_DOWN(offset, align), end = ALIGN_UP(offset + len, align);
	_cleanup_free_ uint8_t *buf = NULL;
	int64_t r;

	if (posix_memalign((void **)&buf, MAX_OF(image->memory_align, 4096U), end - start) != 0)
		return -ENOMEM;
	r = read_all(image, start, buf, end - start);
	if (r < 0)
		return r;
	memcpy(buf + (offset - start), data, len);
	return write_all(image, start, buf, end - start);
}

static int64_t sync_if(const struct blk_image *image, bool wanted)
{
	return wanted && fdatasync(image->fd) < 0 ? -errno : 0;
}

static int64_t write_unaligned(const struct blk_image *image, const struct blk_io *io)
{
	int64_t r = write_around(image, io->offset, io->iov[0].iov_base, io->length);

	if (r == 0)
		r = sync_if(image, io->through);
	return r < 0 ? r : (int64_t)io->length;
}

/* ---- Zeroes. ---- */

static int64_t write_zeroes(const struct blk_image *image, uint64_t offset, uint64_t length)
{
	static const uint8_t zeroes[ZERO_CHUNK] __attribute__((aligned(65536)));
	int64_t r = 0;

	while (length > 0 && r == 0) {
		size_t n = MIN_OF(length, ZERO_CHUNK - offset % ZERO_CHUNK);

		r = blk_image_misaligned(image, offset, n) ? write_around(image, offset, zeroes, n)
							   : write_all(image, offset, zeroes, n);
		offset += n;
		length -= n;
	}
	return r;
}

static int64_t allocate(const struct blk_image *image, int mode, uint64_t offset, uint64_t length)
{
	return fallocate(image->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) < 0
		       ? -errno
		       : 0;
}

/* The block layer zeroes whole logical blocks only. */
static int64_t zero_blocks(const struct blk_image *image, const struct blk_io *io)
{
	uint64_t block = image->logical_block, end = io->offset + io->length;
	uint64_t first = ALIGN_UP(io->offset, block), last = ALIGN_DOWN(end, block);
	uint64_t range[2] = {first, last - first};
	int64_t r;

	if (first >= last)
		return write_zeroes(image, io->offset, io->length);
	r = write_zeroes(image, io->offset, first - io->offset);
	if (r < 0)
		return r;
	r = io->unmap ? allocate(image, FALLOC_FL_PUNCH_HOLE, first, last - first) : -EOPNOTSUPP;
	if (r == -EOPNOTSUPP)
		r = ioctl(image->fd, BLKZEROOUT, range) < 0 ? -errno : 0;
	return r < 0 ? r : write_zeroes(image, last, end - last);
}

static int64_t zero(const struct blk_image *image, const struct blk_io *io)
{
	int64_t r = -EOPNOTSUPP;

	if (io->length == 0)
		return 0;
	if (image->block_device) {
		r = zero_blocks(image, io);
	} else {
		if (io->unmap)
			r = allocate(image, FALLOC_FL_PUNCH_HOLE, io->offset, io->length);
		if (r == -EOPNOTSUPP)
			r = allocate(image, FALLOC_FL_ZERO_RANGE, io->offset, io->length);
		if (r == -EOPNOTSUPP)
			r = write_zeroes(image, io->offset, io->length);
	}
	return r < 0 ? r : sync_if(image, io->through);
}

/* A hint: what is no whole block of the device is left as it is. */
static int64_t discard(const struct blk_image *image, const struct blk_io *io)
{
	uint64_t block = image->logical_block;
	uint64_t first = ALIGN_UP(io->offset, block);
	uint64_t last = ALIGN_DOWN(io->offset + io->length, block);
	uint64_t range[2] = {first, last - first};

	if (first >= last)
		return 0;
	if (!image->block_device)
		return allocate(image, FALLOC_FL_PUNCH_HOLE, first, last - first);
	return ioctl(image->fd, BLKDISCARD, range) < 0 ? -errno : 0;
}

int64_t blk_image_do(const struct blk_image *image, const struct blk_io *io)
{
	switch (io->op) {
	case BLK_IO_READ:
		return result_of(preadv(image->fd, io->iov, (int)io->iov_count, (off_t)io->offset));
	case BLK_IO_WRITE:
		return result_of(pwritev2(image->fd, io->iov, (int)io->iov_count, (off_t)io->offset,
					  io->through ? RWF_DSYNC : 0));
	case BLK_IO_WRITE_UNALIGNED:
		return write_unaligned(image, io);
	case BLK_IO_FLUSH:
		return fdatasync(image->fd) < 0 ? -errno : 0;
	case BLK_IO_DISCARD:
		return discard(image, io);
	case BLK_IO_ZERO:
		return zero(image, io);
	default:
		return -EOPNOTSUPP;
	}
}
