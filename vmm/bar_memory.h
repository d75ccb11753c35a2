/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of this process that a guest reaches at an address of its PCI windows: what a device that
 * is passed through has in its BARs. Each piece is a memory slot of KVM, beyond those of RAM. Any
 * thread.
 */
#ifndef HOLDFAST_VMM_BAR_MEMORY_H
#define HOLDFAST_VMM_BAR_MEMORY_H

#include <stdint.h>

#include "base/error.h"

#define BAR_MEMORY_SLOTS_MAX 128

struct bar_memory;

/* vm_fd: borrowed. */
int bar_memory_new(int vm_fd, struct bar_memory **ret, struct error *err);
void bar_memory_free(struct bar_memory *slots); /* NULL is fine */

/* gpa, size: whole pages; memory: borrowed until bar_memory_remove(). -ENOSPC: no slot is left. */
int bar_memory_add(struct bar_memory *slots, uint64_t gpa, uint64_t size, void *memory,
		   struct error *err);
/* From when this returns the guest does not reach it. What was added at gpa. */
void bar_memory_remove(struct bar_memory *slots, uint64_t gpa);

#endif
