/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/vsock/vsock.h"

#include "base/util.h"
#include "vmm/kinds/kinds.h"

static unsigned int count(const struct vm_config *config)
{
	return config->vsock.on;
}

static int make(const struct machine_devices_params *params, unsigned int index _unused_,
		void **ret, struct error *err)
{
	struct vhost_ram ram;
	struct virtio_vsock *vsock;
	int r;

	machine_kind_vhost_ram(params->ram, &ram);
	r = virtio_vsock_new(&params->config->vsock, VIRTIO_VSOCK_HOST_DEVICE, &ram, &vsock, err);
	if (r < 0)
		return r;
	*ret = vsock;
	return 0;
}

static int check_update(void *dev _unused_, struct error *err)
{
	return virtio_vsock_check_host(VIRTIO_VSOCK_HOST_DEVICE, err);
}

const struct machine_kind machine_kind_vsock = {
	.name = "vsock",
	.slot = 28,
	.ops = &virtio_vsock_ops,
	.count = count,
	.make = make,
	.check_update = check_update,
};
