/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the model to memory, as a kernel of the given version writes it. Messages have the same
 * paths as the decoder's. What does not fit a version (129 files in luo-v1, an unknown seal) is
 * refused: -EOVERFLOW or -EINVAL; a full image is -ENOSPC.
 */
#ifndef HOLDFAST_LUO_ABI_ENCODE_H
#define HOLDFAST_LUO_ABI_ENCODE_H

#include "luo/abi/image.h"
#include "luo/abi/model.h"

/*
 * LUO's state with everything that hangs on it. Files of memfd handlers that have a `memfd` get
 * their data written; others keep `data` as it is. luo->version is not looked at.
 */
int abi_write_luo(struct abi_image *image, uint32_t version, const struct abi_luo *luo,
		  uint64_t *ret_pa, uint64_t *ret_size, struct error *err);
/* One memfd; version 1 or 2 is memfd->version. */
int abi_write_memfd(struct abi_image *image, const struct abi_memfd *memfd, uint64_t *ret_pa,
		    struct error *err);
/*
 * A whole hand-over: kexec metadata, LUO's state if the model has one (kho->luo->version), the tree
 * of preserved pages (every folio of the image and of the memfds; from kho-v2 on), and the root in
 * version kho->version. kho->entries are not looked at.
 */
int abi_write_kho(struct abi_image *image, const struct abi_kho *kho, uint64_t *ret_fdt_pa,
		  struct error *err);

/* A tree with the folio at pa added; *root_pa 0: a new tree. */
int abi_write_radix(struct abi_image *image, uint64_t *root_pa, uint64_t pa, uint32_t order,
		    struct error *err);

#endif
