/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/registry.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/luod/view.h"

static const char *const status_names[VM_STATUS_MAX] = {
	[VM_STARTING] = "starting",	    [VM_CONNECTED] = "connected",
	[VM_DISCONNECTED] = "disconnected", [VM_STOPPED] = "stopped",
	[VM_PRESERVED] = "preserved",	    [VM_FAILED] = "failed",
};

static const char *const state_names[UPDATE_STATE_MAX] = {
	[UPDATE_LOADING] = "loading",
	[UPDATE_PREPARING] = "preparing",
	[UPDATE_STOPPING_HOST] = "stopping-host",
	[UPDATE_FREEZING] = "freezing",
	[UPDATE_REBOOTING] = "rebooting",
	[UPDATE_RESUMING] = "resuming",
	[UPDATE_UNDOING] = "undoing",
	[UPDATE_DONE] = "done",
	[UPDATE_PARTIAL] = "partial",
	[UPDATE_CHECKED] = "checked",
	[UPDATE_ABORTED] = "aborted",
	[UPDATE_FAILED] = "failed",
};

const char *vm_status_name(enum vm_status status)
{
	return (unsigned int)status < VM_STATUS_MAX ? status_names[status] : "unknown";
}

int vm_status_parse(const char *name, enum vm_status *ret)
{
	for (unsigned int i = 0; i < VM_STATUS_MAX; i++) {
		if (strcmp(name, status_names[i]) == 0) {
			*ret = (enum vm_status)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *update_state_name(enum update_state state)
{
	return (unsigned int)state < UPDATE_STATE_MAX ? state_names[state] : "unknown";
}

int update_state_parse(const char *name, enum update_state *ret)
{
	for (unsigned int i = 0; i < UPDATE_STATE_MAX; i++) {
		if (strcmp(name, state_names[i]) == 0) {
			*ret = (enum update_state)i;
			return 0;
		}
	}
	return -EINVAL;
}

int registry_init(struct registry *reg)
{
	*reg = (struct registry){.history = json_array()};
	return reg->history ? 0 : -ENOMEM;
}

void registry_done(struct registry *reg)
{
	while (reg->vms)
		registry_remove(reg, reg->vms);
	json_decref(reg->history);
	*reg = (struct registry){0};
}

struct vm_record *registry_find(const struct registry *reg, const char *id)
{
	for (struct vm_record *record = reg->vms; record; record = record->next) {
		if (strcmp(record->id, id) == 0)
			return record;
	}
	return NULL;
}

struct vm_record *registry_add(struct registry *reg, const char *id)
{
	struct vm_record **tail = &reg->vms, *record;

	if (reg->vm_count >= REGISTRY_VMS_MAX)
		return NULL;
	record = calloc(1, sizeof(*record));
	if (!record)
		return NULL;
	snprintf(record->id, sizeof(record->id), "%s", id);
	while (*tail)
		tail = &(*tail)->next;
	*tail = record;
	reg->vm_count++;
	return record;
}

/* Takes it out of the list; false: it is not there. */
static bool unlink_record(struct registry *reg, const struct vm_record *record)
{
	struct vm_record **link = &reg->vms;

	while (*link && *link != record)
		link = &(*link)->next;
	if (!*link)
		return false;
	*link = record->next;
	return true;
}

void registry_set_user(struct vm_record *record, const char *text)
{
	struct identity who = {0};

	if (!text[0] || identity_parse(text, &who, NULL) < 0)
		text = "";
	snprintf(record->user, sizeof(record->user), "%s", text);
	record->run_uid = who.uid;
}

void registry_remove(struct registry *reg, struct vm_record *record)
{
	if (!unlink_record(reg, record))
		return;
	reg->vm_count--;
	free(record);
}

void registry_move_first(struct registry *reg, struct vm_record *record)
{
	if (!unlink_record(reg, record))
		return;
	record->next = reg->vms;
	reg->vms = record;
}

void registry_set_text(char *field, size_t size, const char *text)
{
	json_t *check;

	snprintf(field, size, "%s", text);
	check = json_string(field);
	if (!check) {
		for (char *p = field; *p; p++) {
			if ((unsigned char)*p >= 0x80)
				*p = '?';
		}
	}
	json_decref(check);
}

bool update_has_ended(const struct update_record *update)
{
	return update->state >= UPDATE_DONE;
}

void registry_archive_update(struct registry *reg)
{
	json_t *view = update_view(reg), *newest = json_array_get(reg->history, 0);
	const char *id = json_string_value(json_object_get(newest, "id"));

	if (!view)
		return;
	/* One that ended a second time: a VM that had failed was taken up after all. */
	if (id && strcmp(id, reg->update.id) == 0) {
		metrics_count(&reg->metrics, newest, view);
		json_array_remove(reg->history, 0);
	} else {
		metrics_count(&reg->metrics, NULL, view);
	}
	json_array_insert_new(reg->history, 0, view);
	while (json_array_size(reg->history) > REGISTRY_HISTORY_MAX)
		json_array_remove(reg->history, REGISTRY_HISTORY_MAX);
}
