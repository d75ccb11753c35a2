/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One address space for DMA: an iommufd context with one IOAS (Linux
 * Documentation/userspace-api/iommufd.rst). What is mapped here is all that a device which is
 * attached to it can reach; every other DMA is blocked by the IOMMU. Functions belong to one
 * thread.
 */
#ifndef HOLDFAST_IOMMU_IOMMUFD_H
#define HOLDFAST_IOMMU_IOMMUFD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define IOMMUFD_DEVICE "/dev/iommu"

struct iommufd;

/* path: IOMMUFD_DEVICE; another one in tests. -ENOENT: the kernel has no CONFIG_IOMMUFD, or its
 * module is not loaded. -EACCES: not this user. */
int iommufd_open(const char *path, struct iommufd **ret, struct error *err);
/*
 * One that came back from an update; fd is borrowed (a copy is made). ioas: its address space, if
 * it is the same context as before (no kexec in between): then *ret_mapped is true, and what was
 * mapped there is. Else a context that a kernel made anew has none, one is made, and all must be
 * mapped again.
 */
int iommufd_adopt(int fd, uint32_t ioas, struct iommufd **ret, bool *ret_mapped, struct error *err);
/* Devices must be gone. Everything is unmapped, unless somebody else has the context as well. NULL
 * is fine. */
void iommufd_free(struct iommufd *io);

int iommufd_fd(const struct iommufd *io);	 /* borrowed */
uint32_t iommufd_ioas(const struct iommufd *io); /* what devices are attached to */

/* A piece of a file that is mapped, and where this process has it. */
struct iommufd_memory {
	int fd;		 /* memfd; borrowed for the call */
	uint64_t offset; /* in the file, bytes */
	uint64_t length; /* bytes, whole pages */
	void *address;	 /* of the same bytes */
};

/*
 * Maps it at iova, readable and writable: pinned from then on, if a device is attached. A kernel
 * that cannot map files (before 6.14) is given the address instead: *ret_by_file is false then,
 * and such a mapping could not be preserved through a kexec. -ENOMEM: RLIMIT_MEMLOCK, or no
 * memory. -ERANGE: no device may use these addresses. -EEXIST: something is mapped there.
 */
int iommufd_map(struct iommufd *io, const struct iommufd_memory *memory, uint64_t iova,
		bool *ret_by_file, struct error *err);
/* Appends to the message of an -ENOMEM of a mapping, or of a device that was attached, what it
 * comes of and the way out: the limit of locked memory, if there is one, with what it is. */
void iommufd_say_no_memory(struct error *err);
/*
 * Memory of another device (a dma-buf) instead, for DMA from one device to the other. Any thread.
 * The errno of the kernel: -EOPNOTSUPP, -EINVAL, ... where it cannot.
 */
int iommufd_map_device(struct iommufd *io, int fd, uint64_t length, uint64_t iova);
/* Exactly what was mapped. Any thread. */
int iommufd_unmap(struct iommufd *io, uint64_t iova, uint64_t length, struct error *err);

/*
 * Whether the whole range is one that the IOMMU, and every attached device, can use: reserved
 * regions (interrupts, RMRRs) are not. -ERANGE names what is left around it.
 */
int iommufd_check_range(struct iommufd *io, uint64_t iova, uint64_t length, struct error *err);

#endif
