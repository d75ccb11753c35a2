/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of open file descriptions (fcntl(2)): they belong to the open file and not to the process,
 * so that no other close() in this process drops them, and the kernel holds them until the last
 * operation on that file is over. Who gets the lock after an update therefore knows that nothing of
 * the earlier VMM is still on its way to the image.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/util.h"
#include "devices/virtio/blk/image.h"

int blk_image_lock(const struct blk_image *image, struct error *err)
{
	struct flock lock = {.l_type = image->readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
	struct flock other = lock;

	if (fcntl(image->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return error_sys(err, -errno,
				 "disk %s: cannot be locked; use lock=off if nobody else can reach "
				 "the image",
				 image->path);
	if (fcntl(image->fd, F_OFD_GETLK, &other) < 0)
		other.l_type = F_UNLCK;
	if (image->readonly)
		return error_set(err, -EBUSY,
				 "disk %s: another VM or program writes this image; stop that one "
				 "first",
				 image->path);
	return error_set(err, -EBUSY,
			 "disk %s: another VM or program %s this image; stop that one first, or "
			 "use readonly=on in both",
			 image->path, other.l_type == F_RDLCK ? "reads" : "uses");
}
