/* SPDX-License-Identifier: Apache-2.0 */
/* The root of Kexec Handover (Linux include/linux/kho/abi/kexec_handover.h). */
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/decode.h"
#include "luo/abi/tree.h"
#include "luo/abi/version.h"

static int parse_entry(const void *fdt, int node, struct abi_kho *kho, struct error *err)
{
	const char *name = fdt_get_name(fdt, node, NULL);
	const char *data = kho->version == 1 ? KHO_PROP_DATA_V1 : KHO_PROP_DATA;
	struct abi_entry *entry;
	int r;

	if (!name || strlen(name) >= sizeof(entry->name))
		return error_set(err, -EBADMSG, "an entry has no name, or one that is too long");
	if (abi_kho_entry(kho, name))
		return error_set(err, -EEXIST, "entry \"%s\": there twice", name);
	if (kho->entry_count == ABI_ENTRIES_MAX)
		return error_set(err, -EOVERFLOW, "more than %u entries", ABI_ENTRIES_MAX);
	entry = &kho->entries[kho->entry_count];
	memcpy(entry->name, name, strlen(name) + 1);
	r = abi_tree_u64(fdt, node, data, &entry->pa, err);
	if (r == 0 && kho->version >= 3)
		r = abi_tree_u64(fdt, node, KHO_PROP_SIZE, &entry->size, err);
	if (r < 0) {
		error_prefix(err, "entry \"%s\", ", name);
		return r;
	}
	kho->entry_count++;
	return 0;
}

static int parse_root(const void *fdt, struct abi_kho *kho, struct error *err)
{
	char compatible[32];
	int node, r;

	r = abi_tree_compatible(fdt, 0, compatible, sizeof(compatible), err);
	if (r < 0)
		return r;
	kho->version = abi_version_number(compatible, KHO_COMPATIBLE_PREFIX);
	if (kho->version == 0)
		return error_set(err, -EBADMSG, "compatible: \"%s\" is no Kexec Handover",
				 compatible);
	if (kho->version > ABI_KHO_VERSION_MAX)
		return error_set(err, -EPROTONOSUPPORT,
				 "compatible: \"%s\" is newer than the kho-v%u that this program "
				 "knows: use a newer holdfast",
				 compatible, ABI_KHO_VERSION_MAX);
	r = abi_tree_u64(fdt, 0, KHO_PROP_MEMORY_MAP, &kho->memory_map_pa, err);
	if (r < 0)
		return r;
	fdt_for_each_subnode(node, fdt, 0)
	{
		r = parse_entry(fdt, node, kho, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int abi_parse_kho(const void *fdt, size_t available, struct abi_kho **ret, struct error *err)
{
	struct abi_kho *kho;
	int r = abi_tree_check(fdt, available, err);

	if (r < 0)
		goto fail;
	kho = calloc(1, sizeof(*kho));
	if (!kho)
		return error_set(err, -ENOMEM, "KHO root: out of memory");
	r = parse_root(fdt, kho, err);
	if (r == 0) {
		*ret = kho;
		return 0;
	}
	abi_kho_free(kho);
fail:
	error_prefix(err, "KHO root, ");
	return r;
}

int abi_read_kho(struct abi_reader *r, uint64_t fdt_pa, struct abi_kho **ret, struct error *err)
{
	/* libfdt wants 8-byte alignment. */
	_Alignas(8) uint8_t page[KHO_FDT_SIZE];
	int code = abi_reader_take(r, abi_reader_owner(r), fdt_pa, page, sizeof(page), err);

	if (code < 0) {
		error_prefix(err, "KHO root: ");
		return code;
	}
	return abi_parse_kho(page, sizeof(page), ret, err);
}

int abi_read_metadata(struct abi_reader *r, struct abi_kho *kho, struct error *err)
{
	const struct abi_entry *entry = abi_kho_entry(kho, KHO_ENTRY_METADATA);
	struct kho_metadata_ser ser;
	int code;

	if (!entry)
		return 0;
	if (entry->size < sizeof(ser))
		return error_set(err, -EOVERFLOW,
				 "entry \"" KHO_ENTRY_METADATA "\": %" PRIu64
				 " bytes where it needs %zu",
				 entry->size, sizeof(ser));
	code = abi_reader_take(r, abi_reader_owner(r), entry->pa, &ser, sizeof(ser), err);
	if (code == 0 && ser.version != KHO_METADATA_VERSION)
		code = error_set(err, -EPROTONOSUPPORT, "version: %u is not known", ser.version);
	if (code == 0)
		code = abi_take_name(kho->metadata.previous_release, ser.previous_release,
				     sizeof(ser.previous_release), "previous_release", err);
	if (code < 0) {
		error_prefix(err, "entry \"" KHO_ENTRY_METADATA "\", ");
		return code;
	}
	kho->metadata.kexec_count = ser.kexec_count;
	kho->has_metadata = true;
	return 0;
}

int abi_read_preserved(struct abi_reader *r, struct abi_kho *kho, struct error *err)
{
	if (kho->version < 2)
		return error_set(
			err, -EPROTONOSUPPORT,
			"preserved pages: kho-v%u keeps them in chunked bitmaps, which are "
			"not read",
			kho->version);
	return abi_read_radix(r, kho->memory_map_pa, &kho->preserved, err);
}

int abi_read_luo(struct abi_reader *r, struct abi_kho *kho, struct error *err)
{
	const struct abi_entry *entry = abi_kho_entry(kho, KHO_ENTRY_LUO);

	if (!entry)
		return 0;
	return abi_read_luo_blob(r, entry->pa, entry->size, kho->preserved, &kho->luo, err);
}
