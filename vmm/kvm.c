/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kvm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/util.h"

static int open_failed(const char *path, int code, struct error *err)
{
	switch (code) {
	case -ENOENT:
		return error_set(err, code,
				 "%s: not there: load kvm_intel or kvm_amd (modprobe), and see "
				 "that virtualisation is switched on in the firmware",
				 path);
	case -EACCES:
	case -EPERM:
		return error_set(err, code,
				 "%s: no permission: add this user to the group that owns it (on "
				 "most systems: kvm)",
				 path);
	case -ENODEV:
	case -ENXIO:
		return error_set(err, code,
				 "%s: the kernel has no KVM for this CPU: see that virtualisation "
				 "is switched on in the firmware, and the kernel's log",
				 path);
	default:
		return error_sys(err, code, "cannot open %s", path);
	}
}

int kvm_cap(int fd, long cap)
{
	int r = ioctl(fd, KVM_CHECK_EXTENSION, cap);

	return r < 0 ? 0 : r;
}

int kvm_enable_cap(int vm_fd, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap enable = {.cap = cap, .args = {arg}};

	return ioctl(vm_fd, KVM_ENABLE_CAP, &enable) < 0 ? -errno : 0;
}

static int check_needs(int fd, const char *path, const struct kvm_need *needs, struct error *err)
{
	char missing[512] = "";
	size_t used = 0;

	for (; needs->name; needs++) {
		int n;

		if (kvm_cap(fd, needs->cap) > 0 || used >= sizeof(missing))
			continue;
		n = snprintf(missing + used, sizeof(missing) - used, "%s%s (Linux %s)",
			     used ? ", " : "", needs->name, needs->since);
		used += n > 0 ? (size_t)n : 0;
	}
	if (used == 0)
		return 0;
	return error_set(err, -ENOSYS,
			 "%s: this kernel's KVM lacks what is needed to save and load a guest: "
			 "%s: use a newer host kernel",
			 path, missing);
}

int kvm_open(const char *path, const struct kvm_need *needs, int *ret_fd, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC);
	int version, r;

	if (fd < 0)
		return open_failed(path, -errno, err);
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version < 0)
		return error_set(err, -ENODEV, "%s: is not KVM: it does not know its ioctls", path);
	if (version != KVM_API_VERSION)
		return error_set(err, -ENOSYS, "%s: API version %d, version %d is needed", path,
				 version, KVM_API_VERSION);
	r = check_needs(fd, path, needs, err);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int kvm_create_vm(int kvm_fd, int *ret_fd, struct error *err)
{
	int fd;

	do
		fd = ioctl(kvm_fd, KVM_CREATE_VM, 0L);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return error_sys(err, -errno, "cannot create a VM (KVM_CREATE_VM)");
	*ret_fd = fd;
	return 0;
}

int kvm_ioctl(int fd, unsigned long request, void *arg, const char *what, struct error *err)
{
	int r;

	do
		r = ioctl(fd, request, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? error_sys(err, -errno, "%s", what) : 0;
}
