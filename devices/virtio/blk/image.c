/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk/image.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "base/log.h"
#include "base/util.h"

static const char *kind_of(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a folder";
	if (S_ISCHR(mode))
		return "a character device";
	return S_ISFIFO(mode) || S_ISSOCK(mode) ? "a pipe or socket" : "of an unknown kind";
}

static int check_kind(const char *path, const struct stat *st, struct error *err)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	return error_set(err, -EINVAL,
			 "disk %s: is %s, an image must be a raw file or a block device", path,
			 kind_of(st->st_mode));
}

static int open_failed(const struct blk_image *image, int code, struct error *err)
{
	error_sys(err, code, "disk %s: cannot be opened for %s", image->path,
		  image->readonly ? "reading" : "writing");
	if (code == -EBUSY)
		error_append(err, "; it is mounted, part of a RAID or volume group, or in use by "
				  "another VM: give it free, or use readonly=on");
	else if (code == -EINVAL && image->direct)
		error_append(err, "; its file system knows no direct I/O: use direct=off");
	else if ((code == -EROFS || code == -EACCES || code == -EPERM) && !image->readonly)
		error_append(err, "; let this user write it, or use readonly=on");
	return code;
}

static int open_fd(struct blk_image *image, struct error *err)
{
	struct stat st;
	int flags =
		O_CLOEXEC | (image->readonly ? O_RDONLY : O_RDWR) | (image->direct ? O_DIRECT : 0);
	int r;

	/* Looked at first: opening a FIFO or a tape has effects. */
	if (stat(image->path, &st) < 0)
		return open_failed(image, -errno, err);
	r = check_kind(image->path, &st, err);
	if (r < 0)
		return r;
	/* On a block device: a claim, which file systems, md and dm respect too (open(2)). */
	if (S_ISBLK(st.st_mode) && !image->readonly)
		flags |= O_EXCL;
	image->fd = open(image->path, flags);
	if (image->fd < 0)
		return open_failed(image, -errno, err);
	if (fstat(image->fd, &st) < 0)
		return error_sys(err, -errno, "disk %s", image->path);
	image->block_device = S_ISBLK(st.st_mode);
	image->dev = st.st_dev;
	image->device = image->block_device ? st.st_rdev : 0;
	image->ino = st.st_ino;
	return check_kind(image->path, &st, err);
}

static int raw_size(const struct blk_image *image, uint64_t *ret, struct error *err)
{
	struct stat st;

	if (image->block_device ? ioctl(image->fd, BLKGETSIZE64, ret) < 0
				: fstat(image->fd, &st) < 0)
		return error_sys(err, -errno, "disk %s: its size cannot be told", image->path);
	if (!image->block_device)
		*ret = (uint64_t)st.st_size;
	return 0;
}

int blk_image_size(const struct blk_image *image, uint64_t *ret, struct error *err)
{
	uint64_t size;
	int r = raw_size(image, &size, err);

	if (r < 0)
		return r;
	if (size < BLK_SECTOR)
		return error_set(err, -EINVAL,
				 "disk %s: has no sector of %u bytes: make it as large as the disk "
				 "shall be, with truncate -s SIZE for instance",
				 image->path, BLK_SECTOR);
	if (size % image->offset_align)
		return error_set(err, -EINVAL,
				 "disk %s: %llu bytes are not a multiple of %u, which direct I/O "
				 "on it needs: use direct=off, or enlarge it",
				 image->path, (unsigned long long)size, image->offset_align);
	if (size % BLK_SECTOR)
		log_warning("disk %s: its last %llu bytes are no whole sector and stay unused",
			    image->path, (unsigned long long)(size % BLK_SECTOR));
	*ret = ALIGN_DOWN(size, (uint64_t)BLK_SECTOR);
	return 0;
}

int blk_image_open(struct blk_image *image, const struct virtio_blk_config *config,
		   struct error *err)
{
	int r;

	*image = (struct blk_image){.fd = FD_NONE,
				    .readonly = config->readonly,
				    .direct = config->direct,
				    .memory_align = 1,
				    .offset_align = 1,
				    .logical_block = 1};
	snprintf(image->path, sizeof(image->path), "%s", config->path);
	r = open_fd(image, err);
	if (r == 0 && config->lock)
		r = blk_image_lock(image, err);
	if (r == 0)
		r = blk_image_probe(image, config, err);
	if (r == 0)
		r = blk_image_size(image, &image->size, err);
	if (r == 0)
		blk_image_identify(image);
	else
		blk_image_close(image);
	return r;
}

void blk_image_close(struct blk_image *image)
{
	close_fdp(&image->fd);
}

int blk_image_check_reopen(const struct blk_image *image, bool across_kexec, struct error *err)
{
	struct statfs fs;
	struct stat st;

	if (stat(image->path, &st) < 0)
		return error_sys(err, -errno,
				 "disk %s: the guest's image could not be opened again after an "
				 "update: it was removed or renamed; put it back",
				 image->path);
	/* A node for a block device may be made anew. */
	if (image->block_device ? !S_ISBLK(st.st_mode) || st.st_rdev != image->device
				: st.st_ino != image->ino || st.st_dev != image->dev)
		return error_set(err, -ESTALE,
				 "disk %s: leads to another image than the one that the guest "
				 "uses, which could not be found after an update; put it back",
				 image->path);
	if (!across_kexec || image->block_device)
		return 0;
	if (fstatfs(image->fd, &fs) < 0)
		return error_sys(err, -errno, "disk %s", image->path);
	if ((unsigned long)fs.f_type == TMPFS_MAGIC || (unsigned long)fs.f_type == RAMFS_MAGIC)
		return error_set(err, -EINVAL,
				 "disk %s: lies in a file system in memory, which the next kernel "
				 "does not have; move the image to a disk",
				 image->path);
	return 0;
}
