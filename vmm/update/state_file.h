/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memfd that carries a VM's state over: made in full size before it is preserved, since it can
 * neither grow nor be written past its end after that.
 */
#ifndef HOLDFAST_VMM_UPDATE_STATE_FILE_H
#define HOLDFAST_VMM_UPDATE_STATE_FILE_H

#include <stddef.h>

#include "base/error.h"

/* More than any machine of ours writes: a bound for what a hostile file may make us allocate. */
#define STATE_FILE_MAX (256UL << 20)

struct state_file {
	int fd;	   /* owned */
	void *map; /* owned: size bytes, shared */
	size_t size;
};

/* size is rounded up to pages. Executable as a memfd goes, sealed SHRINK | GROW: docs/decisions. */
int state_file_create(size_t size, struct state_file *ret, struct error *err);
void state_file_close(struct state_file *file); /* also of an empty one */

/* -ENOSPC: larger than the file. */
int state_file_write(struct state_file *file, const void *blob, size_t size, struct error *err);
/* The file says nothing again. */
void state_file_wipe(struct state_file *file);

/*
 * Keeps other processes from taking the state up until *ret_fd is closed, which the end of this
 * process does, too. -EBUSY: another one does.
 */
int state_file_lock(int fd, int *ret_fd, struct error *err);

/*
 * Takes the state out of a file that was read as `bytes`, so that nobody else can: one of all who
 * try succeeds, in whatever process. -EBUSY: it was taken, or is another state now.
 */
int state_file_claim(int fd, const void *bytes, struct error *err);
/* Puts it back. */
void state_file_unclaim(int fd, const void *bytes);

/*
 * A private copy of a file's bytes, so that they cannot change while they are checked; free() it.
 * -ENODATA: the file was never written, or was wiped.
 */
int state_file_read(int fd, void **ret, size_t *ret_size, struct error *err);

#endif
