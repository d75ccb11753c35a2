/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM tells about itself. */
#include "base/util.h"
#include "base/version.h"
#include "vmm/vm_priv.h"

bool vm_has_table(const struct vm *vm)
{
	return steps_have_table(vm->steps);
}

int vm_session(const struct vm *vm)
{
	return steps_session(vm->steps);
}

unsigned int vm_exported(const struct vm *vm, const struct source_entry **ret)
{
	return update_phase(vm->update) == UPDATE_PREPARED ? steps_table(vm->steps, ret) : 0;
}

enum update_phase vm_phase(const struct vm *vm)
{
	return update_phase(vm->update);
}

const struct vm_config *vm_config(const struct vm *vm)
{
	return &vm->parts.config;
}

const struct timeline *vm_timeline(const struct vm *vm)
{
	return update_timeline(vm->update);
}

uint32_t vm_tsc_khz(const struct vm *vm)
{
	return vm->parts.machine ? machine_tsc_khz(vm->parts.machine) : 0;
}

bool vm_holds_only_copy(const struct vm *vm)
{
	enum update_phase phase = update_phase(vm->update);

	if (phase == UPDATE_FROZEN || phase == UPDATE_FREEZING || phase == UPDATE_RELEASED)
		return true;
	/* Released, and could not be taken back: luod may be gone, and its duplicates with it. */
	if (phase == UPDATE_FAILED && steps_have_table(vm->steps))
		return true;
	/* The file is. */
	if (steps_have_snapshot(vm->steps))
		return false;
	/* The agent has a duplicate of a session that it passed. */
	if (!vm->own_session)
		return false;
	if (phase == UPDATE_WAITING)
		return update_is_busy(vm->update);
	return phase == UPDATE_RETRIEVED || phase == UPDATE_LOADED ||
	       (phase == UPDATE_FAILED &&
		(update_is_busy(vm->update) || steps_session_is_open(vm->steps)));
}

static const char *state_name(const struct vm *vm)
{
	if (!vm->parts.machine)
		return "Created";
	return machine_is_running(vm->parts.machine) ? "Running" : "Paused";
}

json_t *vm_info_json(const struct vm *vm)
{
	struct vm_parts now = vm->parts;
	json_t *info;

	if (now.machine)
		vm_parts_learn(&now);
	info = json_pack("{ss ss ss si ss so}", "id", vm->parts.config.id, "state", state_name(vm),
			 "phase", update_phase_name(update_phase(vm->update)), "pid", (int)getpid(),
			 "version", HOLDFAST_VERSION, "config", vm_config_to_json(&now.config));

	if (info)
		json_object_set_new(info, "memory_actual_size",
				    json_integer((json_int_t)vm_config_memory(&now.config)));
	if (info && vm->parts.machine)
		json_object_set_new(info, "console",
				    json_string(machine_console(vm->parts.machine)));
	if (info && vm->parts.machine && machine_hvc(vm->parts.machine))
		json_object_set_new(info, "hvc", json_string(machine_hvc(vm->parts.machine)));
	return info;
}

json_t *vm_counters_json(const struct vm *vm)
{
	return vm->parts.machine ? machine_counters(vm->parts.machine) : json_object();
}

json_t *vm_balloon_statistics_json(const struct vm *vm)
{
	return vm->parts.machine ? machine_balloon_statistics(vm->parts.machine) : NULL;
}

json_t *vm_timeline_json(const struct vm *vm)
{
	return json_pack("{ss sI so}", "id", vm->parts.config.id, "tsc-khz",
			 (json_int_t)vm_tsc_khz(vm), "phases",
			 timeline_to_json(update_timeline(vm->update)));
}
