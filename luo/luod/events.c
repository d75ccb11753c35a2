/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "luo/agent.h"
#include "luo/luod/registry.h"
#include "luo/luod/view.h"

/* What was told of a VM last. A record that goes away leaves it behind, to be found. */
struct event_told {
	struct event_told *next;
	char id[LUO_VM_ID_MAX + 1];
	uid_t owner;
	uint64_t pass; /* the comparison that met it last */
	json_t *data;  /* owned */
};

struct events {
	uint64_t instance; /* tells the ids of this luod from those of another */
	uint64_t newest;
	uint64_t pass;
	size_t bytes;
	unsigned int count;
	struct event ring[EVENTS_MAX]; /* event number n is at n % EVENTS_MAX */
	struct event_told *told;
	json_t *update; /* owned: what was told of the update */
};

int events_new(struct events **ret, struct error *err)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events)
		return error_set(err, -ENOMEM, "events: out of memory");
	events->instance = clock_realtime_ns();
	*ret = events;
	return 0;
}

static void drop_oldest(struct events *events)
{
	struct event *oldest = &events->ring[(events->newest - events->count + 1) % EVENTS_MAX];

	events->bytes -= oldest->length;
	events->count--;
	free(oldest->text);
	*oldest = (struct event){0};
}

void events_free(struct events *events)
{
	if (!events)
		return;
	while (events->count)
		drop_oldest(events);
	while (events->told) {
		struct event_told *told = events->told;

		events->told = told->next;
		json_decref(told->data);
		free(told);
	}
	json_decref(events->update);
	free(events);
}

void events_id(const struct events *events, uint64_t seq, char id[EVENT_ID_SIZE])
{
	snprintf(id, EVENT_ID_SIZE, "%" PRIx64 ".%" PRIu64, events->instance, seq);
}

/* What finds no memory is left out; a reader sees the gap by nothing but its number. */
static void add(struct events *events, const char *kind, const char *vm, uid_t owner,
		const json_t *data)
{
	_cleanup_free_ char *json = json_dumps(data, JSON_COMPACT);
	struct event event = {.seq = events->newest + 1, .owner = owner};
	char id[EVENT_ID_SIZE];
	int n;

	events_id(events, event.seq, id);
	n = json ? asprintf(&event.text, "id: %s\nevent: %s\ndata: %s\n\n", id, kind, json) : -1;
	if (n < 0)
		return;
	event.length = (size_t)n;
	snprintf(event.vm, sizeof(event.vm), "%s", vm);
	while (events->count == EVENTS_MAX ||
	       (events->count && events->bytes + event.length > EVENTS_BYTES_MAX))
		drop_oldest(events);
	events->newest = event.seq;
	events->ring[event.seq % EVENTS_MAX] = event;
	events->count++;
	events->bytes += event.length;
}

static void compare_vm(struct events *events, struct vm_record *record)
{
	json_t *data = vm_event_view(record);
	struct event_told *told = record->told;

	if (!told) {
		told = calloc(1, sizeof(*told));
		if (!told) {
			json_decref(data);
			return;
		}
		snprintf(told->id, sizeof(told->id), "%s", record->id);
		told->next = events->told;
		events->told = record->told = told;
	}
	told->pass = events->pass;
	told->owner = record->owner;
	if (data && !json_equal(told->data, data)) {
		add(events, "vm", record->id, record->owner, data);
		json_decref(told->data);
		told->data = json_incref(data);
	}
	json_decref(data);
}

/* Those whose records are gone. */
static void tell_removed(struct events *events)
{
	struct event_told **link = &events->told;

	while (*link) {
		struct event_told *told = *link;
		json_t *data;

		if (told->pass == events->pass) {
			link = &told->next;
			continue;
		}
		data = json_pack("{s:s}", "id", told->id);
		if (data)
			add(events, "vm-removed", told->id, told->owner, data);
		json_decref(data);
		json_decref(told->data);
		*link = told->next;
		free(told);
	}
}

static void compare_update(struct events *events, const struct registry *reg)
{
	const struct update_record *update = &reg->update;
	json_t *data;

	if (!update->id[0])
		return;
	data = json_pack("{s:s, s:s, s:b}", "id", update->id, "state",
			 update_state_name(update->state), "ended", update_has_ended(update));
	if (data && !json_equal(events->update, data)) {
		add(events, "update", "", 0, data);
		json_decref(events->update);
		events->update = json_incref(data);
	}
	json_decref(data);
}

void events_compare(struct events *events, struct registry *reg)
{
	events->pass++;
	/* First who is gone: a new VM may have the name of one that was forgotten. */
	for (struct vm_record *record = reg->vms; record; record = record->next) {
		if (record->told)
			record->told->pass = events->pass;
	}
	tell_removed(events);
	for (struct vm_record *record = reg->vms; record; record = record->next)
		compare_vm(events, record);
	/* Last: who hears that an update has ended has heard of its VMs. */
	compare_update(events, reg);
}

void events_add_device(struct events *events, const struct vm_record *record,
		       const struct agent_device *device)
{
	json_t *data =
		json_pack("{s:s, s:s, s:s, s:s}", "id", record->id, "device", device->id, "what",
			  agent_device_what_name(device->what), "message", device->message);

	if (data && device->host[0])
		json_object_set_new(data, "host", json_string(device->host));
	if (data)
		add(events, "device", record->id, record->owner, data);
	json_decref(data);
}

uint64_t events_newest(const struct events *events)
{
	return events->newest;
}

int events_find(const struct events *events, const char *id, uint64_t *ret_seq)
{
	uint64_t instance, seq;
	char end;

	*ret_seq = events->newest;
	if (sscanf(id, "%" SCNx64 ".%" SCNu64 "%c", &instance, &seq, &end) != 2)
		return -EINVAL;
	if (instance != events->instance || seq > events->newest ||
	    seq < events->newest - events->count)
		return -ESTALE;
	*ret_seq = seq;
	return 0;
}

const struct event *events_after(const struct events *events, uint64_t seq, bool *ret_lost)
{
	*ret_lost = seq < events->newest - events->count;
	if (*ret_lost || seq >= events->newest)
		return NULL;
	return &events->ring[(seq + 1) % EVENTS_MAX];
}
