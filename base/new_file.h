/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that comes to be in whole or not at all: it has no name (O_TMPFILE, open(2)) until all of
 * it is on disk. Where a file system knows no such files it is PATH.new until then.
 */
#ifndef HOLDFAST_BASE_NEW_FILE_H
#define HOLDFAST_BASE_NEW_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct new_file {
	int fd; /* owned, for reading and writing; FD_NONE: there is none */
	bool named;
	char path[PATH_MAX];
};

#define NEW_FILE_INIT {.fd = FD_NONE}

/* Mode 0600. -EEXIST: there is such a file. Errors name the path. */
int new_file_create(const char *path, struct new_file *ret, struct error *err);
/* Gives it its name, when its content is on disk; the folder is on disk after this. Closes it. */
int new_file_commit(struct new_file *file, struct error *err);
/* Nothing is left of it. Also of one that was committed, which stays, or never made. */
void new_file_drop(struct new_file *file);

/* -ENOSPC: the file system that fd is on has less than `bytes` left for who asks. */
int new_file_check_room(int fd, uint64_t bytes, struct error *err);

#endif
