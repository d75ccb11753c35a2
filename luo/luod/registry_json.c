/* SPDX-License-Identifier: Apache-2.0 */
/* The registry as a document, and back with every field checked. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "luo/luod/registry.h"
#include "luo/luod/view.h"

#define REGISTRY_FORMAT	 "holdfast-registry"
#define REGISTRY_VERSION 1

static json_t *record_to_json(const struct vm_record *record)
{
	json_t *json = json_pack(
		"{s:s, s:s, s:s, s:b, s:b, s:b, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:o,"
		" s:s}",
		"id", record->id, "status", vm_status_name(record->status), "phase",
		agent_phase_name(record->phase), "preserve", record->preserve, "in-update",
		record->in_update, "resume", record->resume, "binary", record->binary, "config",
		record->config, "api-socket", record->api_socket, "version", record->version, "pid",
		(json_int_t)record->pid, "memory", (json_int_t)record->memory, "cpus",
		(json_int_t)record->cpus, "timeline", timeline_to_json(&record->timeline), "why",
		record->why);

	/* Root's is left out, so that a luod that knows no owners can read it. */
	if (json && record->owner)
		json_object_set_new(json, "owner", json_integer((json_int_t)record->owner));
	if (json && record->user[0])
		json_object_set_new(json, "user", json_string(record->user));
	if (json && record->keeps_devices)
		json_object_set_new(json, "keeps-devices", json_true());
	/* So are those that are not there. */
	if (json && record->snapshot[0])
		json_object_set_new(json, "snapshot", json_string(record->snapshot));
	return json;
}

static json_t *update_to_json(const struct update_record *update)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:i, s:s, s:s, s:s}", "id", update->id, "state",
			 update_state_name(update->state), "started-ns",
			 (json_int_t)update->started_ns, "kexec-begin",
			 (json_int_t)update->kexec_begin_tsc, "kexec-end",
			 (json_int_t)update->kexec_end_tsc, "at-once", (int)update->at_once, "from",
			 update->from, "to", update->to, "why", update->why);
}

json_t *registry_to_json(const struct registry *reg, bool only_update)
{
	json_t *vms = json_array(), *doc;

	for (const struct vm_record *record = reg->vms; vms && record; record = record->next) {
		if (only_update && !record->in_update)
			continue;
		if (json_array_append_new(vms, record_to_json(record)) < 0) {
			json_decref(vms);
			return NULL;
		}
	}
	doc = json_pack("{s:s, s:i, s:I, s:o, s:o}", "format", REGISTRY_FORMAT, "version",
			REGISTRY_VERSION, "tsc-khz", (json_int_t)reg->tsc_khz, "vms", vms,
			"metrics", metrics_to_json(&reg->metrics));
	if (doc && !only_update)
		json_object_set(doc, "history", reg->history);
	if (doc && reg->update.id[0])
		json_object_set_new(doc, "update", update_to_json(&reg->update));
	return doc;
}

static void copy_string(struct json_reader *r, const char *key, char *dst, size_t size)
{
	snprintf(dst, size, "%s", json_get_string(r, key, "", size));
}

static void read_record(json_t *json, const char *path, struct registry *reg,
			struct problems *problems)
{
	struct vm_record *record;
	struct error err = ERROR_INIT;
	struct json_reader r;
	const char *id, *status, *phase;

	json_reader_init(&r, json, path, problems);
	id = json_get_string(&r, "id", "", LUO_VM_ID_MAX + 1);
	if (!agent_id_is_valid(id) || registry_find(reg, id)) {
		problem_add(problems, "%s.id: not valid, or there twice", path);
		return;
	}
	record = registry_add(reg, id);
	if (!record) {
		problem_add(problems, "%s: too many VMs", path);
		return;
	}
	status = json_get_string(&r, "status", "", 32);
	if (vm_status_parse(status, &record->status) < 0)
		problem_add(problems, "%s.status: unknown \"%s\"", path, status);
	phase = json_get_string(&r, "phase", "", 32);
	if (agent_phase_parse(phase, &record->phase) < 0)
		problem_add(problems, "%s.phase: unknown \"%s\"", path, phase);
	record->preserve = json_get_bool(&r, "preserve", false);
	record->keeps_devices = json_get_bool(&r, "keeps-devices", false);
	record->in_update = json_get_bool(&r, "in-update", false);
	record->resume = json_get_bool(&r, "resume", false);
	copy_string(&r, "binary", record->binary, sizeof(record->binary));
	copy_string(&r, "config", record->config, sizeof(record->config));
	copy_string(&r, "api-socket", record->api_socket, sizeof(record->api_socket));
	copy_string(&r, "version", record->version, sizeof(record->version));
	copy_string(&r, "snapshot", record->snapshot, sizeof(record->snapshot));
	copy_string(&r, "why", record->why, sizeof(record->why));
	record->pid = (pid_t)json_get_u64(&r, "pid", 0, 0, INT32_MAX);
	record->memory = json_get_u64(&r, "memory", 0, 0, INT64_MAX);
	record->cpus = (uint32_t)json_get_u64(&r, "cpus", 0, 0, UINT16_MAX);
	record->owner = (uid_t)json_get_u64(&r, "owner", 0, 0, UINT32_MAX - 1);
	registry_set_user(record, json_get_string(&r, "user", "", PRIVILEGES_USER_MAX));
	if (timeline_from_json(json_get_array(&r, "timeline"), &record->timeline, &err) < 0)
		problem_add(problems, "%s: %s", path, error_message(&err));
	json_reader_end(&r);
}

