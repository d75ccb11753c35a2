// SPDX-License-Identifier: GPL-2.0-only
/* What vfio's own files have to do for a device that goes on across a live update. */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/liveupdate_devices.h>
#include <linux/vfio.h>

#include "vfio.h"

struct vfio_device *vfio_liveupdate_device(struct file *file)
{
	struct vfio_device_file *df = file->private_data;

	if (file->f_op != &vfio_device_fops || df->group)
		return NULL;
	/* Paired with smp_store_release() in vfio_df_ioctl_bind_iommufd() */
	return smp_load_acquire(&df->access_granted) ? df->device : NULL;
}
EXPORT_SYMBOL_GPL(vfio_liveupdate_device);

/* As if the character device had been opened. */
struct file *vfio_liveupdate_open(struct vfio_device *device)
{
	struct vfio_device_file *df;
	struct file *file;

	/* Paired with the put in vfio_device_fops_release() */
	if (!vfio_device_try_get_registration(device))
		return ERR_PTR(-ENODEV);
	df = vfio_allocate_device_file(device);
	if (IS_ERR(df)) {
		file = ERR_CAST(df);
		goto put;
	}
	file = anon_inode_getfile_fmode("[vfio-device]", &vfio_device_fops, df, O_RDWR,
					FMODE_PREAD | FMODE_PWRITE);
	if (IS_ERR(file)) {
		kfree(df);
		goto put;
	}
	file->f_mapping = device->inode->i_mapping;
	return file;

put:
	vfio_device_put_registration(device);
	return file;
}
EXPORT_SYMBOL_GPL(vfio_liveupdate_open);
