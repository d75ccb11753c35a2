/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From memory to the model. Every function leaves in the model what it could read before the first
 * error; the error's message is a path and what is wrong there, such as
 *   session 3 "vm:web1", file 2, compatible: no terminator within 48 bytes
 * (sessions, files, blocks and folios are counted from 1). The errno tells the kind:
 *   -EFAULT          an address outside memory      -EINVAL   an address that is not page-aligned
 *   -ELOOP           a cycle                        -EEXIST   a page, name or token used twice
 *   -EOVERFLOW       a count or size that cannot be -EBADMSG  a malformed string, tree or field
 *   -EPROTONOSUPPORT a version not known            -ENOENT   a part that must be there is not
 *   -ENOMEM, and what reading the memory itself says.
 */
#ifndef HOLDFAST_LUO_ABI_DECODE_H
#define HOLDFAST_LUO_ABI_DECODE_H

#include <errno.h>

#include "luo/abi/reader.h"

/*
 * The root's device tree from bytes (a page of memory, or debugfs): version and entries. A version
 * newer than the ones known is -EPROTONOSUPPORT. *ret is owned by the caller.
 */
int abi_parse_kho(const void *fdt, size_t available, struct abi_kho **ret, struct error *err);
/* The same from the page at fdt_pa, with "kexec-metadata" if it is there. */
int abi_read_kho(struct abi_reader *r, uint64_t fdt_pa, struct abi_kho **ret, struct error *err);
/* The entry "kexec-metadata", into kho->metadata; nothing when there is none. */
int abi_read_metadata(struct abi_reader *r, struct abi_kho *kho, struct error *err);
/* The preserved pages, into kho->preserved. -EPROTONOSUPPORT before kho-v2. */
int abi_read_preserved(struct abi_reader *r, struct abi_kho *kho, struct error *err);
/* The tree itself; *ret is owned by the caller and set also on failure (what was read so far). */
int abi_read_radix(struct abi_reader *r, uint64_t root_pa, struct abi_preserved **ret,
		   struct error *err);
/*
 * The entry "LUO" with its sessions, files and FLBs, into kho->luo; nothing when there is none.
 * Preserved pages should be read first: they tell the orders of folios.
 */
int abi_read_luo(struct abi_reader *r, struct abi_kho *kho, struct error *err);
/* LUO from its blob; size 0: not told. preserved may be NULL. *ret: as abi_read_radix(). */
int abi_read_luo_blob(struct abi_reader *r, uint64_t pa, uint64_t size,
		      const struct abi_preserved *preserved, struct abi_luo **ret,
		      struct error *err);

/* ---- The parts, for the decoder itself and its tests. ---- */

int abi_read_sessions(struct abi_reader *r, uint32_t version, uint64_t pa, struct abi_luo *luo,
		      struct error *err);
int abi_read_files(struct abi_reader *r, uint32_t version, const struct luo_file_set_ser *set,
		   struct abi_session *session, struct error *err);
int abi_read_flbs(struct abi_reader *r, uint64_t pa, struct abi_luo *luo, struct error *err);
/* -EPROTONOSUPPORT: not a memfd version that is known. */
int abi_read_memfd(struct abi_reader *r, const char *compatible, uint64_t pa,
		   const struct abi_preserved *preserved, struct abi_memfd **ret,
		   struct error *err);
/* -EEXIST: two memfds have a page in common. Extents that were left out are not looked at. */
int abi_check_overlaps(const struct abi_luo *luo, struct error *err);

/*
 * A chain of blocks with entries of entry_size bytes: each() gets them in order, `index` from 0.
 * `what` names them in messages about a block ("files, block 3").
 */
typedef int abi_entry_fn(void *opaque, const void *entry, uint64_t index, struct error *err);
int abi_read_chain(struct abi_reader *r, uint64_t pa, const char *what, size_t entry_size,
		   abi_entry_fn *each, void *opaque, struct error *err);

/* A vmalloc area as a sequence of bytes. */
struct abi_vmalloc {
	uint64_t *pages; /* owned; each of 2^order pages */
	size_t count;
	uint32_t order;
};

/* min_size: bytes that the area must hold. */
int abi_read_vmalloc(struct abi_reader *r, const struct kho_vmalloc_ser *ser, uint64_t min_size,
		     struct abi_vmalloc *ret, struct error *err);
void abi_vmalloc_done(struct abi_vmalloc *area);

#endif
