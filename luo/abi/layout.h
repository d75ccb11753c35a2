/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one kernel leaves in memory for the next, byte for byte: docs/abi.md has the tables and
 * their sources (Linux include/linux/kho/abi/). Integers are of the host's own byte order, also
 * inside the KHO device trees. Physical addresses are in bytes.
 */
#ifndef HOLDFAST_LUO_ABI_LAYOUT_H
#define HOLDFAST_LUO_ABI_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define _packed_ __attribute__((packed))

#define ABI_PAGE_SHIFT 12U
#define ABI_PAGE_SIZE  4096U

/* ---- KHO: the root, a device tree of one page (kexec_handover.h). ---- */

#define KHO_COMPATIBLE_PREFIX "kho-v"
#define KHO_PROP_MEMORY_MAP   "preserved-memory-map"
#define KHO_PROP_DATA_V1      "fdt"	       /* v1: address of a device tree */
#define KHO_PROP_DATA	      "preserved-data" /* since v2: address of a blob */
#define KHO_PROP_SIZE	      "blob-size"      /* since v3 */
#define KHO_FDT_SIZE	      ABI_PAGE_SIZE

#define KHO_ENTRY_LUO	   "LUO"
#define KHO_ENTRY_METADATA "kexec-metadata"

#define KHO_METADATA_VERSION 1U

struct kho_metadata_ser {
	uint32_t version;
	char previous_release[65]; /* __NEW_UTS_LEN + 1 */
	uint32_t kexec_count;
} _packed_;

/* x86 hand-over: setup_data of type SETUP_KEXEC_KHO (uapi asm/setup_data.h). */
#define KHO_SETUP_DATA_TYPE 10U

struct kho_setup_data {
	uint64_t next;
	uint32_t type;
	uint32_t len;
	uint64_t fdt_addr;
	uint64_t fdt_size;
	uint64_t scratch_addr;
	uint64_t scratch_size;
} _packed_;

struct kho_scratch_ser {
	uint64_t addr;
	uint64_t size;
} _packed_;

/* ---- KHO: the radix tree of preserved pages, since v2. ---- */

#define KHO_RADIX_LEVELS     6U /* five of tables, one of bitmaps */
#define KHO_RADIX_TABLE_BITS 9U
#define KHO_RADIX_TABLE_SIZE 512U
#define KHO_RADIX_LEAF_BITS  15U
#define KHO_RADIX_LEAF_SIZE  32768U
#define KHO_RADIX_ORDER0_BIT 52U /* 64 - ABI_PAGE_SHIFT */
#define KHO_ORDER_MAX	     51U /* the largest whose size fits in 64 bits */

/* ---- KHO: a vmalloc area. ---- */

struct kho_vmalloc_ser {
	uint64_t first; /* chunk */
	uint32_t total_pages;
	uint16_t flags;
	uint16_t order;
} _packed_;

#define KHO_VMALLOC_FLAGS     0x3U /* ALLOC, HUGE_VMAP */
#define KHO_VMALLOC_PER_CHUNK 511U

struct kho_vmalloc_chunk_ser {
	uint64_t next;
	uint64_t phys[KHO_VMALLOC_PER_CHUNK]; /* zero-terminated unless full */
} _packed_;

/* ---- KHO: a chain of blocks, since v4 (block.h). ---- */

#define KHO_BLOCK_SIZE ABI_PAGE_SIZE
#define KHO_BLOCKS_MAX 10000U /* the kernel's own bound (kho_block.c) */

struct kho_block_ser {
	uint64_t next;
	uint64_t count;
} _packed_;

/* ---- LUO (luo.h). ---- */

#define LUO_COMPATIBLE_PREFIX "luo-v"
#define LUO_COMPATIBLE_SIZE   8U

#define LUO_FDT_LIVEUPDATE_NUM "liveupdate-number"  /* v1 */
#define LUO_FDT_SESSION_NODE   "luo-session"	    /* v1 */
#define LUO_FDT_SESSION_HEADER "luo-session-header" /* v1 */
#define LUO_FDT_FLB_NODE       "luo-flb"	    /* v1 */
#define LUO_FDT_FLB_HEADER     "luo-flb-header"	    /* v1 */
#define LUO_FDT_ABI_HEADER     "luo-abi-header"	    /* v2 */

struct luo_header_v2_ser {
	uint64_t liveupdate_num;
	uint64_t sessions_pa;
	uint64_t flbs_pa;
} _packed_;

struct luo_header_v3_ser {
	char compatible[LUO_COMPATIBLE_SIZE];
	struct luo_header_v2_ser header;
} _packed_;

/* v1 to v3: one array in 16 pages. */
#define LUO_SESSION_ARRAY_PAGES 16U

struct luo_session_header_ser {
	uint64_t count;
} _packed_;

#define LUO_NAME_SIZE	   64U
#define LUO_COMPATIBLE_LEN 48U

struct luo_file_set_ser {
	uint64_t files;
	uint64_t count;
} _packed_;

struct luo_session_ser {
	char name[LUO_NAME_SIZE];
	struct luo_file_set_ser file_set;
} _packed_;

/* v1 to v4: one array in two pages. */
#define LUO_FILE_ARRAY_PAGES 2U

struct luo_file_ser {
	char compatible[LUO_COMPATIBLE_LEN];
	uint64_t data;
	uint64_t token;
} _packed_;

#define LUO_FLB_PAGES 1U

struct luo_flb_header_ser {
	uint64_t pgcnt;
	uint64_t count;
} _packed_;

struct luo_flb_ser {
	char name[LUO_COMPATIBLE_LEN];
	uint64_t data;
	uint64_t count;
} _packed_;

