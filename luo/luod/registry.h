/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What luod knows: the VMs of this host, the update under way and those of the past. It is carried
 * into the next kernel in the session "luod" (registry_memfd.h) and, for a luod that is started
 * again on the same kernel, in a file under /run (state_file.h): both hold the document of
 * registry_to_json().
 *
 * Loop thread only. Records are owned by the registry; their addresses stay the same while they
 * live.
 */
#ifndef HOLDFAST_LUOD_REGISTRY_H
#define HOLDFAST_LUOD_REGISTRY_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/confine/privileges.h"
#include "base/error.h"
#include "luo/agent.h"
#include "luo/luod/metrics.h"
#include "luo/timeline.h"
#include "luo/tokens.h"

#define REGISTRY_VMS_MAX     4096
#define REGISTRY_HISTORY_MAX 8	/* updates of the past */
#define UPDATE_ID_SIZE	     37 /* a UUID and its terminator */
#define RELEASE_SIZE	     65 /* struct utsname */

/* What luod makes of a VM; what its vmm says of itself is the phase. */
enum vm_status {
	VM_STARTING,	 /* its vmm was started and has not said hello */
	VM_CONNECTED,	 /* its vmm is there; the phase tells the rest */
	VM_DISCONNECTED, /* the connection is gone, the process may not be */
	VM_STOPPED,	 /* ended; `why` tells how */
	VM_PRESERVED,	 /* handed over by the previous kernel, not taken up yet */
	VM_FAILED,	 /* could not be started or taken up; `why` tells the reason */
	VM_STATUS_MAX,
};

const char *vm_status_name(enum vm_status status);
int vm_status_parse(const char *name, enum vm_status *ret);

struct vm;
struct event_told;

struct vm_record {
	struct vm_record *next;
	struct vm *vm;		 /* its connection and session (vm.h); not carried */
	struct event_told *told; /* what clients know of it (events.h); not carried */
	char id[LUO_VM_ID_MAX + 1];
	enum vm_status status;
	enum agent_phase phase;
	bool preserve;	    /* may be taken through an update */
	bool keeps_devices; /* has devices of the host with policy=preserve */
	bool in_update;	    /* belongs to the current update */
	bool resume; /* its memory is in the session vm:<id> of the previous kernel, or in a file */
	char snapshot[PATH_MAX]; /* that file; "" for none */
	char binary[PATH_MAX];
	char config[PATH_MAX]; /* configuration it was started with; "" when others started it */
	char api_socket[PATH_MAX];
	char version[64];
	pid_t pid; /* 0: none */
	uint64_t memory;
	uint32_t cpus;
	char user[PRIVILEGES_USER_MAX]; /* whom its vmm becomes, as identity_parse() has it; "":
					 * root
					 */
	uid_t run_uid;			/* of that user; 0: none */
	uid_t owner;			/* who may read it and act on it, beside root */
	struct timeline timeline;	/* of the current or last update */
	char why[ERROR_MESSAGE_MAX];
};

enum update_state {
	UPDATE_LOADING,
	UPDATE_PREPARING,
	UPDATE_STOPPING_HOST, /* systemd stops all but the guests */
	UPDATE_FREEZING,
	UPDATE_REBOOTING,
	UPDATE_RESUMING, /* in the next kernel */
	UPDATE_UNDOING,
	UPDATE_DONE,	/* from here on: ended */
	UPDATE_PARTIAL, /* in the next kernel, and not every VM goes on */
	UPDATE_CHECKED, /* a dry run that found nothing in the way */
	UPDATE_ABORTED, /* by the operator */
	UPDATE_FAILED,
	UPDATE_STATE_MAX,
};

const char *update_state_name(enum update_state state);
int update_state_parse(const char *name, enum update_state *ret);

struct update_record {
	char id[UPDATE_ID_SIZE]; /* "": there is none */
	enum update_state state;
	uint64_t started_ns;	  /* CLOCK_REALTIME */
	uint64_t kexec_begin_tsc; /* 0: did not come to it */
	uint64_t kexec_end_tsc;
	unsigned int at_once;	 /* VMs that are prepared or taken up side by side; 0: not told */
	char from[RELEASE_SIZE]; /* uname -r */
	char to[RELEASE_SIZE];
	char why[ERROR_MESSAGE_MAX];
};

struct registry {
	struct vm_record *vms; /* in the order in which they came */
	unsigned int vm_count;
	struct update_record update; /* the current or last one */
	json_t *history; /* owned array of views as update_view() makes them, newest first */
	struct metrics metrics;
	uint64_t tsc_khz;
};

int registry_init(struct registry *reg);
/* Frees the records; their `vm` must be gone. */
void registry_done(struct registry *reg);

struct vm_record *registry_find(const struct registry *reg, const char *id);
/* New record, or NULL when there are too many or memory is short. */
struct vm_record *registry_add(struct registry *reg, const char *id);
/* Which user its vmm becomes; text that names none is kept as "". */
void registry_set_user(struct vm_record *record, const char *text);
void registry_remove(struct registry *reg, struct vm_record *record);
void registry_move_first(struct registry *reg, struct vm_record *record);

/*
 * Copies text that came from elsewhere into a field, cut to its size. What is not UTF-8 is
 * replaced: no name of a file and no message may keep the registry from being written.
 */
void registry_set_text(char *field, size_t size, const char *text);

bool update_has_ended(const struct update_record *update);
/* Puts the update that has ended into the history and counts it. */
void registry_archive_update(struct registry *reg);

/*
 * The whole as a document, or with only_update just the VMs of the current update, and no history:
 * what guests wait for in the next kernel. New reference, NULL when out of memory.
 */
json_t *registry_to_json(const struct registry *reg, bool only_update);
/* Reads into *reg, which is empty before; hostile until checked. On error it stays empty. */
int registry_from_json(json_t *json, struct registry *reg, struct error *err);
/* The history alone, into a registry that has none; none on error. */
int registry_history_from_json(json_t *array, struct registry *reg, struct error *err);

#endif
