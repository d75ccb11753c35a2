/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents' numbers, written down a second time and on purpose without our headers: what is
 * right is what Linux's include/linux/kho/abi and docs/abi.md say, not what luo/abi does.
 */
#ifndef HOLDFAST_TESTS_ABI_SPEC_H
#define HOLDFAST_TESTS_ABI_SPEC_H

#include <stddef.h>
#include <stdint.h>

#define SPEC_PAGE 4096U

/* luo.h, luo-v1: array header, then entries of 80 bytes; files of 64 bytes. */
#define SPEC_SESSION_COUNT_V1 0U
#define SPEC_SESSIONS_V1      8U
#define SPEC_SESSION_SIZE     80U
#define SPEC_SESSION_NAME     0U
#define SPEC_SESSION_FILES    64U
#define SPEC_SESSION_COUNT    72U
#define SPEC_FILE_SIZE	      64U
#define SPEC_FILE_COMPATIBLE  0U
#define SPEC_FILE_DATA	      48U
#define SPEC_FILE_TOKEN	      56U
#define SPEC_FLB_PGCNT	      0U
#define SPEC_FLB_COUNT	      8U
#define SPEC_FLBS	      16U
#define SPEC_FLB_NAME	      0U
#define SPEC_FLB_DATA	      48U
#define SPEC_FLB_USERS	      56U
/* luo-v2's header, behind luo-abi-header. */
#define SPEC_HEADER_NUMBER   0U
#define SPEC_HEADER_SESSIONS 8U
#define SPEC_HEADER_FLBS     16U
/* luo.h, luo-v3 and later: the string in front of it. */
#define SPEC_LUO_COMPATIBLE 0U
#define SPEC_LUO_NUMBER	    8U
#define SPEC_LUO_SESSIONS   16U
#define SPEC_LUO_FLBS	    24U
#define SPEC_LUO_SIZE	    32U
/* block.h */
#define SPEC_BLOCK_NEXT	   0U
#define SPEC_BLOCK_COUNT   8U
#define SPEC_BLOCK_ENTRIES 16U
/* memfd.h */
#define SPEC_MEMFD_POS	      0U
#define SPEC_MEMFD_SIZE	      8U
#define SPEC_MEMFD1_NR_FOLIOS 16U
#define SPEC_MEMFD1_FOLIOS    24U
#define SPEC_MEMFD2_SEALS     16U
#define SPEC_MEMFD2_FLAGS     20U
#define SPEC_MEMFD2_NR_FOLIOS 24U
#define SPEC_MEMFD2_FOLIOS    32U
#define SPEC_FOLIO_SIZE	      16U
#define SPEC_FOLIO_INDEX      8U
/* kexec_handover.h, struct kho_vmalloc and its chunks. */
#define SPEC_VMALLOC_FIRST 0U
#define SPEC_VMALLOC_PAGES 8U
#define SPEC_VMALLOC_FLAGS 12U
#define SPEC_VMALLOC_ORDER 14U
#define SPEC_CHUNK_NEXT	   0U
#define SPEC_CHUNK_PHYS	   8U
/* kexec_metadata.h */
#define SPEC_META_VERSION 0U
#define SPEC_META_RELEASE 4U
#define SPEC_META_COUNT	  69U
#define SPEC_META_SIZE	  73U

/* Memory as the test expects it: bytes from base on. */
struct spec {
	uint8_t *bytes;
	size_t size;
	uint64_t base;
	uint64_t next; /* first page not used yet */
};

/* A free, aligned run of pages. */
uint64_t spec_pages(struct spec *s, unsigned int pages);
void spec_u64(struct spec *s, uint64_t pa, uint64_t value);
void spec_u32(struct spec *s, uint64_t pa, uint32_t value);
void spec_u16(struct spec *s, uint64_t pa, uint16_t value);
void spec_text(struct spec *s, uint64_t pa, const char *text);
/* Sets the bit of a folio in the tree of preserved pages; the root is the page at root. */
void spec_preserve(struct spec *s, uint64_t root, uint64_t pa, unsigned int order);

/* A device tree, Devicetree Specification v0.4, chapter 5; nodes and properties in order. */
struct spec_tree {
	uint8_t structure[2048];
	size_t structure_size;
	char strings[256]; /* filled from the end, as libfdt's sequential writer does */
	size_t strings_size;
};

void spec_begin(struct spec_tree *t, const char *node);
void spec_end(struct spec_tree *t);
void spec_prop(struct spec_tree *t, const char *name, const void *value, size_t size);
void spec_prop_text(struct spec_tree *t, const char *name, const char *value);
void spec_prop_u64(struct spec_tree *t, const char *name, uint64_t value); /* host's byte order */
/* Returns the tree's size. */
size_t spec_finish(struct spec *s, struct spec_tree *t, uint64_t pa);

#endif