static void read_update(json_t *json, struct update_record *update, struct problems *problems)
{
	struct json_reader r;
	const char *state;

	json_reader_init(&r, json, "update", problems);
	copy_string(&r, "id", update->id, sizeof(update->id));
	state = json_get_string(&r, "state", "", 32);
	if (update_state_parse(state, &update->state) < 0)
		problem_add(problems, "update.state: unknown \"%s\"", state);
	update->started_ns = json_get_u64(&r, "started-ns", 0, 0, INT64_MAX);
	update->kexec_begin_tsc = json_get_u64(&r, "kexec-begin", 0, 0, INT64_MAX);
	update->kexec_end_tsc = json_get_u64(&r, "kexec-end", 0, 0, INT64_MAX);
	update->at_once = (unsigned int)json_get_u64(&r, "at-once", 0, 0, INT32_MAX);
	copy_string(&r, "from", update->from, sizeof(update->from));
	copy_string(&r, "to", update->to, sizeof(update->to));
	copy_string(&r, "why", update->why, sizeof(update->why));
	json_reader_end(&r);
}

static void read_vms(json_t *array, struct registry *reg, struct problems *problems)
{
	size_t count = json_array_size(array);

	if (!array)
		problem_add(problems, "vms: missing");
	if (count > REGISTRY_VMS_MAX) {
		problem_add(problems, "vms: more than %d", REGISTRY_VMS_MAX);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		char path[32];

		snprintf(path, sizeof(path), "vms[%zu]", i);
		read_record(json_array_get(array, i), path, reg, problems);
	}
}

static void read_history(json_t *array, struct registry *reg, struct problems *problems)
{
	size_t count = json_array_size(array);

	if (count > REGISTRY_HISTORY_MAX)
		problem_add(problems, "history: more than %d updates", REGISTRY_HISTORY_MAX);
	for (size_t i = 0; i < count && i < REGISTRY_HISTORY_MAX; i++) {
		json_t *entry = json_array_get(array, i);
		struct error err = ERROR_INIT;

		if (update_view_check(entry, &err) < 0)
			problem_add(problems, "history[%zu]: %s", i, error_message(&err));
		else
			json_array_append(reg->history, entry);
	}
}

int registry_history_from_json(json_t *array, struct registry *reg, struct error *err)
{
	struct problems problems = {0};

	if (!json_is_array(array))
		return error_set(err, -EBADMSG, "registry: its history is no array");
	read_history(array, reg, &problems);
	if (!problems.count)
		return 0;
	json_array_clear(reg->history);
	return error_set(err, -EBADMSG, "registry: %s", problems.text);
}

static void read_metrics(json_t *json, struct registry *reg, struct problems *problems)
{
	struct error err = ERROR_INIT;

	if (metrics_from_json(json, &reg->metrics, &err) < 0)
		problem_add(problems, "%s", error_message(&err));
}

int registry_from_json(json_t *json, struct registry *reg, struct error *err)
{
	struct problems problems = {0};
	struct json_reader r;
	const char *format;
	uint64_t version;
	json_t *update;

	json_reader_init(&r, json, "", &problems);
	format = json_get_string(&r, "format", "", 64);
	version = json_get_u64(&r, "version", 0, 0, INT32_MAX);
	if (strcmp(format, REGISTRY_FORMAT) != 0)
		return error_set(err, -EBADMSG, "registry: it is not one (format \"%s\")", format);
	if (version != REGISTRY_VERSION)
		return error_set(err, -EPROTONOSUPPORT,
				 "registry: version %llu, and this luod reads version %d; start the"
				 " luod that goes with the one of the previous kernel",
				 (unsigned long long)version, REGISTRY_VERSION);
	reg->tsc_khz = json_get_u64(&r, "tsc-khz", 0, 0, UINT32_MAX);
	read_vms(json_get_array(&r, "vms"), reg, &problems);
	read_history(json_get_array(&r, "history"), reg, &problems);
	read_metrics(json_get_object(&r, "metrics"), reg, &problems);
	update = json_get_object(&r, "update");
	if (update)
		read_update(update, &reg->update, &problems);
	json_reader_end(&r);
	if (!problems.count)
		return 0;
	registry_done(reg);
	registry_init(reg);
	return error_set(err, -EBADMSG, "registry: %s", problems.text);
}
