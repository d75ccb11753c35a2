/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading structures out of memory that nobody vouches for. Every page of metadata belongs to one
 * structure and is taken once: a page that turns up again is a cycle or an overlap, and so no
 * structure, however broken, can make a reader work more than the memory is large.
 */
#ifndef HOLDFAST_LUO_ABI_READER_H
#define HOLDFAST_LUO_ABI_READER_H

#include "luo/abi/model.h"
#include "luo/physmem/physmem.h"

struct abi_claim {
	uint64_t key; /* page frame + 1; 0: free */
	uint32_t owner;
};

struct abi_reader {
	const struct physmem *mem; /* borrowed */
	struct abi_claim *claims;
	size_t claim_count;
	size_t claim_capacity;
	uint32_t owners;
};

void abi_reader_init(struct abi_reader *r, const struct physmem *mem);
void abi_reader_done(struct abi_reader *r);

#define _cleanup_reader_ __attribute__((cleanup(abi_reader_done)))

/* A new structure (one chain, one tree, one array) to take pages for. */
uint32_t abi_reader_owner(struct abi_reader *r);

/*
 * Takes the pages from pa on and reads the first len bytes. -EINVAL: not page-aligned. -EFAULT:
 * outside memory. -ELOOP: this owner has the page already: a cycle. -EEXIST: another structure has
 * it. Messages name the address only: callers put the path in front.
 */
int abi_reader_take(struct abi_reader *r, uint32_t owner, uint64_t pa, void *buf, size_t len,
		    struct error *err);

/*
 * Copies a fixed-size name to a terminated string. -EBADMSG: `what` has no terminator, or is empty.
 */
int abi_take_name(char *to, const char *from, size_t size, const char *what, struct error *err);

#endif
