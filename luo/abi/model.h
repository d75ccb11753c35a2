/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel hands to the next one, in memory, the same for every version of the ABI: the root
 * of Kexec Handover, the preserved pages, the sessions with their files, the FLBs. Plain data that
 * owns everything it points to.
 */
#ifndef HOLDFAST_LUO_ABI_MODEL_H
#define HOLDFAST_LUO_ABI_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "luo/abi/layout.h"

/* Folios of one file that lie behind one another in memory and in the file and are equally large.
 */
struct abi_extent {
	uint64_t index; /* page offset in the file */
	uint64_t pa;
	uint64_t folios;
	uint32_t order; /* pages in a folio, as a power of two */
	uint32_t flags; /* MEMFD_FOLIO_ */
};

/* More extents than this are counted and not kept. */
#define ABI_EXTENTS_MAX 65536U

struct abi_memfd {
	uint32_t version; /* of "memfd-v1", "memfd-v2" */
	uint64_t pos;	  /* bytes */
	uint64_t size;	  /* bytes */
	uint32_t seals;	  /* F_SEAL_; 0 in v1, which does not keep them */
	uint32_t flags;
	uint64_t folios;
	uint64_t pages; /* in all folios together */
	struct abi_extent *extents;
	size_t extent_count;
	uint64_t extents_left_out;
	uint64_t folios_by_order[KHO_ORDER_MAX + 1];
	/* Folios that the tree of preserved pages does not have: the next kernel cannot take them.
	 */
	uint64_t folios_not_preserved;
};

struct abi_file {
	char compatible[LUO_COMPATIBLE_LEN]; /* names the handler */
	uint64_t token;
	uint64_t data;		 /* the handler's: an address for memfd */
	struct abi_memfd *memfd; /* NULL: another handler, or not decoded */
};

struct abi_session {
	char name[LUO_NAME_SIZE];
	struct abi_file *files;
	size_t file_count;
};

struct abi_flb {
	char name[LUO_COMPATIBLE_LEN];
	uint64_t data;
	uint64_t count; /* files that depend on it */
};

struct abi_luo {
	uint32_t version; /* 1 to 5 */
	uint64_t liveupdate_number;
	/* False: the state carries no sessions (yet): a running kernel writes them inside
	 * reboot(2). */
	bool has_sessions;
	struct abi_session *sessions;
	size_t session_count;
	struct abi_flb *flbs;
	size_t flb_count;
};

/* A run of preserved folios of one order behind one another. */
struct abi_run {
	uint64_t pa;
	uint64_t count;
};

struct abi_preserved {
	uint64_t nodes; /* pages of the tree itself */
	uint64_t pages; /* preserved, in all orders together */
	uint64_t folios_by_order[KHO_ORDER_MAX + 1];
	/* Sorted by address. */
	struct abi_run *runs[KHO_ORDER_MAX + 1];
	size_t run_count[KHO_ORDER_MAX + 1];
};

/* A blob that a part of the kernel hands over: "LUO", "memblock", "kexec-metadata". */
struct abi_entry {
	char name[64];
	uint64_t pa;
	uint64_t size; /* 0: not told (before kho-v3) */
};

#define ABI_ENTRIES_MAX 64U

struct abi_metadata {
	char previous_release[65];
	uint32_t kexec_count; /* kexecs since the last cold boot, this one included */
};

struct abi_kho {
	uint32_t version; /* 1 to 4 */
	uint64_t memory_map_pa;
	struct abi_entry entries[ABI_ENTRIES_MAX];
	size_t entry_count;
	bool has_metadata;
	struct abi_metadata metadata;
	struct abi_preserved *preserved; /* NULL: not read */
	struct abi_luo *luo;		 /* NULL: no such entry, or not read */
};

void abi_memfd_free(struct abi_memfd *memfd);
void abi_luo_free(struct abi_luo *luo);
void abi_preserved_free(struct abi_preserved *preserved);
void abi_kho_free(struct abi_kho *kho);

static inline void abi_luo_freep(struct abi_luo **luo)
{
	abi_luo_free(*luo);
}

static inline void abi_kho_freep(struct abi_kho **kho)
{
	abi_kho_free(*kho);
}

static inline void abi_preserved_freep(struct abi_preserved **preserved)
{
	abi_preserved_free(*preserved);
}

#define _cleanup_luo_	    __attribute__((cleanup(abi_luo_freep)))
#define _cleanup_kho_	    __attribute__((cleanup(abi_kho_freep)))
#define _cleanup_preserved_ __attribute__((cleanup(abi_preserved_freep)))

const struct abi_entry *abi_kho_entry(const struct abi_kho *kho, const char *name);
/* Whether the folio at pa is preserved, and with which order. */
bool abi_preserved_find(const struct abi_preserved *preserved, uint64_t pa, uint32_t *ret_order);

/*
 * Makes room for one more element in an array that grows by doubling: *array may move. -ENOMEM.
 * Elements are zeroed.
 */
int abi_grow(void **array, size_t count, size_t size);
#define ABI_GROW(array, count)                                         \
	({                                                             \
		void *_array = (array);                                \
		int _r = abi_grow(&_array, (count), sizeof(*(array))); \
		(array) = _array;                                      \
		_r;                                                    \
	})

#endif
