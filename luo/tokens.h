/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokens under which a session's files are preserved: a range per class, never reused, never
 * renumbered. This is ABI between two versions of holdfast. Tokens are per session (Linux
 * Documentation/userspace-api/liveupdate.rst).
 */
#ifndef HOLDFAST_LUO_TOKENS_H
#define HOLDFAST_LUO_TOKENS_H

#include <assert.h>
#include <stdint.h>

/* Session names. The kernel's limit is 63 bytes and a terminator (linux/liveupdate.h). */
#define LUO_VM_SESSION_PREFIX "vm:"
#define LUO_HOST_SESSION      "luod"
#define LUO_VM_ID_MAX	      60 /* 63 - strlen("vm:") */

/* In a session "vm:<id>". */
#define TOKEN_VM_STATE	   UINT64_C(0x0000) /* the state memfd */
#define TOKEN_RAM_FIRST	   UINT64_C(0x0100) /* RAM regions in order of guest address */
#define TOKEN_RAM_LAST	   UINT64_C(0x01ff)
#define TOKEN_IOMMUFD	   UINT64_C(0x0200) /* the one that kernels keep; next, the other devices' */
#define TOKEN_IOMMUFD_LAST UINT64_C(0x02ff)
#define TOKEN_VFIO_FIRST   UINT64_C(0x0300) /* vfio cdevs by the slot of the guest */
#define TOKEN_VFIO_LAST	   UINT64_C(0x03ff)
#define TOKEN_HWPT_FIRST \
	UINT64_C(0x0400) /* marks of hardware page tables, a space of the iommufd */
#define TOKEN_HWPT_LAST UINT64_C(0x04ff)

/* In the session "luod". */
#define TOKEN_REGISTRY UINT64_C(0x0000)

static_assert(TOKEN_VM_STATE < TOKEN_RAM_FIRST && TOKEN_RAM_LAST < TOKEN_IOMMUFD &&
		      TOKEN_IOMMUFD_LAST < TOKEN_VFIO_FIRST && TOKEN_VFIO_LAST < TOKEN_HWPT_FIRST,
	      "token ranges overlap");

#endif
