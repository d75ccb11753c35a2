/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups v2 (Linux Documentation/admin-guide/cgroup-v2.rst), as far as processes move. */
#ifndef HOLDFAST_BASE_CGROUP_H
#define HOLDFAST_BASE_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* The group of a process, below the mount ("/system.slice/luod.service"). pid 0: this one.
 * -ENOENT: no such process, or a host without control groups. */
int cgroup_of(pid_t pid, char *path, size_t size);

/* Moves a process into the group of this one. Does nothing where there are no control groups, or if
 * it is there already: the kernel waits for all its processors when one is moved. */
int cgroup_join_own(pid_t pid, struct error *err);

/*
 * Whether the group belongs to no service: the root, or where systemd puts what it finds at its
 * start (init.scope), such as what an initramfs left behind.
 */
bool cgroup_is_unowned(const char *path);

#endif
