/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that come and go while the guest runs, and memory that comes. */
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/config_priv.h"
#include "vmm/confine/confine.h"
#include "vmm/vm_priv.h"

/* What is prepared is a file as large as the machine's state was then. */
static int need_quiet(const struct vm *vm, struct error *err)
{
	enum update_phase phase = update_phase(vm->update);

	if (vm->parts.machine && phase == UPDATE_RUNNING && !update_is_busy(vm->update))
		return 0;
	return error_set(err, -EBUSY,
			 "cannot change devices or memory in phase %s, only in running",
			 update_phase_name(phase));
}

static void check_key(const struct vm_config *config, const char *key, struct problems *problems)
{
	int has = vm_config_has_device(config, key);

	if (has < 0)
		problem_add(problems, "%s: is no device that can be plugged in", key);
	else if (has)
		problem_add(problems, "%s: the VM has one already", key);
}

/* Over what is there, but for those of which there can be several: they come to those that are
 * there. */
static void read_values(json_t *devices, struct vm_config *config, struct problems *problems)
{
	json_t *others = json_copy(devices);
	const char *key;
	json_t *value;

	json_object_foreach(devices, key, value)
	{
		config_add_fn *add = config_adder(key);

		if (!add || !json_is_array(value))
			continue;
		json_object_del(others, key);
		add(value, config, problems);
	}
	config_read(others, config, problems);
	config_make_absolute(config, problems);
	json_decref(others);
}

/* The configuration with these devices. */
static int read_devices(json_t *devices, struct vm_config *config, struct error *err)
{
	struct problems problems = {0};
	unsigned int nets = config->net_count;
	const char *key;
	json_t *value;

	if (json_object_size(devices) == 0)
		problem_add(&problems, "no device was given");
	json_object_foreach(devices, key, value)
	{
		check_key(config, key, &problems);
	}
	if (problems.count == 0)
		read_values(devices, config, &problems);
	if (problems.count == 0) {
		json_object_foreach(devices, key, value)
		{
			if (config_adder(key) ? json_array_size(value) == 0
					      : !vm_config_has_device(config, key))
				problem_add(&problems, "%s: off cannot be plugged in", key);
		}
	}
	if (problems.count == 0) {
		config_check_devices(config, &problems);
		config_check_vhost(config, nets, &problems);
	}
	return problems_result(&problems, err);
}

void vm_config_changed(struct vm *vm)
{
	vm_parts_learn(&vm->parts);
	if (vm->callbacks->config)
		vm->callbacks->config(vm->opaque);
}

int vm_add_devices(struct vm *vm, json_t *devices, struct error *err)
{
	struct vm_config config;
	int r = need_quiet(vm, err);

	if (r < 0)
		return r;
	config = *machine_config(vm->parts.machine);
	r = read_devices(devices, &config, err);
	if (r == 0)
		vm_config_decide(&config);
	if (r == 0)
		r = machine_plug(vm->parts.machine, &config, err);
	confine_explain(&config, r, err);
	if (r < 0)
		return r;
	vm_config_changed(vm);
	if (machine_hvc(vm->parts.machine))
		log_info("hvc: %s", machine_hvc(vm->parts.machine));
	return 0;
}

int vm_remove_device(struct vm *vm, const char *device, struct error *err)
{
	int r = need_quiet(vm, err);

	return r < 0 ? r : machine_request_unplug(vm->parts.machine, device, err);
}

int vm_resize_disk(struct vm *vm, const char *id, uint64_t size, struct error *err)
{
	int r = need_quiet(vm, err);

	return r < 0 ? r : machine_resize_disk(vm->parts.machine, id, size, err);
}

int vm_resize_memory(struct vm *vm, uint64_t size, struct error *err)
{
	int r = need_quiet(vm, err);

	if (r == 0)
		r = machine_resize_memory(vm->parts.machine, size, err);
	if (r == 0)
		vm_config_changed(vm);
	return r;
}

int vm_resize_balloon(struct vm *vm, uint64_t size, struct error *err)
{
	int r = need_quiet(vm, err);

	if (r == 0)
		r = machine_resize_balloon(vm->parts.machine, size, err);
	if (r == 0)
		vm_parts_learn(&vm->parts);
	return r;
}
