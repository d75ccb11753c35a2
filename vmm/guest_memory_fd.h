/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memfds behind guest RAM: made so that LUO can keep them, checked when it gives them back.
 * Nothing here maps anything. Used by guest_memory.c and its tests only.
 */
#ifndef HOLDFAST_VMM_GUEST_MEMORY_FD_H
#define HOLDFAST_VMM_GUEST_MEMORY_FD_H

#include <stdint.h>

#include "base/error.h"

/* memfd_create(2), or what a test puts in its place: -1 and errno on failure. */
typedef int memfd_create_fn(const char *name, unsigned int flags);

/*
 * A memfd of `size` bytes named "holdfast-ram-<index>", executable (mode 0777) so that its seals
 * come back from LUO as they were, sealed SHRINK | GROW; owned by the caller. A kernel that does
 * not know MFD_EXEC makes executable memfds anyway. -EPERM: vm.memfd_noexec or a security policy
 * forbids it.
 */
int ram_fd_create(memfd_create_fn *create, unsigned int index, uint64_t size, int *ret,
		  struct error *err);

/*
 * Checks a memfd that came back: a memfd, of exactly `size` bytes, writable. Adds the SHRINK and
 * GROW seals where the kernel lost them. fd stays the caller's. -EBADF: no memfd; -EINVAL: wrong
 * size; -EPERM: sealed against writing.
 */
int ram_fd_check(int fd, unsigned int index, uint64_t size, struct error *err);

#endif
