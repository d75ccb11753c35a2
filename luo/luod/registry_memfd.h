/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry in the memfd under TOKEN_REGISTRY of the session "luod": a header of 32 bytes, all
 * little-endian, and the document of registry_to_json() as text.
 *
 *   0  char magic[8]  "HFREGIST"
 *   8  u32  version   1
 *  12  u32  header    32: where the text begins
 *  16  u64  length    of the text in bytes
 *  24  u32  crc       CRC-32 (ISO 3309, as zlib has it) of the header with this field 0, and the
 * text 28  u32  reserved  0
 *
 * The file cannot grow once it is preserved: it is made for what is there and what will come on
 * top.
 */
#ifndef HOLDFAST_LUOD_REGISTRY_MEMFD_H
#define HOLDFAST_LUOD_REGISTRY_MEMFD_H

#include "luo/luod/registry.h"

/* New memfd (owned by the caller), large enough for the registry as it will be after the freeze. */
int registry_memfd_new(const struct registry *reg, int *ret_fd, struct error *err);

/*
 * Writes the VMs of the current update. What does not fit loses the history first; -ENOSPC when it
 * still does not. Cheap: no more than one write.
 */
int registry_memfd_write(int fd, const struct registry *reg, struct error *err);

/* Reads into *reg, which is empty before. Everything in the file is checked. */
int registry_memfd_read(int fd, struct registry *reg, struct error *err);

#endif
