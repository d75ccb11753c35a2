/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a VM's descriptors go to before an update and come from after it, by token:
 *   - a LUO session that this process opens itself (no agent),
 *   - a LUO session whose descriptor the agent or the service manager passed,
 *   - a plain table of descriptors, for an exchange of the vmm binary without a kexec,
 *   - a file on a disk, which all of it is written to while the guest stands still.
 * The steps of an update do not know which. Calls may take long and are made from one thread at a
 * time.
 */
#ifndef HOLDFAST_VMM_UPDATE_SOURCE_H
#define HOLDFAST_VMM_UPDATE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct source;

struct source_ops {
	int (*open)(struct source *s, struct error *err);
	int (*take)(struct source *s, struct error *err);
	int (*preserve)(struct source *s, int fd, uint64_t token, const char *what,
			struct error *err);
	int (*retrieve)(struct source *s, uint64_t token, const char *what, int *ret_fd,
			struct error *err);
	/* NULL: what was preserved is handed over as it is. */
	int (*store)(struct source *s, struct error *err);
	int (*finish)(struct source *s, struct error *err);
	void (*close)(struct source *s);
	bool (*is_open)(const struct source *s);
	/* What is in it is a kernel's, and comes back after a kexec; else this kernel goes on. */
	bool crosses_kexec;
	/* No device of the host can be in it: the guest gives all of them up. */
	bool without_devices;
	void (*free)(struct source *s);
};

/* First member of each kind. */
struct source {
	const struct source_ops *ops;
};

/* id: of the VM. The session is opened by open() or take(), in this process. */
int source_device_new(const char *id, struct source **ret, struct error *err);

/* Takes session_fd, even on failure. open() and take() check that it is this VM's session. */
int source_agent_new(const char *id, int session_fd, struct source **ret, struct error *err);

/* The same without that check: one that the service manager made, under a name of its own. */
int source_manager_new(const char *id, int session_fd, struct source **ret, struct error *err);

/* The session, borrowed, of a source that is one and is open; else FD_NONE. */
int source_session(const struct source *s);

/* A table of descriptors under tokens. */
struct source_entry {
	uint64_t token;
	int fd;
};

#define SOURCE_TABLE_MAX 64

/* Takes the descriptors of the entries, even on failure. count 0: an empty table to preserve into.
 */
int source_table_new(const struct source_entry *entries, unsigned int count, struct source **ret,
		     struct error *err);
/* What is in the table: descriptors are borrowed. Returns the count. */
unsigned int source_table_entries(const struct source *s, const struct source_entry **ret);

bool source_is_table(const struct source *s);

/*
 * A snapshot in a file (update/snapshot_file.h), to be written (open, preserve, store) or read
 * (take, retrieve). Takes snapshot_fd, even on failure. need: bytes that must be free on its disk
 * before anything is begun.
 */
int source_snapshot_new(const char *id, int snapshot_fd, uint64_t need, struct source **ret,
			struct error *err);
bool source_is_snapshot(const struct source *s);

/* Closes it if it is open: what was preserved or taken and not finished is given up. NULL is fine.
 */
void source_free(struct source *s);

/* ---- What the steps call. ---- */

/* Makes ready to preserve. */
static inline int source_open(struct source *s, struct error *err)
{
	return s->ops->open(s, err);
}

/* Takes up what was handed over. Done already: 0. */
static inline int source_take(struct source *s, struct error *err)
{
	return s->ops->take(s, err);
}

/* fd is borrowed. See luo_session_preserve_fd(). */
static inline int source_preserve(struct source *s, int fd, uint64_t token, const char *what,
				  struct error *err)
{
	return s->ops->preserve(s, fd, token, what, err);
}

/* A descriptor of the caller's own; may be asked for again. See luo_session_retrieve_fd(). */
static inline int source_retrieve(struct source *s, uint64_t token, const char *what, int *ret_fd,
				  struct error *err)
{
	return s->ops->retrieve(s, token, what, ret_fd, err);
}

/* Writes what was preserved to where it is to rest, of a source that does; the guest stands still
 * meanwhile. */
static inline int source_store(struct source *s, struct error *err)
{
	return s->ops->store ? s->ops->store(s, err) : 0;
}

/* What was never retrieved is freed now. */
static inline int source_finish(struct source *s, struct error *err)
{
	return s->ops->finish(s, err);
}

static inline void source_close(struct source *s)
{
	s->ops->close(s);
}

static inline bool source_crosses_kexec(const struct source *s)
{
	return s->ops->crosses_kexec;
}

/* Whether a session (or a table) is in hand. */
static inline bool source_is_open(const struct source *s)
{
	return s && s->ops->is_open(s);
}

#endif
