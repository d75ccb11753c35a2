/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kinds/kinds.h"

#include <assert.h>

static_assert(RAM_SPANS_MAX <= VHOST_REGIONS_MAX, "guest RAM in more pieces than vhost takes");

const struct machine_kind *const machine_kinds[] = {
	&machine_kind_disk, &machine_kind_net, &machine_kind_vsock,  &machine_kind_balloon,
	&machine_kind_rng,  &machine_kind_hvc, &machine_kind_device, NULL,
};

/* Also where RAM may be added: the kernel finds no memory there before, and it need not be told
 * when there is. */
void machine_kind_vhost_ram(struct guest_ram *ram, struct vhost_ram *ret)
{
	struct ram_span spans[RAM_SPANS_MAX];

	*ret = (struct vhost_ram){.count = guest_ram_spans(ram, spans)};
	for (unsigned int i = 0; i < ret->count; i++) {
		ret->regions[i].gpa = spans[i].gpa;
		ret->regions[i].size = spans[i].size;
		ret->regions[i].hva = spans[i].hva;
	}
}
