/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/rng.h"
#include "base/util.h"
#include "vmm/kinds/kinds.h"

static unsigned int count(const struct vm_config *config)
{
	return config->rng.on;
}

static int make(const struct machine_devices_params *params, unsigned int index _unused_,
		void **ret, struct error *err)
{
	struct virtio_rng *rng;
	int r = virtio_rng_new(params->config->rng.source, &rng, err);

	if (r < 0)
		return r;
	*ret = rng;
	return 0;
}

const struct machine_kind machine_kind_rng = {
	.name = "rng",
	.slot = 30,
	.ops = &virtio_rng_ops,
	.count = count,
	.make = make,
};
