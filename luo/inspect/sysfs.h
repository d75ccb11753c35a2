/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a running kernel shows of KHO in debugfs and in sysfs. Of debugfs these can be trusted
 * (docs/abi.md): in/fdt, in/sub_fdts/kexec-metadata, out/sub_fdts/LUO, out/scratch_phys and _len.
 */
#ifndef HOLDFAST_LUO_INSPECT_SYSFS_H
#define HOLDFAST_LUO_INSPECT_SYSFS_H

#include "luo/inspect/inspect.h"

struct inspect_sysfs {
	bool kho;		     /* the kernel shows something of KHO */
	char release[65];	     /* of the running kernel */
	struct kho_setup_data setup; /* what it was started with; fdt_addr 0: none */
	struct abi_kho *incoming;    /* its root and entries; NULL: none */
	const char *incoming_source;
	bool has_incoming_metadata;
	struct abi_metadata incoming_metadata;
	bool has_out_luo; /* LUO is on */
	uint32_t out_luo_version;
	uint64_t out_luo_number;
	struct kho_scratch_ser scratch[INSPECT_SCRATCH_MAX];
	size_t scratch_count;
	struct inspect_notes notes;
};

/* root: "" or a folder that stands for "/". mem may be NULL. Never fails: what is missing is zero.
 */
void sysfs_read(const char *root, const struct physmem *mem, struct inspect_sysfs *ret);
void sysfs_done(struct inspect_sysfs *sysfs);

#define _cleanup_sysfs_ __attribute__((cleanup(sysfs_done)))

/*
 * A whole file below root, at most max bytes, with a terminator behind it; NULL when it cannot be
 * read (errno tells why). Owned by the caller.
 */
char *sysfs_load(const char *root, const char *path, size_t max, size_t *ret_size);

#endif
