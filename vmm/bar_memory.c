/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bar_memory.h"

#include <assert.h>
#include <linux/kvm.h>
#include <pthread.h>

#include "base/util.h"
#include "vmm/guest_memory.h"
#include "vmm/kvm.h"

/* RAM has those below. */
#define FIRST_SLOT 32U
static_assert(RAM_REGIONS_MAX <= FIRST_SLOT, "slots of RAM and of BARs meet");

struct bar_memory {
	int vm_fd;
	pthread_mutex_t lock;
	uint64_t gpa[BAR_MEMORY_SLOTS_MAX];
	uint64_t size[BAR_MEMORY_SLOTS_MAX]; /* 0: free */
};

int bar_memory_new(int vm_fd, struct bar_memory **ret, struct error *err)
{
	struct bar_memory *slots = calloc(1, sizeof(*slots));

	if (!slots)
		return error_set(err, -ENOMEM, "memory of PCI devices: out of memory");
	slots->vm_fd = vm_fd;
	pthread_mutex_init(&slots->lock, NULL);
	*ret = slots;
	return 0;
}

void bar_memory_free(struct bar_memory *slots)
{
	if (!slots)
		return;
	pthread_mutex_destroy(&slots->lock);
	free(slots);
}

/* memory NULL: takes the slot away. Lock held. */
static int set_slot(const struct bar_memory *slots, uint32_t i, void *memory, struct error *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = FIRST_SLOT + i,
		.guest_phys_addr = slots->gpa[i],
		.memory_size = memory ? slots->size[i] : 0,
		.userspace_addr = (uintptr_t)memory,
	};

	return kvm_ioctl(slots->vm_fd, KVM_SET_USER_MEMORY_REGION, &region,
			 "KVM_SET_USER_MEMORY_REGION", err);
}

int bar_memory_add(struct bar_memory *slots, uint64_t gpa, uint64_t size, void *memory,
		   struct error *err)
{
	uint32_t i = 0;
	int r;

	pthread_mutex_lock(&slots->lock);
	while (i < BAR_MEMORY_SLOTS_MAX && slots->size[i])
		i++;
	if (i == BAR_MEMORY_SLOTS_MAX) {
		r = error_set(err, -ENOSPC, "more than %d pieces of memory in BARs",
			      BAR_MEMORY_SLOTS_MAX);
	} else {
		slots->gpa[i] = gpa;
		slots->size[i] = size;
		r = set_slot(slots, i, memory, err);
		if (r < 0)
			slots->size[i] = 0;
	}
	pthread_mutex_unlock(&slots->lock);
	return r;
}

void bar_memory_remove(struct bar_memory *slots, uint64_t gpa)
{
	pthread_mutex_lock(&slots->lock);
	for (uint32_t i = 0; i < BAR_MEMORY_SLOTS_MAX; i++) {
		if (!slots->size[i] || slots->gpa[i] != gpa)
			continue;
		/* Taking a slot away fails only if it was never there. */
		set_slot(slots, i, NULL, NULL);
		slots->size[i] = 0;
		break;
	}
	pthread_mutex_unlock(&slots->lock);
}
