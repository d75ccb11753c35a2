/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry in the memfd under TOKEN_REGISTRY of the session "luod": a header of 32 bytes, all
 * little-endian, and the document of registry_to_json() as text. Guests stand still while these are
 * written and read.
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
 *
 * The history of updates, for which no guest waits, ends the file: its array as text, and after
 * that, as the last 32 bytes, a header as above with the magic "HFHISTOR". A luod that does not
 * know of this reads all the rest.
 */
#ifndef HOLDFAST_LUOD_REGISTRY_MEMFD_H
#define HOLDFAST_LUOD_REGISTRY_MEMFD_H

#include "luo/luod/registry.h"

/* New memfd (owned by the caller), large enough for the registry as it will be after the freeze,
 * and with the history. */
int registry_memfd_new(const struct registry *reg, int *ret_fd, struct error *err);

/*
 * Writes the VMs of the current update; -ENOSPC when they do not fit. Cheap: two writes.
 */
int registry_memfd_write(int fd, const struct registry *reg, struct error *err);

/* Reads all but the history into *reg, which is empty before. Everything that is read is checked.
 */
int registry_memfd_read(int fd, struct registry *reg, struct error *err);
/* Then the history, of which there may be none. On error there is none in *reg, and the rest stays.
 */
int registry_memfd_read_history(int fd, struct registry *reg, struct error *err);

#endif
