/* SPDX-License-Identifier: Apache-2.0 */
/* Starting vmm processes: each in a session of its own, its output in <run>/vms/<id>.log. */
#ifndef HOLDFAST_LUOD_SPAWN_H
#define HOLDFAST_LUOD_SPAWN_H

#include "luo/luod/luod.h"

/* The files of a VM under the run folder: "<run>/vms/<id><suffix>". */
void vm_file(const struct luod *luod, const char *id, const char *suffix, char path[PATH_MAX]);

/* The folder RUN_DIR/vm/ID of that VM's vmm alone: for its sockets. */
int spawn_make_folder(const struct luod *luod, const struct vm_record *record, struct error *err);

/*
 * Runs argv[0] (a path) for the VM id. It inherits no descriptor and no blocked signal. -ENOENT and
 * so on when the program cannot be started.
 */
int spawn_vmm(struct luod *luod, const char *id, const char *const *argv, pid_t *ret_pid,
	      struct error *err);

/* How a child ended, and the last line of its log: "exited with status 1: vmm: no such kernel". */
void spawn_describe_exit(struct luod *luod, const char *id, int wait_status, char *text,
			 size_t size);

#endif
