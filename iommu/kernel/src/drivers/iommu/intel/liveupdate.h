/* SPDX-License-Identifier: GPL-2.0-only */
/* What VT-d's own code asks drivers/iommu/intel/liveupdate.c. */
#ifndef _INTEL_IOMMU_LIVEUPDATE_H
#define _INTEL_IOMMU_LIVEUPDATE_H

#include <linux/liveupdate_devices.h>

#include "iommu.h"

#ifdef CONFIG_LIVEUPDATE_DEVICES

/* Points the unit at the tables of the hand-over; false: there are none, translation ends. */
bool intel_liveupdate_shutdown(struct intel_iommu *iommu);
/* Translation is on because devices of the previous kernel need it, and goes on. */
bool intel_liveupdate_takes_over(struct intel_iommu *iommu);
/* This function uses a page table of the previous kernel. */
bool intel_liveupdate_copied(struct intel_iommu *iommu, u8 bus, u8 devfn);
/* In one step, so that the device sees one or the other. intel_iommu::lock is held. */
void intel_liveupdate_replace(struct intel_iommu *iommu, struct context_entry *context,
			      const struct context_entry *next, u8 bus, u8 devfn);

/* drivers/iommu/intel/iommu.c */
void intel_iommu_set_root_entry(struct intel_iommu *iommu);

#else

static inline bool intel_liveupdate_shutdown(struct intel_iommu *iommu)
{
	return false;
}

static inline bool intel_liveupdate_takes_over(struct intel_iommu *iommu)
{
	return false;
}

static inline bool intel_liveupdate_copied(struct intel_iommu *iommu, u8 bus, u8 devfn)
{
	return false;
}

static inline void intel_liveupdate_replace(struct intel_iommu *iommu,
					    struct context_entry *context,
					    const struct context_entry *next, u8 bus, u8 devfn)
{
}

static inline bool pci_liveupdate_any(void)
{
	return false;
}

static inline void pci_liveupdate_stop_all(void)
{
}

#endif
#endif
