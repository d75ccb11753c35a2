/* SPDX-License-Identifier: Apache-2.0 */
#include "base/util.h"
#include "devices/virtio/console.h"
#include "vmm/console.h"
#include "vmm/kinds/kinds.h"

static unsigned int count(const struct vm_config *config)
{
	return config->hvc.mode != CONSOLE_OFF;
}

static int make(const struct machine_devices_params *params, unsigned int index _unused_,
		void **ret, struct error *err)
{
	struct virtio_console *console;
	struct chardev *backend;
	int r = console_open("hvc", &params->config->hvc, params->loop, params->control, &backend,
			     err);

	if (r < 0)
		return r;
	r = virtio_console_new(backend, &console, err);
	if (r < 0)
		return r;
	*ret = console;
	return 0;
}

const struct machine_kind machine_kind_hvc = {
	.name = "hvc",
	.slot = 31,
	.ops = &virtio_console_ops,
	.count = count,
	.make = make,
};
