/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a device, binding it to an iommufd, and its end. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/pci_sysfs.h"
#include "base/util.h"
#include "iommu/vfio_impl.h"

int vfio_call(const struct vfio_device *dev, unsigned long request, void *arg)
{
	int r;

	do
		r = ioctl(dev->fd, request, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int open_path(struct vfio_device *dev, const char *path, struct error *err)
{
	dev->fd = open(path, O_RDWR | O_CLOEXEC);
	if (dev->fd >= 0)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return error_set(err, -errno,
				 "device %s: %s cannot be opened by this user: run as root, or "
				 "change its owner or group",
				 dev->name, path);
	if (errno == EBUSY)
		return error_set(err, -EBUSY,
				 "device %s: the kernel before this one handed it over for a VM "
				 "that has not taken it back: resume that VM (luoctl vm resume) "
				 "first",
				 dev->name);
	if (errno == ENODEV || errno == ENXIO)
		return error_set(err, -errno,
				 "device %s: the host is taking it away (%s leads nowhere)",
				 dev->name, path);
	return error_sys(err, -errno, "device %s: cannot open %s", dev->name, path);
}

static int open_source(struct vfio_device *dev, const struct vfio_source *source, struct error *err)
{
	char path[PATH_MAX];
	int r;

	if (!source->address || source->kept) {
		snprintf(dev->name, sizeof(dev->name), "fd %d", source->fd);
		if (source->address)
			snprintf(dev->name, sizeof(dev->name), "%s", source->address);
		dev->fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 3);
		if (dev->fd < 0)
			return error_sys(err, -errno, "device %s: cannot be used", dev->name);
		return 0;
	}
	snprintf(dev->name, sizeof(dev->name), "%s", source->address);
	r = pci_sysfs_find_vfio(source->root, source->address, path, err);
	return r < 0 ? r : open_path(dev, path, err);
}

/* The kernel has one errno for two things that an operator mends in two ways. */
static int bind_not_permitted(const struct vfio_device *dev, const struct vfio_source *source,
			      struct error *err)
{
	char other[64];

	if (source->address &&
	    pci_sysfs_group_blocker(source->root, source->address, other, sizeof(other)))
		return error_set(
			err, -EPERM,
			"device %s: its IOMMU group is not viable: %s is used by the host; "
			"bind every device of the group to vfio-pci, or leave them unbound",
			dev->name, other);
	return error_set(err, -EPERM,
			 "device %s: the host cannot keep its interrupts inside the VM: interrupt "
			 "remapping is off (intremap=on, x2APIC in the firmware), or somebody else "
			 "has a device of its IOMMU group",
			 dev->name);
}

static int bind_failed(const struct vfio_device *dev, const struct vfio_source *source, int code,
		       struct error *err)
{
	if (code == -EPERM)
		return bind_not_permitted(dev, source, err);
	/* A character device can be bound once; through its group it may be open as well. */
	if (code == -EINVAL || code == -EBUSY)
		return error_set(err, -EBUSY,
				 "device %s: another VM or process has it: stop that, or remove "
				 "the device from it, first",
				 dev->name);
	if (code == -ENOTTY || code == -EBADFD)
		return error_set(err, -EINVAL, "device %s: is no character device of vfio",
				 dev->name);
	if (code == -ENODEV)
		return error_set(err, code,
				 "device %s: the host is taking it away, or no IOMMU is in front "
				 "of it",
				 dev->name);
	return error_sys(err, code, "device %s: cannot be bound (VFIO_DEVICE_BIND_IOMMUFD)",
			 dev->name);
}

static int attach_failed(const struct vfio_device *dev, int code, struct error *err)
{
	error_sys(err, code, "device %s: cannot be attached (VFIO_DEVICE_ATTACH_IOMMUFD_PT)",
		  dev->name);
	if (code == -ENOMEM)
		iommufd_say_no_memory(err);
	else if (code == -EADDRINUSE)
		error_append(err, "; it reserves addresses (RMRR) that guest memory lies at: give "
				  "the VM less memory, or another device");
	else if (code == -EUCLEAN)
		error_append(err, "; its old page table has memory that is mapped no more, or "
				  "elsewhere: it cannot go on with this state");
	else if (code == -EBUSY)
		error_append(err, "; another device of its IOMMU group is being reset, or belongs "
				  "to somebody else");
	return code;
}

static int bind_and_attach(struct vfio_device *dev, const struct vfio_source *source,
			   const struct iommufd *io, struct error *err)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = iommufd_fd(io)};
	struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach),
						       .pt_id = iommufd_ioas(io)};
	int r = vfio_call(dev, VFIO_DEVICE_BIND_IOMMUFD, &bind);

	/* One that is bound already, before or in an earlier try, is so for the life of its file.
	 */
	if (r == 0)
		dev->iommu_id = bind.out_devid;
	if (r == -EINVAL && source->kept)
		r = 0;
	if (r < 0)
		return bind_failed(dev, source, r, err);
	r = vfio_call(dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	dev->attached = r == 0;
	return r < 0 ? attach_failed(dev, r, err) : 0;
}

