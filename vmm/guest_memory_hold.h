/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps pages of guest RAM in their places in the memfds. Kernels that take a memfd's pages from
 * the file (memfd_pin_folios(): LUO, IOMMU_IOAS_MAP_FILE) do not lock them, and khugepaged, which
 * puts a huge page in the place of small ones, does not see that they were taken: whoever took them
 * then has pages that the guest no longer uses. It does see pages that were pinned by their
 * addresses, and that pin waits for what it is at (mm/khugepaged.c, collapse_file()).
 */
#ifndef HOLDFAST_VMM_GUEST_MEMORY_HOLD_H
#define HOLDFAST_VMM_GUEST_MEMORY_HOLD_H

#include "base/error.h"
#include "vmm/guest_memory.h"

struct ram_hold;

/*
 * Pins all pages of the regions, which are borrowed until ram_hold_free() and stay mapped; pages
 * that are not there are made, huge where they can be. Takes as long as the kernel needs for that.
 * Any thread. Where this process cannot pin them (a limit on locked memory, no io_uring), huge
 * pages are put off for the regions instead, which leaves a gap of moments; that is logged.
 * -ENOMEM: no memory for the pages, or for this.
 */
int ram_hold_new(const struct guest_memory_region *regions, unsigned int count,
		 struct ram_hold **ret, struct error *err);
/* Once the kernel has pinned them itself. NULL is fine. */
void ram_hold_free(struct ram_hold *hold);

/*
 * Pins all pages of the regions for a moment. Those that are not there are made where pages can be
 * pinned; those that lie where they cannot, in areas of CMA, are moved by the kernel, which then
 * need not do it later. Any thread, several at once. A negative errno: this process cannot pin
 * them, or there is no memory for them; nothing is lost by that.
 */
int ram_settle(const struct guest_memory_region *regions, unsigned int count);

/*
 * Whether the host has memory for all pages of the regions that are not there yet. -ENOMEM says
 * that it has not and how much it has, with why, a clause of what needs it, in front. Any thread.
 */
int ram_check_host(const struct guest_memory_region *regions, unsigned int count, const char *why,
		   struct error *err);

#endif
