/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device can besides: carrying its state to another one of its kind (VFIO migration,
 * version 2: linux/vfio.h, VFIO_DEVICE_FEATURE_MIGRATION), and whether its IOMMU knows what it has
 * written to.
 */
#include <assert.h>
#include <linux/iommufd.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/util.h"
#include "iommu/vfio_impl.h"

/* A driver may not know yet how much it will be. */
#define SIZE_UNKNOWN (16 * MIB)

/* struct vfio_device_feature with its data. */
struct feature {
	uint32_t argsz, flags;
	union {
		struct vfio_device_feature_migration migration;
		struct vfio_device_feature_mig_state state;
		struct vfio_device_feature_mig_data_size size;
	} data;
};

static_assert(offsetof(struct feature, data) == sizeof(struct vfio_device_feature),
	      "a feature's data follows its head");

static int feature(const struct vfio_device *dev, struct feature *f, uint32_t flags, size_t size)
{
	f->argsz = (uint32_t)(sizeof(struct vfio_device_feature) + size);
	f->flags = flags;
	return vfio_call(dev, VFIO_DEVICE_FEATURE, f);
}

bool vfio_migration_is_offered(const struct vfio_device *dev)
{
	struct feature f = {0};

	return feature(dev, &f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION,
		       sizeof(f.data.migration)) == 0 &&
	       (f.data.migration.flags & VFIO_MIGRATION_STOP_COPY);
}

uint64_t vfio_migration_size(const struct vfio_device *dev)
{
	struct feature f = {0};

	if (feature(dev, &f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
		    sizeof(f.data.size)) < 0)
		return SIZE_UNKNOWN;
	return f.data.size.stop_copy_length;
}

/* *ret_fd: what the state's data go through; owned. NULL: a state without. */
static int set_state(const struct vfio_device *dev, uint32_t state, const char *name, int *ret_fd,
		     struct error *err)
{
	struct feature f = {.data.state = {.device_state = state, .data_fd = -1}};
	int r = feature(dev, &f, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			sizeof(f.data.state));

	if (r < 0)
		return error_sys(err, r, "device %s: cannot go to migration state %s", dev->name,
				 name);
	if (ret_fd)
		*ret_fd = f.data.state.data_fd;
	else if (f.data.state.data_fd >= 0)
		close(f.data.state.data_fd);
	return 0;
}

int vfio_migration_stop(const struct vfio_device *dev, struct error *err)
{
	return set_state(dev, VFIO_DEVICE_STATE_STOP, "STOP", NULL, err);
}

int vfio_migration_run(const struct vfio_device *dev, struct error *err)
{
	return set_state(dev, VFIO_DEVICE_STATE_RUNNING, "RUNNING", NULL, err);
}

static int read_all(const struct vfio_device *dev, int fd, uint8_t *buf, size_t max, size_t *ret,
		    struct error *err)
{
	uint8_t beyond;

	for (*ret = 0;;) {
		bool full = *ret == max;
		ssize_t n = read(fd, full ? &beyond : buf + *ret, full ? 1 : max - *ret);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, -errno, "device %s: cannot read its state",
					 dev->name);
		if (n == 0)
			return 0;
		if (full)
			return error_set(err, -E2BIG,
					 "device %s: its state is larger than it said (%zu bytes): "
					 "abort the update and begin it anew",
					 dev->name, max);
		*ret += (size_t)n;
	}
}

int vfio_migration_save(const struct vfio_device *dev, void *buf, size_t max, size_t *ret,
			struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE;
	int r = set_state(dev, VFIO_DEVICE_STATE_STOP_COPY, "STOP_COPY", &fd, err), back;

	if (r < 0)
		return r;
	r = read_all(dev, fd, buf, max, ret, err);
	back = vfio_migration_stop(dev, r < 0 ? NULL : err);
	return r < 0 ? r : back;
}

static int write_all(const struct vfio_device *dev, int fd, const uint8_t *data, size_t size,
		     struct error *err)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, -errno, "device %s: does not take its state",
					 dev->name);
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

int vfio_migration_load(const struct vfio_device *dev, const void *data, size_t size,
			struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE;
	int r = set_state(dev, VFIO_DEVICE_STATE_RESUMING, "RESUMING", &fd, err);

	if (r == 0)
		r = write_all(dev, fd, data, size, err);
	/* Leaving RESUMING is when the driver says whether it likes what it got. */
	return r == 0 ? vfio_migration_stop(dev, err) : r;
}

bool vfio_device_tracks_dirty(const struct vfio_device *dev)
{
	struct iommu_hw_info info = {.size = sizeof(info), .dev_id = dev->iommu_id};

	return dev->iommufd >= 0 && ioctl(dev->iommufd, IOMMU_GET_HW_INFO, &info) == 0 &&
	       (info.out_capabilities & IOMMU_HW_CAP_DIRTY_TRACKING);
}

uint32_t vfio_device_iommu_id(const struct vfio_device *dev)
{
	return dev->iommu_id;
}

void vfio_device_learn_iommu_id(struct vfio_device *dev, uint32_t id)
{
	if (!dev->iommu_id)
		dev->iommu_id = id;
}
