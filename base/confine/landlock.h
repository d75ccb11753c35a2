/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock (landlock(7)): which files a thread, and those that it starts, can reach from now on.
 * What is open stays open. As much as the running kernel has of it; the rest is left out.
 */
#ifndef HOLDFAST_BASE_CONFINE_LANDLOCK_H
#define HOLDFAST_BASE_CONFINE_LANDLOCK_H

#include <stdint.h>

#include "base/error.h"

enum {
	LANDLOCK_MAY_READ = 1 << 0,    /* and list folders */
	LANDLOCK_MAY_WRITE = 1 << 1,   /* what is there, also to cut it */
	LANDLOCK_MAY_IOCTL = 1 << 2,   /* of devices; ABI 5 */
	LANDLOCK_MAY_BIND = 1 << 3,    /* in a folder: make sockets, and remove files */
	LANDLOCK_MAY_CONNECT = 1 << 4, /* to a UNIX socket by its path; ABI 9 */
	LANDLOCK_MAY_MAKE = 1 << 5,    /* in a folder: make files, and remove them */
};

struct landlock;

/*
 * The kernel's ABI version, 1 and up. -EOPNOTSUPP: it has no Landlock, or does not use it.
 */
int landlock_abi(struct error *err);

/* Rules that allow nothing: neither files, nor TCP and UDP (ABI 4, 10), nor signals to processes
 * outside (6), nor their abstract sockets (6). landlock_free() by the caller. */
int landlock_new(struct landlock **ret, struct error *err);
void landlock_free(struct landlock *l); /* NULL is fine */

/*
 * What is at path and beneath it; on a 9p file system, all of that, for its files cannot be told
 * apart. A path that is not there is allowed in vain: 0.
 */
int landlock_allow(struct landlock *l, const char *path, unsigned int may, struct error *err);
/* The file of a descriptor. One that has no place in the file system needs no rule: 0. */
int landlock_allow_fd(struct landlock *l, int fd, unsigned int may, struct error *err);

/* From now on, for the calling thread and those that it starts. Needs no_new_privs. */
int landlock_enforce(struct landlock *l, struct error *err);

#endif
