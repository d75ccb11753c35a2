/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM as its owner sees it: it boots or is resumed, is asked for things by API, agent and
 * signals, and ends. Machines come and go beneath it (a guest's reset makes a new one). All on the
 * loop's thread.
 */
#ifndef HOLDFAST_VMM_VM_H
#define HOLDFAST_VMM_VM_H

#include <jansson.h>
#include <stdbool.h>

#include "base/loop.h"
#include "vmm/config.h"
#include "vmm/device_news.h"
#include "vmm/update/phases.h"
#include "vmm/update/source.h"

struct vm;

enum vm_verb {
	VM_PAUSE,
	VM_RESUME,
	VM_POWER_BUTTON,
	VM_REBOOT,
	VM_SHUTDOWN, /* off at once, as if the plug was pulled */
	VM_PREPARE,
	VM_FREEZE,
	VM_THAW,
	VM_ABORT,
	VM_RESUME_PRESERVED,
	VM_FINISH,
	VM_EXPORT,  /* prepare for an exchange of the vmm: see vm_exported() */
	VM_ADOPT,   /* take over what another vmm exported, while that one runs the guest */
	VM_RELEASE, /* frozen: give up the machine, so that who adopted can have its own */
	/* All of the guest into the file session_fd, while it stands still. The user's goes on
	 * after it; the agent's stays frozen, and VM_ABORT lets it go on. */
	VM_SNAPSHOT,
	VM_RESTORE, /* resumes the guest of the snapshot session_fd */
	VM_QUIT,    /* in any phase: the process ends and gives up whatever it holds */
	VM_VERB_MAX,
};

const char *vm_verb_name(enum vm_verb verb);

enum vm_caller {
	VM_CALLER_USER, /* signals and API */
	VM_CALLER_AGENT,
};

struct vm_request {
	enum vm_verb verb;
	enum vm_caller caller;
	uint32_t timeout_ms; /* for freeze and snapshot; 0: the default */
	int session_fd; /* of agent or manager, for prepare and resume-preserved; a snapshot's file;
			   else FD_NONE */
	struct source *table; /* for adopt: what was exported; else NULL */
};

/* result 0, or a negative errno with words. */
typedef void vm_done_fn(void *opaque, int result, const struct error *err);

struct vm_callbacks {
	void (*phase)(void *opaque, enum update_phase phase);
	/* The VM is over. exit_code: of the process; reason: a word for the agent and the log,
	 * and of a failure what it was ("crash: vCPU 0: ..."); less than AGENT_REASON_MAX bytes. */
	void (*exit)(void *opaque, int exit_code, const char *reason);
	/* What is configured has changed: devices came or went, or memory came. NULL: nothing. */
	void (*config)(void *opaque);
	/* Something has happened to a device of the host. NULL: nothing. */
	void (*device)(void *opaque, const struct device_news *news);
	/* What vm_parts.confine is; NULL: nothing. */
	int (*confine)(void *opaque, const struct vm_config *config, bool last, struct error *err);
};

/*
 * config: a whole one, or with resume the id alone. overrides: borrowed, what a preserved
 * configuration is changed by. callbacks: borrowed.
 */
int vm_new(const struct vm_config *config, bool resume, json_t *overrides, struct loop *loop,
	   const struct vm_callbacks *callbacks, void *opaque, struct vm **ret, struct error *err);
/* Ends an update that is under way, and the machine. NULL is fine. */
void vm_free(struct vm *vm);

/* Cold boot. */
int vm_boot(struct vm *vm, struct error *err);

/*
 * Takes request->session_fd and request->table, always. Refused: a negative errno, done is not
 * called. -EBUSY: not in this phase, the message says in which. -EPERM: the agent alone may ask for
 * it. Else done is called once, perhaps before this returns.
 */
int vm_request(struct vm *vm, const struct vm_request *request, vm_done_fn *done, void *opaque,
	       struct error *err);

/*
 * Plugs in what the document has, with the keys of the configuration ("rng", "hvc", "balloon",
 * "vsock", "disk").
 * -EBUSY: an update is under way. -EINVAL: all that is wrong is named. Nothing is done then.
 */
int vm_add_devices(struct vm *vm, json_t *devices, struct error *err);
/* Asks the guest to give a device back, which takes a while, or for ever. -EBUSY, -ENOENT. */
int vm_remove_device(struct vm *vm, const char *device, struct error *err);
/* Tells the guest of a disk's size, see virtio_blk_resize(). -EBUSY, -ENOENT, -EINVAL. */
int vm_resize_disk(struct vm *vm, const char *id, uint64_t size, struct error *err);

/* Asks the guest for so much of its memory (bytes), see virtio_balloon_resize(). -EBUSY, -ENOENT,
 * -EINVAL. */
int vm_resize_balloon(struct vm *vm, uint64_t size, struct error *err);

/* The guest has so much RAM (bytes) from now on, see machine_resize_memory(). -EBUSY: an update is
 * under way. */
int vm_resize_memory(struct vm *vm, uint64_t size, struct error *err);

/* luod at that socket drives the updates of the VM from now on. -EPERM: another one does. */
int vm_set_agent(struct vm *vm, const char *path, struct error *err);

/* The LUO session that it is preserved in, borrowed; FD_NONE: none. */
int vm_session(const struct vm *vm);
/* Whether what an update works on are exported files: an exchange of the vmm. */
bool vm_has_table(const struct vm *vm);
/* What VM_EXPORT made ready, descriptors borrowed; 0 in every other phase. */
unsigned int vm_exported(const struct vm *vm, const struct source_entry **ret);

enum update_phase vm_phase(const struct vm *vm);
const struct vm_config *vm_config(const struct vm *vm);
const struct timeline *vm_timeline(const struct vm *vm);
uint32_t vm_tsc_khz(const struct vm *vm); /* 0 while there is no machine */

/* The guest exists nowhere but in what this process holds: it must not end by a mere SIGTERM. */
bool vm_holds_only_copy(const struct vm *vm);

/* New references. */
json_t *vm_info_json(const struct vm *vm);
json_t *vm_counters_json(const struct vm *vm);
/* See virtio_balloon_statistics(); NULL: there is no balloon now. */
json_t *vm_balloon_statistics_json(const struct vm *vm);
json_t *vm_timeline_json(const struct vm *vm);

#endif
