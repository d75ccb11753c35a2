/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in a file: its state and its memory, as docs/state-format.md (section "Snapshots") says.
 * What is zero in memory is a hole in the file. Any thread; nothing here knows a machine.
 */
#ifndef HOLDFAST_VMM_UPDATE_SNAPSHOT_FILE_H
#define HOLDFAST_VMM_UPDATE_SNAPSHOT_FILE_H

#include "luo/tokens.h"
#include "vmm/guest_memory.h"
#include "vmm/update/source.h"

/* The state and each region of memory. */
#define SNAPSHOT_PARTS_MAX   (1U + RAM_REGIONS_MAX)
#define SNAPSHOT_HEADER_SIZE 16384U

struct snapshot {
	char id[LUO_VM_ID_MAX + 1];
	unsigned int count;
	struct snapshot_part {
		uint64_t token; /* luo/tokens.h */
		uint64_t offset, size;
		uint64_t checksum;
	} parts[SNAPSHOT_PARTS_MAX];
};

/*
 * Writes all of the files into fd, an empty one, and brings it to disk. The header comes last: a
 * file that was not finished is none. Blocks as long as the disk takes.
 */
int snapshot_write(int fd, const char *id, const struct source_entry *entries, unsigned int count,
		   struct error *err);

/*
 * Reads and checks the header. -ENODATA: nothing was finished in it. -EBADMSG: damaged, or shorter
 * than it says. -EPROTONOSUPPORT: of a version that this program does not read.
 */
int snapshot_read(int fd, struct snapshot *ret, struct error *err);

/* A new memfd with that part of it, the caller's. -ENOENT: no such part. -EBADMSG: damaged. */
int snapshot_read_part(int fd, const struct snapshot *snapshot, uint64_t token, int *ret_fd,
		       struct error *err);

#endif
