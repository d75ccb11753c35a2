/* SPDX-License-Identifier: Apache-2.0 */
/* What a process keeps of root's rights. For the main thread, before others are started. */
#ifndef HOLDFAST_BASE_CONFINE_PRIVILEGES_H
#define HOLDFAST_BASE_CONFINE_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define PRIVILEGES_GROUPS_MAX 16
#define PRIVILEGES_USER_MAX   65 /* bytes of "NAME:GROUP", terminator included */

struct identity {
	uid_t uid;
	gid_t gid;
};

/* "NAME", "NAME:GROUP", or numbers in the place of either. A number needs no entry in passwd(5): it
 * has the group of the same number then. -EINVAL: nobody has that name, or it is root's. */
int identity_parse(const char *text, struct identity *ret, struct error *err);

/*
 * Becomes that user for good, with these further groups, in the real, effective and saved ids. All
 * capabilities go. -EPERM: only root can become somebody else; being that user already is fine.
 */
int privileges_become(const struct identity *who, const gid_t *groups, size_t group_count,
		      struct error *err);

/*
 * Gives up all capabilities but those in keep (1 << CAP_NET_ADMIN and so on, capabilities(7)), for
 * this thread and for all that it may ever run; no_new_privs with it.
 */
int privileges_drop(uint64_t keep, struct error *err);

/* No core dumps, and no ptrace(2) or /proc/PID/mem for other processes of the same user. */
int privileges_hide(struct error *err);

/* Closes what a process was given beyond standard input, output and error, but what keep() says
 * yes to. */
typedef bool privileges_keep_fn(void *opaque, int fd);
void privileges_close_fds(privileges_keep_fn *keep, void *opaque);

#endif
