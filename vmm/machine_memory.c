/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM in KVM, and RAM that is added while the guest runs. */
#include <inttypes.h>
#include <linux/kvm.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/guest_memory_prefault.h"
#include "vmm/kvm.h"
#include "vmm/machine_priv.h"

/* A slot a region, by its index: KVM then finds a guest's page by one look. there: or not any more.
 */
static int set_slot(struct machine *m, uint32_t index, const struct guest_memory_region *region,
		    bool there, struct error *err)
{
	struct kvm_userspace_memory_region slot = {
		.slot = index,
		.guest_phys_addr = region->gpa,
		.memory_size = there ? region->size : 0,
		.userspace_addr = (uintptr_t)region->hva,
	};

	return kvm_ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot,
			 "cannot give the guest its memory (KVM_SET_USER_MEMORY_REGION)", err);
}

int machine_memory_slots(struct machine *m, struct error *err)
{
	for (unsigned int i = 0; i < guest_ram_region_count(m->ram); i++) {
		int r = set_slot(m, i, guest_ram_region(m->ram, i), true, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static void raise_event(void *opaque)
{
	struct machine *m = opaque;

	arch_platform_memory_event(m->platform);
}

int machine_memory_hotplug_new(struct machine *m, struct error *err)
{
	const struct memory_hotplug_params params = {.raise = raise_event, .opaque = m};
	unsigned int count = guest_ram_region_count(m->ram);
	int r;

	static_assert(RAM_ADDED_MAX == MEMORY_HOTPLUG_SLOTS, "a slot for each piece of RAM");
	if (!m->config.growth.max)
		return 0;
	r = arch_check_ram(m->arch, m->ram, err);
	if (r == 0)
		r = memory_hotplug_new(&params, &m->memory_hotplug, err);
	if (r < 0)
		return r;
	for (unsigned int i = count - guest_ram_added_count(m->ram); i < count; i++) {
		const struct guest_memory_region *region = guest_ram_region(m->ram, i);

		memory_hotplug_put(m->memory_hotplug, region->gpa, region->size);
	}
	return bus_add(m->ports, arch_platform_memory_port(), MEMORY_HOTPLUG_IO_SIZE,
		       &memory_hotplug_io_ops, m->memory_hotplug, err);
}

/* Everything that can fail; nothing is left of it if it does. */
static int add_region(struct machine *m, const struct guest_memory_region *region,
		      struct error *err)
{
	unsigned int index = guest_ram_region_count(m->ram);
	int r = machine_devices_add_memory(m->devices, region, err);

	if (r < 0)
		return r;
	r = set_slot(m, index, region, true, err);
	if (r < 0)
		machine_devices_remove_memory(m->devices, region);
	return r;
}

static int add_memory(struct machine *m, uint64_t size, struct error *err)
{
	const struct guest_memory_region *region;
	int r = guest_ram_grow_begin(m->ram, size, &region, err);

	if (r < 0)
		return r;
	if (m->config.prefault)
		r = guest_ram_prefault(region, 1, err);
	if (r == 0)
		r = add_region(m, region, err);
	if (r < 0) {
		guest_ram_grow_undo(m->ram);
		return r;
	}
	guest_ram_grow_commit(m->ram);
	m->config.growth.sizes[m->config.growth.count++] = size;
	machine_devices_memory_is(m->devices, guest_ram_size(m->ram));
	log_info("memory: %" PRIu64 " MiB added at 0x%" PRIx64 ", the guest is told",
		 (uint64_t)(size / MIB), region->gpa);
	memory_hotplug_add(m->memory_hotplug, region->gpa, region->size);
	return 0;
}

int machine_resize_memory(struct machine *m, uint64_t size, struct error *err)
{
	uint64_t now = guest_ram_size(m->ram);

	if (size == now)
		return 0;
	if (size < now)
		return error_set(err, -ERANGE,
				 "memory: the guest has %llu MiB, and memory is only added, never "
				 "taken away: have the guest do without it by a balloon "
				 "(vm.resize-balloon), or start the VM anew with less",
				 (unsigned long long)(now / MIB));
	if (!m->memory_hotplug)
		return error_set(err, -ERANGE,
				 "memory: nothing can be added to a VM that was started without "
				 "hotplug_size: start it with --memory "
				 "size=%lluM,hotplug_size=SIZE",
				 (unsigned long long)(now / MIB));
	return add_memory(m, size - now, err);
}
