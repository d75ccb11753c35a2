/* SPDX-License-Identifier: Apache-2.0 */
#include <libfdt.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/encode.h"
#include "luo/abi/tree.h"
#include "luo/abi/version.h"

int abi_write_radix(struct abi_image *image, uint64_t *root_pa, uint64_t pa, uint32_t order,
		    struct error *err)
{
	uint64_t key =
		UINT64_C(1) << (KHO_RADIX_ORDER0_BIT - order) | pa >> (ABI_PAGE_SHIFT + order);
	uint64_t *link = root_pa, *words = NULL, bit = key % KHO_RADIX_LEAF_SIZE;

	for (unsigned int level = KHO_RADIX_LEVELS; level > 0; level--) {
		unsigned int shift;

		if (*link == 0) {
			words = abi_image_folio(image, 0, link, err);
			if (!words)
				return -ENOSPC;
			/* The kernel's nodes are no preserved pages: it walks the tree early. */
			image->folio_count--;
		} else {
			words = (uint64_t *)(void *)(image->data + (*link - image->base));
		}
		if (level == 1)
			break;
		shift = (level - 2) * KHO_RADIX_TABLE_BITS + KHO_RADIX_LEAF_BITS;
		link = &words[(key >> shift) % KHO_RADIX_TABLE_SIZE];
	}
	words[bit / 64] |= UINT64_C(1) << (bit % 64);
	return 0;
}

static int preserve_memfd(struct abi_image *image, uint64_t *root_pa, const struct abi_memfd *memfd,
			  struct error *err)
{
	for (size_t i = 0; i < memfd->extent_count; i++) {
		const struct abi_extent *e = &memfd->extents[i];

		for (uint64_t j = 0; j < e->folios; j++) {
			int r = abi_write_radix(image, root_pa,
						e->pa + ((j << e->order) << ABI_PAGE_SHIFT),
						e->order, err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int write_preserved(struct abi_image *image, const struct abi_kho *kho, uint64_t *root_pa,
			   struct error *err)
{
	size_t folios = image->folio_count;
	const struct abi_luo *luo = kho->luo;
	int r = 0;

	for (size_t i = 0; r == 0 && i < folios; i++)
		r = abi_write_radix(image, root_pa, image->folios[i].pa, image->folios[i].order,
				    err);
	for (size_t i = 0; r == 0 && luo && i < luo->session_count; i++)
		for (size_t j = 0; r == 0 && j < luo->sessions[i].file_count; j++)
			if (luo->sessions[i].files[j].memfd)
				r = preserve_memfd(image, root_pa, luo->sessions[i].files[j].memfd,
						   err);
	return r;
}

static int put_entry(void *fdt, uint32_t version, const char *name, uint64_t pa, uint64_t size)
{
	int r = fdt_begin_node(fdt, name);

	r = r ? r : fdt_property(fdt, version == 1 ? KHO_PROP_DATA_V1 : KHO_PROP_DATA, &pa, 8);
	if (version >= 3)
		r = r ? r : fdt_property(fdt, KHO_PROP_SIZE, &size, 8);
	return r ? r : fdt_end_node(fdt);
}

static int write_metadata(struct abi_image *image, const struct abi_kho *kho, uint64_t *ret_pa,
			  struct error *err)
{
	struct kho_metadata_ser *ser = abi_image_folio(image, 0, ret_pa, err);

	if (!ser)
		return -ENOSPC;
	ser->version = KHO_METADATA_VERSION;
	memcpy(ser->previous_release, kho->metadata.previous_release,
	       sizeof(ser->previous_release));
	ser->kexec_count = kho->metadata.kexec_count;
	return 0;
}

static int write_root(void *fdt, const struct abi_kho *kho, uint64_t map_pa, uint64_t luo_pa,
		      uint64_t luo_size, uint64_t metadata_pa)
{
	char compatible[] = "kho-v0";
	int r = fdt_create(fdt, KHO_FDT_SIZE);

	compatible[5] = (char)('0' + kho->version);
	r = r ? r : fdt_finish_reservemap(fdt);
	r = r ? r : fdt_begin_node(fdt, "");
	r = r ? r : abi_tree_put_string(fdt, "compatible", compatible);
	r = r ? r : fdt_property(fdt, KHO_PROP_MEMORY_MAP, &map_pa, sizeof(map_pa));
	if (kho->luo)
		r = r ? r : put_entry(fdt, kho->version, KHO_ENTRY_LUO, luo_pa, luo_size);
	if (kho->has_metadata)
		r = r ? r
		      : put_entry(fdt, kho->version, KHO_ENTRY_METADATA, metadata_pa,
				  sizeof(struct kho_metadata_ser));
	r = r ? r : fdt_end_node(fdt);
	return r ? r : abi_tree_finish(fdt, KHO_FDT_SIZE);
}

int abi_write_kho(struct abi_image *image, const struct abi_kho *kho, uint64_t *ret_fdt_pa,
		  struct error *err)
{
	uint64_t map_pa = 0, luo_pa = 0, luo_size = 0, metadata_pa = 0;
	void *fdt = abi_image_folio(image, 0, ret_fdt_pa, err);
	int r = 0;

	if (kho->version == 0 || kho->version > ABI_KHO_VERSION_MAX)
		return error_set(err, -EPROTONOSUPPORT, "kho-v%u is not known", kho->version);
	if (!fdt)
		return -ENOSPC;
	if (kho->has_metadata)
		r = write_metadata(image, kho, &metadata_pa, err);
	if (r == 0 && kho->luo)
		r = abi_write_luo(image, kho->luo->version, kho->luo, &luo_pa, &luo_size, err);
	if (r == 0 && kho->version >= 2)
		r = write_preserved(image, kho, &map_pa, err);
	if (r < 0)
		return r;
	r = write_root(fdt, kho, map_pa, luo_pa, luo_size, metadata_pa);
	if (r < 0)
		return error_set(err, -EINVAL, "cannot write the KHO device tree: %s",
				 fdt_strerror(r));
	return 0;
}
