/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/vhost/vhost.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "base/util.h"
#include "devices/vhost/vhost_impl.h"

/* struct vhost_memory with room. */
struct table {
	uint32_t nregions, padding;
	struct vhost_memory_region regions[VHOST_REGIONS_MAX];
};
static_assert(offsetof(struct table, regions) == sizeof(struct vhost_memory),
	      "struct vhost_memory has changed");

static int open_failed(const struct vhost_params *params, int code, struct error *err)
{
	switch (code) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return error_set(
			err, code,
			"%s: %s is not there: load the kernel's module (modprobe %s), or %s",
			params->name, params->path, params->module, params->instead);
	case -EACCES:
	case -EPERM:
		return error_set(err, code,
				 "%s: %s: no permission: let this user read and write it (on most "
				 "systems: add the user to the group kvm)",
				 params->name, params->path);
	default:
		return error_sys(err, code, "%s: cannot open %s", params->name, params->path);
	}
}

int vhost_check(const struct vhost_params *params, struct error *err)
{
	return access(params->path, R_OK | W_OK) < 0 ? open_failed(params, -errno, err) : 0;
}

int vhost_ioctl(struct vhost *vhost, unsigned long request, const void *arg, const char *what,
		struct error *err)
{
	if (ioctl(vhost->fd, request, arg) < 0)
		return error_sys(err, -errno, "%s: %s: %s", vhost->params.name, vhost->params.path,
				 what);
	return 0;
}

/* Older kernels have none for every kind. */
static int get_backend_features(struct vhost *vhost, struct error *err)
{
	int r = vhost_ioctl(vhost, VHOST_GET_BACKEND_FEATURES, &vhost->backend_features,
			    "VHOST_GET_BACKEND_FEATURES", err);

	if (r != -ENOTTY)
		return r;
	error_clear(err);
	vhost->backend_features = 0;
	return 0;
}

static int begin(struct vhost *vhost, struct error *err)
{
	int r = vhost_ioctl(vhost, VHOST_SET_OWNER, NULL, "VHOST_SET_OWNER", err);

	if (r == 0)
		r = vhost_ioctl(vhost, VHOST_GET_FEATURES, &vhost->features, "VHOST_GET_FEATURES",
				err);
	if (r == 0)
		r = get_backend_features(vhost, err);
	for (unsigned int i = 0; r == 0 && i < VHOST_RINGS_MAX; i++) {
		struct vhost_ring *ring = &vhost->rings[i];

		ring->error_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (ring->error_fd < 0)
			r = error_sys(err, -errno, "%s: cannot create an eventfd",
				      vhost->params.name);
	}
	return r;
}

int vhost_open(const struct vhost_params *params, struct vhost **ret, struct error *err)
{
	struct vhost *vhost = calloc(1, sizeof(*vhost));
	int r;

	if (!vhost)
		return error_set(err, -ENOMEM, "%s: out of memory", params->name);
	vhost->params = *params;
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++)
		vhost->rings[i] = (struct vhost_ring){
			.vhost = vhost, .index = i, .doorbell = FD_NONE, .error_fd = FD_NONE};
	vhost->fd = open(params->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	r = vhost->fd < 0 ? open_failed(params, -errno, err) : begin(vhost, err);
	if (r < 0) {
		vhost_free(vhost);
		return r;
	}
	*ret = vhost;
	return 0;
}

void vhost_free(struct vhost *vhost)
{
	if (!vhost)
		return;
	close_fdp(&vhost->fd);
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++) {
		loop_remove_fd(vhost->rings[i].error_source);
		close_fdp(&vhost->rings[i].error_fd);
	}
	free(vhost);
}

uint64_t vhost_features(const struct vhost *vhost)
{
	return vhost->features;
}

int vhost_set_features(struct vhost *vhost, uint64_t features, struct error *err)
{
	/* Its own bits are for whoever logs or translates addresses; the rest is the device's. */
	uint64_t told = features & vhost->features;

	return vhost_ioctl(vhost, VHOST_SET_FEATURES, &told, "VHOST_SET_FEATURES", err);
}

uint64_t vhost_backend_features(const struct vhost *vhost)
{
	return vhost->backend_features;
}

int vhost_set_backend_features(struct vhost *vhost, uint64_t features, struct error *err)
{
	if (features & ~vhost->backend_features)
		return error_set(err, -EOPNOTSUPP,
				 "%s: %s does not offer the backend features 0x%llx",
				 vhost->params.name, vhost->params.path,
				 (unsigned long long)(features & ~vhost->backend_features));
	return vhost_ioctl(vhost, VHOST_SET_BACKEND_FEATURES, &features,
			   "VHOST_SET_BACKEND_FEATURES", err);
}

int vhost_set_ram(struct vhost *vhost, const struct vhost_ram *ram, struct error *err)
{
	struct table table = {.nregions = ram->count};

	if (ram->count > VHOST_REGIONS_MAX)
		return error_set(err, -E2BIG, "%s: guest RAM in %u regions, at most %u can be",
				 vhost->params.name, ram->count, VHOST_REGIONS_MAX);
	for (unsigned int i = 0; i < ram->count; i++)
		table.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = ram->regions[i].gpa,
			.memory_size = ram->regions[i].size,
			.userspace_addr = (uintptr_t)ram->regions[i].hva,
		};
	return vhost_ioctl(vhost, VHOST_SET_MEM_TABLE, &table,
			   "cannot tell the kernel of the guest's memory (VHOST_SET_MEM_TABLE)",
			   err);
}
