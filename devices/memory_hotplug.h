/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller of ACPI memory hot plug: what the methods of the DSDT read and write, and a
 * general purpose event that makes the OS run them. Dwords, for each of the slots:
 *
 *	32 * slot + 0, 4	FIRST	address of the first byte, lower and upper half
 *	32 * slot + 8, 12	LAST	of the last byte
 *	32 * slot + 16, 20	SIZE	bytes; 0: nothing is there
 *
 * and one for all:
 *
 *	256  ADDED  a bit for each slot into which memory was put; 1 clears
 *
 * Memory is never taken out. What was not read yet is state: the OS asks again after an update.
 */
#ifndef HOLDFAST_DEVICES_MEMORY_HOTPLUG_H
#define HOLDFAST_DEVICES_MEMORY_HOTPLUG_H

#include "base/error.h"
#include "base/state.h"
#include "devices/attach.h"

#define MEMORY_HOTPLUG_SLOTS	 8
#define MEMORY_HOTPLUG_SLOT_SIZE 32
#define MEMORY_HOTPLUG_FIRST	 0
#define MEMORY_HOTPLUG_LAST	 8
#define MEMORY_HOTPLUG_SIZE	 16
#define MEMORY_HOTPLUG_ADDED	 (MEMORY_HOTPLUG_SLOTS * MEMORY_HOTPLUG_SLOT_SIZE)
#define MEMORY_HOTPLUG_IO_SIZE	 (MEMORY_HOTPLUG_ADDED + 4)

#define MEMORY_HOTPLUG_STATE_MAX 512 /* bytes of a state blob at most */

struct memory_hotplug;

struct memory_hotplug_params {
	void (*raise)(void *opaque); /* the event. Called without a lock held, on any thread */
	void *opaque;
};

int memory_hotplug_new(const struct memory_hotplug_params *params, struct memory_hotplug **ret,
		       struct error *err);
void memory_hotplug_free(struct memory_hotplug *hotplug); /* NULL is fine */

/* What is in the next slot, of which there must be one; the OS is not told. Before vCPUs run. */
void memory_hotplug_put(struct memory_hotplug *hotplug, uint64_t gpa, uint64_t size);
/* The same, and the OS is told. Any thread. */
void memory_hotplug_add(struct memory_hotplug *hotplug, uint64_t gpa, uint64_t size);

/* opaque: struct memory_hotplug. vCPU threads. */
extern const struct io_ops memory_hotplug_io_ops;
/* obj: struct memory_hotplug, into which what was there has been put. Node "memory-hotplug". */
extern const struct state_ops memory_hotplug_state_ops;

#endif
