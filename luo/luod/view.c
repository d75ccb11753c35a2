/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/view.h"

#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "luo/luod/vm.h"

static double to_ms(uint64_t ticks, uint64_t tsc_khz)
{
	return (double)ticks / (double)tsc_khz;
}

json_t *timeline_view(const struct timeline *timeline, uint64_t tsc_khz)
{
	json_t *array = timeline_to_json(timeline);
	size_t count = json_array_size(array);

	for (size_t i = 0; tsc_khz && i < count; i++) {
		json_t *entry = json_array_get(array, i);
		json_t *begin = json_object_get(entry, "begin"),
		       *end = json_object_get(entry, "end");

		if (end)
			json_object_set_new(entry, "ms",
					    json_real(to_ms((uint64_t)(json_integer_value(end) -
								       json_integer_value(begin)),
							    tsc_khz)));
	}
	return array;
}

/* What a client calls the phase: what the vmm says while it is there, else what luod knows. */
static const char *shown_phase(const struct vm_record *record)
{
	return record->status == VM_CONNECTED ? agent_phase_name(record->phase)
					      : vm_status_name(record->status);
}

static void set_timeline(json_t *view, const struct registry *reg, const struct vm_record *record)
{
	uint64_t blackout = timeline_blackout_tsc(&record->timeline);

	json_object_set_new(view, "timeline", timeline_view(&record->timeline, reg->tsc_khz));
	if (blackout && reg->tsc_khz)
		json_object_set_new(view, "blackout-ms", json_real(to_ms(blackout, reg->tsc_khz)));
}

json_t *vm_event_view(const struct vm_record *record)
{
	json_t *view = json_pack("{s:s, s:s, s:b, s:b}", "id", record->id, "phase",
				 shown_phase(record), "connected", record->status == VM_CONNECTED,
				 "preserve", record->preserve);

	if (view && record->resume)
		json_object_set_new(view, "resume", json_true());
	if (view && record->why[0])
		json_object_set_new(view, "why", json_string(record->why));
	return view;
}

/* The last exchange of its vmm. */
static json_t *upgrade_view(const struct vm *vm)
{
	static const char *const names[] = {
		[UPGRADE_UNDER_WAY] = "under-way",
		[UPGRADE_DONE] = "done",
		[UPGRADE_FAILED] = "failed",
	};
	json_t *view = json_pack("{s:s, s:s}", "state", names[vm->upgraded.state], "vmm",
				 vm->upgraded.binary);

	if (view && vm->upgraded.why[0])
		json_object_set_new(view, "why", json_string(vm->upgraded.why));
	return view;
}

json_t *vm_view(const struct registry *reg, const struct vm_record *record)
{
	json_t *view = json_pack(
		"{s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:s, s:s, s:s}", "id", record->id, "phase",
		shown_phase(record), "connected", record->status == VM_CONNECTED, "preserve",
		record->preserve, "pid", (json_int_t)record->pid, "memory",
		(json_int_t)record->memory, "cpus", (json_int_t)record->cpus, "vmm", record->binary,
		"version", record->version, "api-socket", record->api_socket);

	if (!view)
		return NULL;
	if (record->config[0])
		json_object_set_new(view, "config", json_string(record->config));
	json_object_set_new(view, "owner", json_integer((json_int_t)record->owner));
	if (record->keeps_devices)
		json_object_set_new(view, "keeps-devices", json_true());
	if (record->resume)
		json_object_set_new(view, "resume", json_true());
	if (record->snapshot[0])
		json_object_set_new(view, "snapshot", json_string(record->snapshot));
	if (record->why[0])
		json_object_set_new(view, "why", json_string(record->why));
	set_timeline(view, reg, record);
	if (record->vm && record->vm->upgraded.state != UPGRADE_NONE)
		json_object_set_new(view, "upgrade", upgrade_view(record->vm));
	return view;
}

static json_t *vms_of_update(const struct registry *reg)
{
	json_t *vms = json_array();

	for (const struct vm_record *record = reg->vms; vms && record; record = record->next) {
		json_t *vm;

		if (!record->in_update)
			continue;
		vm = json_pack("{s:s, s:s}", "id", record->id, "phase", shown_phase(record));
		if (!vm)
			continue;
		if (record->why[0])
			json_object_set_new(vm, "why", json_string(record->why));
		set_timeline(vm, reg, record);
		json_array_append_new(vms, vm);
	}
	return vms;
}

