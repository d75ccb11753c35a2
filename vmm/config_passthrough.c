/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of the host in a configuration: --device, or the key "device". */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/pci_sysfs.h"
#include "base/util.h"
#include "vmm/config_priv.h"

static void read_one(json_t *json, const char *path, struct vm_config *config,
		     struct problems *problems)
{
	struct vfio_pci_config *device = &config->devices[config->device_count];
	unsigned int before = problems->count;

	vfio_pci_config_read(json, path, device, problems);
	if (problems->count > before)
		return;
	config_check_place(config, path, device->id, device->slot, problems);
}

void config_add_passed(json_t *array, struct vm_config *config, struct problems *problems)
{
	config_add_each(array, "device", VM_PASSED_MAX, &config->device_count, read_one, config,
			problems);
}

static void check_host(const struct vfio_pci_config *device, struct problems *p)
{
	struct error err = ERROR_INIT;
	char path[PATH_MAX];

	if (device->host[0] && !device->away &&
	    pci_sysfs_find_vfio("", device->host, path, &err) < 0)
		problem_add(p, "%s", error_message(&err));
}

void config_check_passed(const struct vm_config *config, struct problems *p)
{
	for (unsigned int i = 0; i < config->device_count; i++) {
		const struct vfio_pci_config *a = &config->devices[i];

		check_host(a, p);
		for (unsigned int j = i + 1; j < config->device_count; j++) {
			if (a->host[0] && strcmp(a->host, config->devices[j].host) == 0)
				problem_add(p, "device %s and device %s: both are %s", a->id,
					    config->devices[j].id, a->host);
		}
	}
	if (config->device_count && config->balloon.on)
		problem_add(p,
			    "balloon and device: a device of the host may write to any memory of "
			    "the guest at any time, so that none of it can be given back");
}

json_t *config_passed_to_json(const struct vm_config *config)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < config->device_count; i++) {
		json_t *device = vfio_pci_config_to_json(&config->devices[i]);

		if (json_array_append_new(array, device) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}