static int read_info(struct vfio_device *dev, struct error *err)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	int r = vfio_call(dev, VFIO_DEVICE_GET_INFO, &info);

	if (r < 0)
		return error_sys(err, r, "device %s: VFIO_DEVICE_GET_INFO", dev->name);
	if (!(info.flags & VFIO_DEVICE_FLAGS_PCI) ||
	    info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
		return error_set(err, -ENODEV, "device %s: is no PCI device", dev->name);
	dev->can_reset = info.flags & VFIO_DEVICE_FLAGS_RESET;
	r = vfio_regions_read(dev, err);
	if (r == 0)
		vfio_irqs_read(dev);
	return r;
}

int vfio_device_open(const struct vfio_source *source, struct iommufd *io, struct vfio_device **ret,
		     struct error *err)
{
	struct vfio_device *dev = calloc(1, sizeof(*dev));
	int r;

	if (!dev)
		return error_set(err, -ENOMEM, "vfio: out of memory");
	dev->fd = FD_NONE;
	dev->iommufd = iommufd_fd(io);
	dev->kept = source->kept;
	r = open_source(dev, source, err);
	if (r == 0)
		r = bind_and_attach(dev, source, io, err);
	if (r == 0)
		r = read_info(dev, err);
	if (r < 0) {
		vfio_device_free(dev);
		return r;
	}
	*ret = dev;
	return 0;
}

void vfio_device_free(struct vfio_device *dev)
{
	struct vfio_device_detach_iommufd_pt detach = {.argsz = sizeof(detach)};

	if (!dev)
		return;
	vfio_regions_unmap(dev);
	/* Whoever passed a descriptor may keep it open. */
	if (dev->attached && !dev->kept)
		vfio_call(dev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
	close_fdp(&dev->fd);
	free(dev);
}

void vfio_device_keep(struct vfio_device *dev, bool keep)
{
	dev->kept = keep;
}

bool vfio_device_is_kept(const struct vfio_device *dev)
{
	return dev->kept;
}

int vfio_device_fd(const struct vfio_device *dev)
{
	return dev->fd;
}

const char *vfio_device_name(const struct vfio_device *dev)
{
	return dev->name;
}

bool vfio_device_can_reset(const struct vfio_device *dev)
{
	return dev->can_reset;
}

int vfio_device_reset(struct vfio_device *dev, struct error *err)
{
	int r;

	if (!dev->can_reset)
		return error_set(err, -EOPNOTSUPP,
				 "device %s: cannot be reset alone: it has no function-level reset",
				 dev->name);
	r = vfio_call(dev, VFIO_DEVICE_RESET, NULL);
	return r < 0 ? error_sys(err, r, "device %s: cannot be reset", dev->name) : 0;
}
