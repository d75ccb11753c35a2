/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a configuration that can come and go while the guest runs. */
#include <errno.h>
#include <string.h>

#include "vmm/config.h"

int vm_config_has_device(const struct vm_config *config, const char *key)
{
	if (strcmp(key, "rng") == 0)
		return config->rng.on;
	if (strcmp(key, "hvc") == 0)
		return config->hvc.mode != CONSOLE_OFF;
	if (strcmp(key, "balloon") == 0)
		return config->balloon.on;
	if (strcmp(key, "vsock") == 0)
		return config->vsock.on;
	return strcmp(key, "disk") == 0 ? 0 : -ENOENT;
}

void vm_config_forget_device(struct vm_config *config, const char *name)
{
	if (strcmp(name, "rng") == 0)
		config->rng = (struct rng_config){0};
	else if (strcmp(name, "hvc") == 0)
		config->hvc = (struct console_config){.mode = CONSOLE_OFF};
	else if (strcmp(name, "balloon") == 0)
		config->balloon = (struct virtio_balloon_config){0};
	else if (strcmp(name, "vsock") == 0)
		config->vsock = (struct virtio_vsock_config){0};
	for (unsigned int i = 0; i < config->disk_count; i++) {
		if (strcmp(config->disks[i].id, name) != 0)
			continue;
		config->disk_count--;
		memmove(&config->disks[i], &config->disks[i + 1],
			(config->disk_count - i) * sizeof(config->disks[0]));
		return;
	}
}

void vm_config_copy_devices(struct vm_config *to, const struct vm_config *from)
{
	to->rng = from->rng;
	to->hvc = from->hvc;
	to->balloon = from->balloon;
	to->vsock = from->vsock;
	memcpy(to->disks, from->disks, sizeof(to->disks));
	to->disk_count = from->disk_count;
}
