/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/balloon/balloon.h"
#include "base/util.h"
#include "vmm/kinds/kinds.h"

static unsigned int count(const struct vm_config *config)
{
	return config->balloon.on;
}

static int make(const struct machine_devices_params *params, unsigned int index _unused_,
		void **ret, struct error *err)
{
	const struct guest_memory ram = guest_ram_view(params->ram);
	const struct guest_discard discard = guest_ram_discarder(params->ram);
	struct virtio_balloon *balloon;
	int r = virtio_balloon_new(&params->config->balloon, guest_ram_size(params->ram), &ram,
				   &discard, &balloon, err);

	if (r < 0)
		return r;
	*ret = balloon;
	return 0;
}

static json_t *counters(const void *dev)
{
	struct virtio_balloon_counters c;

	virtio_balloon_get_counters(dev, &c);
	return json_pack("{sI sI sI sI sI sI}", "inflated-bytes", (json_int_t)c.inflated_bytes,
			 "deflated-bytes", (json_int_t)c.deflated_bytes, "reported-bytes",
			 (json_int_t)c.reported_bytes, "given-back-bytes",
			 (json_int_t)c.given_back_bytes, "refused", (json_int_t)c.refused, "failed",
			 (json_int_t)c.failed);
}

const struct machine_kind machine_kind_balloon = {
	.name = "balloon",
	.slot = 29,
	.thread = true,
	.ops = &virtio_balloon_ops,
	.count = count,
	.make = make,
	.counters = counters,
};