#define LUO_SESSIONS_PER_ARRAY                                                               \
	((LUO_SESSION_ARRAY_PAGES * ABI_PAGE_SIZE - sizeof(struct luo_session_header_ser)) / \
	 sizeof(struct luo_session_ser))
#define LUO_FILES_PER_ARRAY (LUO_FILE_ARRAY_PAGES * ABI_PAGE_SIZE / sizeof(struct luo_file_ser))
#define LUO_FLBS_MAX                                                           \
	((LUO_FLB_PAGES * ABI_PAGE_SIZE - sizeof(struct luo_flb_header_ser)) / \
	 sizeof(struct luo_flb_ser))
#define KHO_PER_BLOCK(type) ((KHO_BLOCK_SIZE - sizeof(struct kho_block_ser)) / sizeof(type))

/* ---- memfd (memfd.h). ---- */

#define MEMFD_COMPATIBLE_PREFIX "memfd-v"

struct memfd_v1_ser {
	uint64_t pos;
	uint64_t size;
	uint64_t nr_folios;
	struct kho_vmalloc_ser folios;
} _packed_;

struct memfd_v2_ser {
	uint64_t pos;
	uint64_t size;
	uint32_t seals;
	uint32_t flags;
	uint64_t nr_folios;
	struct kho_vmalloc_ser folios;
} _packed_;

/* pfn in the low 52 bits of the first word, flags in the high 12. */
struct memfd_folio_ser {
	uint64_t pfn_flags;
	uint64_t index; /* page offset in the file */
} _packed_;

#define MEMFD_FOLIO_PFN_BITS 52U
#define MEMFD_FOLIO_DIRTY    0x1U
#define MEMFD_FOLIO_UPTODATE 0x2U
/* F_SEAL_SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE, EXEC (linux/fcntl.h). */
#define MEMFD_SEALS_KNOWN 0x3fU

/* The documents' sizes and offsets. */
static_assert(sizeof(struct kho_metadata_ser) == 73, "kexec_metadata.h");
static_assert(offsetof(struct kho_metadata_ser, previous_release) == 4, "kexec_metadata.h");
static_assert(offsetof(struct kho_metadata_ser, kexec_count) == 69, "kexec_metadata.h");
static_assert(sizeof(struct kho_setup_data) == 48, "setup_data.h");
static_assert(offsetof(struct kho_setup_data, fdt_addr) == 16, "setup_data.h");
static_assert(offsetof(struct kho_setup_data, scratch_size) == 40, "setup_data.h");
static_assert(sizeof(struct kho_scratch_ser) == 16, "kexec_handover.h");
static_assert(sizeof(struct kho_vmalloc_ser) == 16, "kexec_handover.h");
static_assert(offsetof(struct kho_vmalloc_ser, total_pages) == 8, "kexec_handover.h");
static_assert(offsetof(struct kho_vmalloc_ser, flags) == 12, "kexec_handover.h");
static_assert(offsetof(struct kho_vmalloc_ser, order) == 14, "kexec_handover.h");
static_assert(sizeof(struct kho_vmalloc_chunk_ser) == 4096, "kexec_handover.h");
static_assert(sizeof(struct kho_block_ser) == 16, "block.h");
static_assert(offsetof(struct kho_block_ser, count) == 8, "block.h");
static_assert(sizeof(struct luo_header_v2_ser) == 24, "luo-v2");
static_assert(sizeof(struct luo_header_v3_ser) == 32, "luo-v3");
static_assert(offsetof(struct luo_header_v3_ser, header.liveupdate_num) == 8, "luo-v3");
static_assert(offsetof(struct luo_header_v3_ser, header.sessions_pa) == 16, "luo-v3");
static_assert(offsetof(struct luo_header_v3_ser, header.flbs_pa) == 24, "luo-v3");
static_assert(sizeof(struct luo_session_header_ser) == 8, "luo-v1");
static_assert(sizeof(struct luo_file_set_ser) == 16, "luo.h");
static_assert(sizeof(struct luo_session_ser) == 80, "luo.h");
static_assert(offsetof(struct luo_session_ser, file_set.files) == 64, "luo.h");
static_assert(offsetof(struct luo_session_ser, file_set.count) == 72, "luo.h");
static_assert(sizeof(struct luo_file_ser) == 64, "luo.h");
static_assert(offsetof(struct luo_file_ser, data) == 48, "luo.h");
static_assert(offsetof(struct luo_file_ser, token) == 56, "luo.h");
static_assert(sizeof(struct luo_flb_header_ser) == 16, "luo.h");
static_assert(sizeof(struct luo_flb_ser) == 64, "luo.h");
static_assert(offsetof(struct luo_flb_ser, data) == 48, "luo.h");
static_assert(offsetof(struct luo_flb_ser, count) == 56, "luo.h");
static_assert(sizeof(struct memfd_v1_ser) == 40, "memfd-v1");
static_assert(sizeof(struct memfd_v2_ser) == 48, "memfd-v2");
static_assert(offsetof(struct memfd_v2_ser, seals) == 16, "memfd-v2");
static_assert(offsetof(struct memfd_v2_ser, nr_folios) == 24, "memfd-v2");
static_assert(offsetof(struct memfd_v2_ser, folios) == 32, "memfd-v2");
static_assert(sizeof(struct memfd_folio_ser) == 16, "memfd.h");
static_assert(LUO_SESSIONS_PER_ARRAY == 819, "luo-v1: 16 pages of sessions");
static_assert(LUO_FILES_PER_ARRAY == 128, "luo-v1: 2 pages of files");
static_assert(LUO_FLBS_MAX == 63, "luo.h: one page of FLBs");
static_assert(KHO_PER_BLOCK(struct luo_session_ser) == 51, "luo-v5: sessions in a block");
static_assert(KHO_PER_BLOCK(struct luo_file_ser) == 63, "luo-v5: files in a block");

#endif
