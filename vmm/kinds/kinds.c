/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kinds/kinds.h"

#include <assert.h>

static_assert(RAM_REGIONS_MAX <= VHOST_REGIONS_MAX, "guest RAM in more regions than vhost takes");

const struct machine_kind *const machine_kinds[] = {
	&machine_kind_disk, &machine_kind_net, &machine_kind_vsock,  &machine_kind_balloon,
	&machine_kind_rng,  &machine_kind_hvc, &machine_kind_device, NULL,
};

void machine_kind_vhost_ram(struct guest_ram *ram, struct vhost_ram *ret)
{
	*ret = (struct vhost_ram){.count = guest_ram_region_count(ram)};
	for (unsigned int i = 0; i < ret->count; i++) {
		const struct guest_memory_region *region = guest_ram_region(ram, i);

		ret->regions[i].gpa = region->gpa;
		ret->regions[i].size = region->size;
		ret->regions[i].hva = region->hva;
	}
}
