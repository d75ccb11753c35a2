/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/doorbell.h"

#include <linux/kvm.h>

#include "base/util.h"
#include "vmm/kvm.h"

static int doorbell(int vm_fd, uint64_t gpa, unsigned int size, int eventfd, uint32_t flags,
		    struct error *err)
{
	struct kvm_ioeventfd request = {.addr = gpa, .len = size, .fd = eventfd, .flags = flags};

	return kvm_ioctl(vm_fd, KVM_IOEVENTFD, &request, "KVM_IOEVENTFD", err);
}

static int doorbell_add(void *opaque, uint64_t gpa, unsigned int size, int eventfd,
			struct error *err)
{
	return doorbell(*(int *)opaque, gpa, size, eventfd, 0, err);
}

static void doorbell_remove(void *opaque, uint64_t gpa, unsigned int size, int eventfd)
{
	doorbell(*(int *)opaque, gpa, size, eventfd, KVM_IOEVENTFD_FLAG_DEASSIGN, NULL);
}

const struct doorbell_ops kvm_doorbell_ops = {.add = doorbell_add, .remove = doorbell_remove};
