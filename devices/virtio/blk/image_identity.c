/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "base/util.h"
#include "devices/virtio/blk/image.h"

#define NO_SERIAL "block device without a serial number"

/* ---- Files. ---- */

/* Device numbers are given out anew at each boot; a file system's UUID is its own. */
static void describe_filesystem(const struct blk_image *image, char *buf, size_t size)
{
#ifdef FS_IOC_GETFSUUID
	struct fsuuid2 uuid = {0};

	if (ioctl(image->fd, FS_IOC_GETFSUUID, &uuid) == 0 && uuid.len > 0 &&
	    uuid.len <= sizeof(uuid.uuid)) {
		size_t n = (size_t)snprintf(buf, size, "uuid ");

		for (unsigned int i = 0; i < uuid.len && n + 2 < size; i++)
			n += (size_t)snprintf(buf + n, size - n, "%02x", uuid.uuid[i]);
		return;
	}
#endif
	snprintf(buf, size, "device %u:%u", major(image->dev), minor(image->dev));
}

static void identify_file(struct blk_image *image)
{
	char filesystem[64];
	struct statx stx = {0};
	unsigned long long born = 0;

	describe_filesystem(image, filesystem, sizeof(filesystem));
	/* An inode number may be used again; the time of birth tells the two apart. */
	if (statx(image->fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx) == 0 &&
	    (stx.stx_mask & STATX_BTIME))
		born = (unsigned long long)stx.stx_btime.tv_sec * NSEC_PER_SEC +
		       stx.stx_btime.tv_nsec;
	snprintf(image->identity, sizeof(image->identity), "file %llu of %s born %llu",
		 (unsigned long long)image->ino, filesystem, born);
}

/* ---- Block devices. ---- */

/* A line of sysfs below folder, without the blanks around it. */
static bool read_attribute(const char *folder, const char *name, char *buf, size_t size)
{
	_cleanup_fd_ int fd = FD_NONE;
	char path[PATH_MAX];
	ssize_t n;
	size_t start = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, size - 1);
	while (n > 0 && isspace((unsigned char)buf[n - 1]))
		n--;
	if (n <= 0)
		return false;
	buf[n] = '\0';
	while (isspace((unsigned char)buf[start]))
		start++;
	memmove(buf, buf + start, (size_t)n - start + 1);
	/* It goes into a line of text. */
	for (char *c = buf; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
	return true;
}

/* Where the drivers of Linux show what names a disk, the most telling first. */
static bool read_serial(const char *folder, char *buf, size_t size)
{
	static const char *const names[] = {"wwid",	     "device/wwid", "serial",
					    "device/serial", "dm/uuid",	    "loop/backing_file"};

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		if (read_attribute(folder, names[i], buf, size))
			return true;
	}
	return false;
}

static void identify_block_device(struct blk_image *image)
{
	char folder[64], disk[80], serial[160], partition[16];
	struct stat st;

	snprintf(image->identity, sizeof(image->identity), NO_SERIAL);
	if (fstat(image->fd, &st) < 0)
		return;
	snprintf(folder, sizeof(folder), "/sys/dev/block/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	if (!read_attribute(folder, "partition", partition, sizeof(partition))) {
		if (read_serial(folder, serial, sizeof(serial)))
			snprintf(image->identity, sizeof(image->identity), "block device %s",
				 serial);
		return;
	}
	/* The folder is a link to one inside the disk's. */
	snprintf(disk, sizeof(disk), "%s/..", folder);
	if (read_serial(disk, serial, sizeof(serial)))
		snprintf(image->identity, sizeof(image->identity),
			 "partition %s of block device %s", partition, serial);
}

void blk_image_identify(struct blk_image *image)
{
	if (image->block_device)
		identify_block_device(image);
	else
		identify_file(image);
}

int blk_image_compare(const struct blk_image *image, const char *saved_identity,
		      uint64_t saved_size, struct error *err)
{
	/* Without a serial then: only the size can be compared. */
	bool comparable = !(image->block_device && strcmp(saved_identity, NO_SERIAL) == 0);

	if (comparable && strcmp(image->identity, saved_identity) != 0)
		return error_set(err, -ESTALE,
				 "disk %s: is not the image that the guest used (it is %s, and was "
				 "%s): put the right one back at this path, then resume again",
				 image->path, image->identity, saved_identity);
	if (image->size != saved_size)
		return error_set(err, -ESTALE,
				 "disk %s: has %llu bytes, and had %llu when the guest was frozen: "
				 "give it its old size, then resume again; it can be resized after",
				 image->path, (unsigned long long)image->size,
				 (unsigned long long)saved_size);
	return 0;
}
