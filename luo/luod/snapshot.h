/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs that went through an update as files on a disk: from the file to the guest, and its end. How
 * it comes to be is in update_snapshot.h.
 */
#ifndef HOLDFAST_LUOD_SNAPSHOT_H
#define HOLDFAST_LUOD_SNAPSHOT_H

#include "luo/luod/vm.h"

/* Whether the VM's guest is in a file that is not to be seen yet: its disk may be mounted later. */
bool snapshot_is_missing(const struct vm_record *record);

/* A descriptor of the VM's file, the caller's. */
int snapshot_open(const struct vm_record *record, int *ret_fd, struct error *err);

/* The guest runs, or is given up: what is in the file is of the past. Nothing if there is none. */
void snapshot_forget(struct vm_record *record);

#endif
