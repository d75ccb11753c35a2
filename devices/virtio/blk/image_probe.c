/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "base/util.h"
#include "devices/virtio/blk/image.h"

/* Of one range, so that one request does not keep an update waiting for long: 1 GiB, 128 MiB. */
#define DISCARD_SECTORS_MAX (1U << 21)
#define ZEROES_SECTORS_MAX  (1U << 18)

static bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* In sysfs, of a block device; for a partition also of the disk that it is on. */
static bool queue_attribute(const struct blk_image *image, const char *name, uint64_t *ret)
{
	static const char *const folders[] = {"", "../"};
	struct stat st;

	if (fstat(image->fd, &st) < 0)
		return false;
	for (unsigned int i = 0; i < ARRAY_SIZE(folders); i++) {
		char path[128], text[32];
		_cleanup_fd_ int fd = FD_NONE;
		ssize_t n;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s", major(st.st_rdev),
			 minor(st.st_rdev), folders[i], name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		if (n <= 0)
			continue;
		text[n] = '\0';
		*ret = strtoull(text, NULL, 10);
		return true;
	}
	return false;
}

static int probe_alignment(struct blk_image *image, struct error *err)
{
	uint32_t memory = image->block_device ? image->logical_block : 4096, offset = memory;
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(image->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN)) {
		memory = stx.stx_dio_mem_align;
		offset = stx.stx_dio_offset_align;
	}
#endif
	if (!is_power_of_two(memory) || !is_power_of_two(offset) || offset > BLK_ALIGNMENT_MAX ||
	    memory > BLK_ALIGNMENT_MAX)
		return error_set(err, -EINVAL,
				 "disk %s: its file system does no direct I/O for this file: use "
				 "direct=off",
				 image->path);
	image->memory_align = memory;
	image->offset_align = offset;
	return 0;
}

static uint32_t log2_of(uint64_t value)
{
	return value ? 63U - (uint32_t)__builtin_clzll(value) : 0;
}

static int probe_block_device(struct blk_image *image, struct error *err)
{
	struct blk_limits *l = &image->limits;
	unsigned int physical = 0, minimum = 0, optimum = 0;
	int logical = 0, offset = 0;

	if (ioctl(image->fd, BLKSSZGET, &logical) < 0 || logical < (int)BLK_SECTOR ||
	    !is_power_of_two((uint64_t)logical))
		return error_set(err, -EINVAL, "disk %s: its block size cannot be told",
				 image->path);
	/* Hints: what is not known is left out. */
	if (ioctl(image->fd, BLKPBSZGET, &physical) < 0)
		physical = 0;
	if (ioctl(image->fd, BLKIOMIN, &minimum) < 0)
		minimum = 0;
	if (ioctl(image->fd, BLKIOOPT, &optimum) < 0)
		optimum = 0;
	if (ioctl(image->fd, BLKALIGNOFF, &offset) < 0 || offset < 0)
		offset = 0;
	image->logical_block = l->block_size = (uint32_t)logical;
	if (is_power_of_two(physical) && physical > l->block_size)
		l->physical_block_exp = log2_of(physical / l->block_size);
	l->alignment_offset = MIN_OF((uint32_t)offset / l->block_size, (uint32_t)UINT8_MAX);
	l->min_io_size = MIN_OF(minimum / l->block_size, (uint32_t)UINT16_MAX);
	l->opt_io_size = optimum / l->block_size;
	return 0;
}

static void probe_file(struct blk_image *image)
{
	struct blk_limits *l = &image->limits;
	struct stat st = {.st_blksize = 4096};

	l->block_size = BLK_SECTOR;
	if (fstat(image->fd, &st) < 0 || !is_power_of_two((uint64_t)st.st_blksize) ||
	    st.st_blksize < (blksize_t)BLK_SECTOR || st.st_blksize > 65536)
		st.st_blksize = 4096;
	l->physical_block_exp = log2_of((uint64_t)st.st_blksize / BLK_SECTOR);
	l->discard_alignment = (uint32_t)st.st_blksize / BLK_SECTOR;
}

/* Asks without doing: a hole behind the end of the file is nothing. */
static bool can_punch(const struct blk_image *image)
{
	struct stat st;
	off_t end;

	if (fstat(image->fd, &st) < 0)
		return false;
	end = ALIGN_UP(st.st_size, (off_t)BLK_ALIGNMENT_MAX);
	return fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end,
			 BLK_ALIGNMENT_MAX) == 0;
}

static void probe_discard(struct blk_image *image, bool sparse)
{
	struct blk_limits *l = &image->limits;
	bool discard, zeroes;
	uint64_t value;

	if (image->readonly)
		return;
	if (image->block_device) {
		discard = queue_attribute(image, "discard_max_bytes", &value) && value > 0;
		/* The kernel writes zeroes where the device cannot. */
		zeroes = true;
		if (queue_attribute(image, "discard_granularity", &value) && value >= BLK_SECTOR)
			l->discard_alignment = (uint32_t)MIN_OF(value / BLK_SECTOR, 1ULL << 20);
		else
			l->discard_alignment = image->logical_block / BLK_SECTOR;
	} else {
		discard = zeroes = can_punch(image);
	}
	l->max_discard_sectors = discard && sparse ? DISCARD_SECTORS_MAX : 0;
	l->max_zeroes_sectors = zeroes ? ZEROES_SECTORS_MAX : 0;
	l->write_zeroes_may_unmap = zeroes && sparse;
}

int blk_image_probe(struct blk_image *image, const struct virtio_blk_config *config,
		    struct error *err)
{
	int r = 0;

	if (image->block_device)
		r = probe_block_device(image, err);
	else
		probe_file(image);
	if (r == 0 && image->direct)
		r = probe_alignment(image, err);
	if (r < 0)
		return r;
	/* Smaller blocks would work, but each write of one would read first. */
	if (image->offset_align > image->limits.block_size) {
		uint32_t exp = log2_of(image->offset_align / image->limits.block_size);

		image->limits.block_size = image->offset_align;
		image->limits.physical_block_exp -= MIN_OF(exp, image->limits.physical_block_exp);
		image->limits.min_io_size >>= exp;
		image->limits.opt_io_size >>= exp;
	}
	probe_discard(image, config->sparse);
	return 0;
}
