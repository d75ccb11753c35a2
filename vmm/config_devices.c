/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a configuration that can come and go while the guest runs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "vmm/config_priv.h"

/* ---- Those of which there can be several. ---- */

static const struct {
	const char *key;
	config_add_fn *add;
} lists[] = {{"disk", config_add_disks}, {"net", config_add_nets}, {"device", config_add_passed}};

void config_add_each(json_t *array, const char *key, unsigned int max, unsigned int *count,
		     config_read_one_fn *read_one, struct vm_config *config,
		     struct problems *problems)
{
	char path[32];
	json_t *value;
	size_t i;

	json_array_foreach(array, i, value)
	{
		unsigned int before = problems->count;

		if (*count == max) {
			problem_add(problems, "%s: a VM can have %u", key, max);
			return;
		}
		snprintf(path, sizeof(path), "%s[%zu]", key, i);
		read_one(value, path, config, problems);
		if (problems->count == before)
			(*count)++;
	}
}

config_add_fn *config_adder(const char *key)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(lists); i++) {
		if (strcmp(lists[i].key, key) == 0)
			return lists[i].add;
	}
	return NULL;
}

static bool id_is_used(const struct vm_config *config, const char *id)
{
	for (unsigned int i = 0; i < config->disk_count; i++) {
		if (strcmp(config->disks[i].id, id) == 0)
			return true;
	}
	for (unsigned int i = 0; i < config->net_count; i++) {
		if (strcmp(config->nets[i].id, id) == 0)
			return true;
	}
	for (unsigned int i = 0; i < config->device_count; i++) {
		if (strcmp(config->devices[i].id, id) == 0)
			return true;
	}
	return vm_config_has_device(config, id) != -ENOENT;
}

static bool slot_is_used(const struct vm_config *config, unsigned int slot)
{
	for (unsigned int i = 0; i < config->disk_count; i++) {
		if (config->disks[i].slot == slot)
			return true;
	}
	for (unsigned int i = 0; i < config->net_count; i++) {
		if (config->nets[i].slot == slot)
			return true;
	}
	for (unsigned int i = 0; i < config->device_count; i++) {
		if (config->devices[i].slot == slot)
			return true;
	}
	return false;
}

void config_check_place(const struct vm_config *config, const char *path, const char *id,
			unsigned int slot, struct problems *problems)
{
	if (id[0] && id_is_used(config, id))
		problem_add(problems, "%s.id: the VM has a device \"%s\" already", path, id);
	if (slot && slot_is_used(config, slot))
		problem_add(problems, "%s.slot: another device is in slot %u", path, slot);
}

/* The first of disk0, disk1 and so on. */
static void choose_id(const struct vm_config *config, const char *kind, char *id, size_t size)
{
	char chosen[24];
	unsigned int i = 0;

	if (id[0])
		return;
	do {
		snprintf(chosen, sizeof(chosen), "%s%u", kind, i++);
	} while (id_is_used(config, chosen));
	snprintf(id, size, "%s", chosen);
}

/* More devices can be asked for than there are slots. */
static void choose_slot(const struct vm_config *config, const char *id, uint8_t *slot,
			struct problems *problems)
{
	uint8_t free_slot = 1;

	if (*slot)
		return;
	while (free_slot <= VIRTIO_SLOT_MAX && slot_is_used(config, free_slot))
		free_slot++;
	if (free_slot > VIRTIO_SLOT_MAX)
		problem_add(problems,
			    "%s: no PCI slot is left: a VM can have %d disks, network cards and "
			    "devices of the host",
			    id, VIRTIO_SLOT_MAX);
	else
		*slot = free_slot;
}

void config_name_devices(struct vm_config *config, struct problems *problems)
{
	for (unsigned int i = 0; i < config->disk_count; i++) {
		struct virtio_blk_config *disk = &config->disks[i];

		choose_id(config, "disk", disk->id, sizeof(disk->id));
		choose_slot(config, disk->id, &disk->slot, problems);
	}
	for (unsigned int i = 0; i < config->net_count; i++) {
		struct virtio_net_config *net = &config->nets[i];

		choose_id(config, "net", net->id, sizeof(net->id));
		choose_slot(config, net->id, &net->slot, problems);
	}
	for (unsigned int i = 0; i < config->device_count; i++) {
		struct vfio_pci_config *device = &config->devices[i];

		choose_id(config, "device", device->id, sizeof(device->id));
		choose_slot(config, device->id, &device->slot, problems);
	}
}

/* ---- All of them. ---- */

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
	return config_adder(key) ? 0 : -ENOENT;
}

static void forget_disk(struct vm_config *config, const char *id)
{
	for (unsigned int i = 0; i < config->disk_count; i++) {
		if (strcmp(config->disks[i].id, id) != 0)
			continue;
		config->disk_count--;
		memmove(&config->disks[i], &config->disks[i + 1],
			(config->disk_count - i) * sizeof(config->disks[0]));
		return;
	}
}

static void forget_net(struct vm_config *config, const char *id)
{
	for (unsigned int i = 0; i < config->net_count; i++) {
		if (strcmp(config->nets[i].id, id) != 0)
			continue;
		config->net_count--;
		memmove(&config->nets[i], &config->nets[i + 1],
			(config->net_count - i) * sizeof(config->nets[0]));
		return;
	}
}

/* device_count when there is none. */
static unsigned int passed_index(const struct vm_config *config, const char *id)
{
	unsigned int i = 0;

	while (i < config->device_count && strcmp(config->devices[i].id, id) != 0)
		i++;
	return i;
}

struct vfio_pci_config *vm_config_find_passed(struct vm_config *config, const char *id)
{
	unsigned int i = passed_index(config, id);

	return i < config->device_count ? &config->devices[i] : NULL;
}

const char *vm_config_passed_here(const struct vm_config *config)
{
	for (unsigned int i = 0; i < config->device_count; i++) {
		if (!config->devices[i].away && !config->devices[i].kept)
			return config->devices[i].id;
	}
	return NULL;
}

bool vm_config_is_kept(const struct vm_config *config, const char *id)
{
	unsigned int i = passed_index(config, id);

	return i < config->device_count && config->devices[i].kept;
}

static void forget_passed(struct vm_config *config, const char *id)
{
	struct vfio_pci_config *device = vm_config_find_passed(config, id);
	size_t after;

	if (!device)
		return;
	after = (size_t)(&config->devices[config->device_count] - (device + 1));
	memmove(device, device + 1, after * sizeof(*device));
	config->device_count--;
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
	forget_disk(config, name);
	forget_net(config, name);
	forget_passed(config, name);
}

void vm_config_copy_devices(struct vm_config *to, const struct vm_config *from)
{
	to->growth = from->growth;
	to->rng = from->rng;
	to->hvc = from->hvc;
	to->balloon = from->balloon;
	to->vsock = from->vsock;
	memcpy(to->disks, from->disks, sizeof(to->disks));
	to->disk_count = from->disk_count;
	memcpy(to->nets, from->nets, sizeof(to->nets));
	to->net_count = from->net_count;
	memcpy(to->devices, from->devices, sizeof(to->devices));
	to->device_count = from->device_count;
}
