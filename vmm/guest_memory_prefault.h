/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes guest RAM before the guest runs (prefault=on): no page has to be made, or moved, while it
 * runs or when an update is prepared. What is given back later, by a balloon, is made as ever.
 */
#ifndef HOLDFAST_VMM_GUEST_MEMORY_PREFAULT_H
#define HOLDFAST_VMM_GUEST_MEMORY_PREFAULT_H

#include "base/error.h"
#include "vmm/guest_memory.h"

/*
 * Makes all pages of the regions that are not there, huge where they can be, and has them where
 * pages can be pinned. Several threads do it at once; returns when all is done. Any thread. What
 * pages hold is kept. -ENOMEM: the host has not so much, which it is asked before, for a kernel
 * without memory ends processes to get it. -EOPNOTSUPP: before Linux 5.14. Pages that were made
 * stay in either case.
 */
int guest_ram_prefault(const struct guest_memory_region *regions, unsigned int count,
		       struct error *err);

/*
 * The same for all RAM of a guest that there is already, at a reset or out of a snapshot: it is
 * worth more than memory that is made beforehand, and goes on without where that fails. The log
 * says so.
 */
void guest_ram_prefault_again(const struct guest_ram *ram);

#endif
