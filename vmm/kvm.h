/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's KVM: opening it, what must be there, and ioctls with their failures in words. Numbers
 * and structures are those of Linux Documentation/virt/kvm/api.rst.
 */
#ifndef HOLDFAST_VMM_KVM_H
#define HOLDFAST_VMM_KVM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define KVM_DEVICE "/dev/kvm"

/* A capability that a machine cannot do without, and what for. */
struct kvm_need {
	long cap; /* KVM_CAP_* */
	const char *name;
	const char *since; /* the first Linux that has it */
};

/*
 * Opens path (KVM_DEVICE; another one in tests), checks the API version and that all of `needs`
 * (name NULL ends the table) are there: those that are missing are named in one message. Owned
 * descriptor. -ENOENT: no KVM in this kernel, or its module is not loaded. -EACCES: not this user.
 * -ENODEV: the CPU's virtualisation is switched off. -ENOSYS: a capability is missing.
 */
int kvm_open(const char *path, const struct kvm_need *needs, int *ret_fd, struct error *err);

/* KVM_CREATE_VM. Owned descriptor. */
int kvm_create_vm(int kvm_fd, int *ret_fd, struct error *err);

/* KVM_CHECK_EXTENSION on the device or a VM: the value, 0 where it is not known. */
int kvm_cap(int fd, long cap);

/* KVM_ENABLE_CAP on a VM. */
int kvm_enable_cap(int vm_fd, uint32_t cap, uint64_t arg);

/*
 * An ioctl on a KVM object, again after EINTR. 0, or -errno with a message that names `what` ("vCPU
 * 1: KVM_SET_REGS").
 */
int kvm_ioctl(int fd, unsigned long request, void *arg, const char *what, struct error *err);

#endif