json_t *update_view(const struct registry *reg)
{
	const struct update_record *update = &reg->update;
	json_t *view;

	view = json_pack("{s:s, s:s, s:b, s:I, s:s, s:s, s:I, s:o}", "id", update->id, "state",
			 update_state_name(update->state), "ended", update_has_ended(update),
			 "started-ns", (json_int_t)update->started_ns, "from", update->from, "to",
			 update->to, "tsc-khz", (json_int_t)reg->tsc_khz, "vms",
			 vms_of_update(reg));
	if (!view)
		return NULL;
	if (update->why[0])
		json_object_set_new(view, "why", json_string(update->why));
	if (update->kexec_begin_tsc && update->kexec_end_tsc > update->kexec_begin_tsc) {
		struct timeline kexec = {0};

		kexec.phases[TIMELINE_KEXEC].begin_tsc = update->kexec_begin_tsc;
		kexec.phases[TIMELINE_KEXEC].end_tsc = update->kexec_end_tsc;
		json_object_set_new(view, "timeline", timeline_view(&kexec, reg->tsc_khz));
	}
	return view;
}

static void check_phases(json_t *array, const char *path, struct problems *problems)
{
	struct error err = ERROR_INIT;
	struct timeline timeline;
	json_t *plain = json_array(), *entry;
	size_t i;

	/* "ms" is ours on top of what a timeline is. */
	json_array_foreach(array, i, entry)
	{
		json_t *copy = json_copy(entry);
		json_t *ms = json_object_get(copy, "ms");

		if (ms && !json_is_real(ms))
			problem_add(problems, "%s: \"ms\" is no real number", path);
		json_object_del(copy, "ms");
		json_array_append_new(plain, copy);
	}
	if (timeline_from_json(plain, &timeline, &err) < 0)
		problem_add(problems, "%s: %s", path, error_message(&err));
	json_decref(plain);
}

static void check_vm(json_t *vm, const char *path, struct problems *problems)
{
	struct json_reader r;
	json_t *blackout;

	json_reader_init(&r, vm, path, problems);
	if (!agent_id_is_valid(json_get_string(&r, "id", "", LUO_VM_ID_MAX + 1)))
		problem_add(problems, "%s.id: not valid", path);
	json_get_string(&r, "phase", "", 32);
	json_get_string(&r, "why", "", ERROR_MESSAGE_MAX);
	check_phases(json_get_array(&r, "timeline"), path, problems);
	blackout = json_has(&r, "blackout-ms") ? json_object_get(vm, "blackout-ms") : NULL;
	if (blackout && !json_is_real(blackout))
		problem_add(problems, "%s.blackout-ms: is no real number", path);
	r.known[r.known_count++] = "blackout-ms";
	json_reader_end(&r);
}

int update_view_check(json_t *view, struct error *err)
{
	struct problems problems = {0};
	enum update_state state;
	struct json_reader r;
	json_t *vms, *vm;
	size_t i;

	json_reader_init(&r, view, "", &problems);
	json_get_string(&r, "id", "", UPDATE_ID_SIZE);
	if (update_state_parse(json_get_string(&r, "state", "", 32), &state) < 0)
		problem_add(&problems, "state: unknown");
	json_get_bool(&r, "ended", false);
	json_get_u64(&r, "started-ns", 0, 0, INT64_MAX);
	json_get_string(&r, "from", "", RELEASE_SIZE);
	json_get_string(&r, "to", "", RELEASE_SIZE);
	json_get_string(&r, "why", "", ERROR_MESSAGE_MAX);
	json_get_u64(&r, "tsc-khz", 0, 0, UINT32_MAX);
	check_phases(json_get_array(&r, "timeline"), "timeline", &problems);
	vms = json_get_array(&r, "vms");
	json_array_foreach(vms, i, vm)
	{
		char path[32];

		snprintf(path, sizeof(path), "vms[%zu]", i);
		check_vm(vm, path, &problems);
	}
	json_reader_end(&r);
	return problems_result(&problems, err);
}
