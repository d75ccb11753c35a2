/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of a configuration: --disk, or the key "disk". */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/config_priv.h"

static void read_one(json_t *json, const char *path, struct vm_config *config,
		     struct problems *problems)
{
	struct virtio_blk_config *disk = &config->disks[config->disk_count];
	unsigned int before = problems->count;

	virtio_blk_config_read(json, path, disk, problems);
	if (problems->count > before)
		return;
	config_check_place(config, path, disk->id, disk->slot, problems);
}

void config_add_disks(json_t *array, struct vm_config *config, struct problems *problems)
{
	config_add_each(array, "disk", VM_DISKS_MAX, &config->disk_count, read_one, config,
			problems);
}

static void check_disk(const struct virtio_blk_config *disk, struct problems *p)
{
	struct stat st;

	if (stat(disk->path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		problem_add(p, "disk %s: %s is neither a file nor a block device", disk->id,
			    disk->path);
	else if (access(disk->path, disk->readonly ? R_OK : R_OK | W_OK) < 0)
		problem_add(p, "disk %s: %s: %s", disk->id, disk->path, strerror(errno));
}

void config_check_disks(const struct vm_config *config, struct problems *p)
{
	for (unsigned int i = 0; i < config->disk_count; i++) {
		const struct virtio_blk_config *a = &config->disks[i];

		check_disk(a, p);
		for (unsigned int j = i + 1; j < config->disk_count; j++) {
			const struct virtio_blk_config *b = &config->disks[j];

			if (strcmp(a->path, b->path) == 0 && !(a->readonly && b->readonly))
				problem_add(p,
					    "disk %s and disk %s: both are %s, and not read-only",
					    a->id, b->id, a->path);
		}
	}
}

json_t *config_disks_to_json(const struct vm_config *config)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < config->disk_count; i++) {
		json_t *disk = virtio_blk_config_to_json(&config->disks[i]);

		if (json_array_append_new(array, disk) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}
