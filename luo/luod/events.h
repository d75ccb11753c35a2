/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens on this host, as a stream: a bounded buffer of the newest events, in the form of
 * server-sent events (WHATWG HTML, section 9.2), that any number of readers go through at their
 * own pace. Events come from comparing the registry with what was told last, so nothing that
 * changes it has to think of them. A reader that falls behind the buffer is told so; nobody waits
 * for it. Loop thread only.
 *
 *   event: vm          data: {"id", "phase", "connected", "preserve", "resume"?, "why"?}
 *   event: vm-removed  data: {"id"}
 *   event: update      data: {"id", "state", "ended"}
 *
 * What happens to a device of a VM leaves no trace in the registry, and is told by itself:
 *
 *   event: device      data: {"id", "device", "host"?, "what", "message"}
 */
#ifndef HOLDFAST_LUOD_EVENTS_H
#define HOLDFAST_LUOD_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "luo/tokens.h"

/* The buffer holds no more than this; the oldest go first. */
#define EVENTS_MAX	 8192
#define EVENTS_BYTES_MAX (1024U * 1024)
/* "<instance of luod>.<number>", with its NUL. */
#define EVENT_ID_SIZE 48

struct agent_device;
struct events;
struct registry;
struct vm_record;

struct event {
	uint64_t seq;
	char vm[LUO_VM_ID_MAX + 1]; /* "": of the whole host */
	uid_t owner;		    /* of that VM */
	size_t length;
	char *text; /* owned: the event with its id line and the empty line that ends it */
};

int events_new(struct events **ret, struct error *err);
void events_free(struct events *events); /* NULL is fine */

/* Adds an event for each difference between the registry and what was told. */
void events_compare(struct events *events, struct registry *reg);

/* Adds one of a device of that VM. */
void events_add_device(struct events *events, const struct vm_record *record,
		       const struct agent_device *device);

/* The number of the newest event, 0 before the first. */
uint64_t events_newest(const struct events *events);
void events_id(const struct events *events, uint64_t seq, char id[EVENT_ID_SIZE]);
/*
 * Where a reader that has seen `id` goes on: *ret_seq is the number that it has seen. -ESTALE: of
 * another luod, or no more in the buffer; -EINVAL: it is no id. Then *ret_seq is the newest.
 */
int events_find(const struct events *events, const char *id, uint64_t *ret_seq);
/* The first event after seq; NULL: there is none yet. *ret_lost: there was one that is gone. */
const struct event *events_after(const struct events *events, uint64_t seq, bool *ret_lost);

#endif
