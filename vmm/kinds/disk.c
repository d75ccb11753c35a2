/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk/blk.h"
#include "vmm/kinds/kinds.h"

static unsigned int count(const struct vm_config *config)
{
	return config->disk_count;
}

static const char *id(const struct vm_config *config, unsigned int index)
{
	return config->disks[index].id;
}

static unsigned int slot_of(const struct vm_config *config, unsigned int index)
{
	return config->disks[index].slot;
}

static int make(const struct machine_devices_params *params, unsigned int index, void **ret,
		struct error *err)
{
	struct virtio_blk *blk;
	int r = virtio_blk_new(&params->config->disks[index], &blk, err);

	if (r < 0)
		return r;
	*ret = blk;
	return 0;
}

static int check_update(void *dev, struct error *err)
{
	return virtio_blk_check_update(dev, true, err);
}

static json_t *counters(const void *dev)
{
	const struct virtio_blk *disk = dev;
	struct virtio_blk_counters c;

	virtio_blk_get_counters(disk, &c);
	return json_pack(
		"{ss sI sI sI sI sI sI sI sI sI sI}", "backend", virtio_blk_backend_name(disk),
		"size", (json_int_t)virtio_blk_size(disk), "read-ops", (json_int_t)c.read_ops,
		"read-bytes", (json_int_t)c.read_bytes, "write-ops", (json_int_t)c.write_ops,
		"write-bytes", (json_int_t)c.write_bytes, "flush-ops", (json_int_t)c.flush_ops,
		"other-ops", (json_int_t)c.other_ops, "errors", (json_int_t)c.errors, "throttled",
		(json_int_t)c.throttled, "resubmitted", (json_int_t)c.resubmitted);
}

const struct machine_kind machine_kind_disk = {
	.name = "disk",
	.thread = true,
	.ops = &virtio_blk_ops,
	.count = count,
	.id = id,
	.slot_of = slot_of,
	.make = make,
	.check_update = check_update,
	.counters = counters,
};
