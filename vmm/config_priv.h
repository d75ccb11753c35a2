/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of vmm/config.h that collect instead of answering, so that the command line can name
 * what is wrong in the file, in the options and on the host in one message.
 */
#ifndef HOLDFAST_VMM_CONFIG_PRIV_H
#define HOLDFAST_VMM_CONFIG_PRIV_H

#include "base/json.h"
#include "vmm/config.h"

/* vm_config_from_json() into a collection. Values that are wrong leave the field as it was. */
void config_read(json_t *json, struct vm_config *config, struct problems *problems);

/*
 * The devices of which there can be several: adds those of the array `key` to those that config
 * has. config_name_devices() gives them what is missing then.
 */
typedef void config_add_fn(json_t *array, struct vm_config *config, struct problems *problems);
config_add_fn config_add_disks, config_add_nets, config_add_passed;
/* Reads one of them to where it belongs, behind those that config has; path: of it in the document.
 */
typedef void config_read_one_fn(json_t *json, const char *path, struct vm_config *config,
				struct problems *problems);
/* What config_add_fn are made of: each of the array is read, and counted if nothing is wrong with
 * it, up to max. count: of those that config has. */
void config_add_each(json_t *array, const char *key, unsigned int max, unsigned int *count,
		     config_read_one_fn *read_one, struct vm_config *config,
		     struct problems *problems);
/* The function for that key; NULL: of it there is one at most. */
config_add_fn *config_adder(const char *key);
/* Gives each device its id and slot, after all that were given, so that none of them meets a chosen
 * one. */
void config_name_devices(struct vm_config *config, struct problems *problems);
/* Whether the id and the slot that were given, not "" and 0, are free. path: of the device in the
 * document. */
void config_check_place(const struct vm_config *config, const char *path, const char *id,
			unsigned int slot, struct problems *problems);
/* What they need on this host, and what two of them cannot both have. */
void config_check_disks(const struct vm_config *config, struct problems *problems);
void config_check_nets(const struct vm_config *config, struct problems *problems);
void config_check_passed(const struct vm_config *config, struct problems *problems);
/* Cards from that index on, which were asked for with vhost: those of before may do without. */
void config_check_vhost(const struct vm_config *config, unsigned int first,
			struct problems *problems);
/* Keys of confine_config: those that are there go over what is in it; those that are not the
 * default are put into json. */
void config_read_confine(struct json_reader *r, struct confine_config *confine);
void config_confine_to_json(const struct confine_config *confine, json_t *json);
/* "memory": as a size, or with the keys size, hotplug_size and prefault. */
void config_read_memory(struct json_reader *r, struct vm_config *config);
/* New reference; NULL: out of memory. A number where there is no more to say. */
json_t *config_memory_to_json(const struct vm_config *config);
json_t *config_disks_to_json(const struct vm_config *config);
json_t *config_nets_to_json(const struct vm_config *config);
json_t *config_passed_to_json(const struct vm_config *config);

/*
 * vm_config_validate() into a collection. given: the document that was read, or NULL; a key that
 * is in it is not reported as missing.
 */
void config_check(const struct vm_config *config, const json_t *given, struct problems *problems);

/* The part of it that is about devices: what was checked at the start need not be there any more.
 */
void config_check_devices(const struct vm_config *config, struct problems *problems);

/* Relative paths become absolute, since a resumed VM starts in another folder. */
void config_make_absolute(struct vm_config *config, struct problems *problems);

#endif
