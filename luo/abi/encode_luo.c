/* SPDX-License-Identifier: Apache-2.0 */
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/encode.h"
#include "luo/abi/tree.h"
#include "luo/abi/version.h"

/* Fills entry `index` of a list. */
typedef int fill_fn(void *opaque, size_t index, void *entry, struct error *err);

static int write_array(struct abi_image *image, uint32_t order, size_t header, size_t entry_size,
		       size_t count, size_t max, fill_fn *fill, void *opaque, uint64_t *ret_pa,
		       struct error *err)
{
	uint8_t *array;
	uint64_t count64 = count;

	if (count > max)
		return error_set(err, -EOVERFLOW, "count: %zu where the array holds %zu", count,
				 max);
	array = abi_image_folio(image, order, ret_pa, err);
	if (!array)
		return -ENOSPC;
	if (header > 0)
		memcpy(array, &count64, sizeof(count64));
	for (size_t i = 0; i < count; i++) {
		int r = fill(opaque, i, array + header + i * entry_size, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int write_chain(struct abi_image *image, size_t entry_size, size_t count, fill_fn *fill,
		       void *opaque, uint64_t *ret_pa, struct error *err)
{
	size_t max = (KHO_BLOCK_SIZE - sizeof(struct kho_block_ser)) / entry_size;
	struct kho_block_ser *last = NULL, *block = NULL;

	*ret_pa = 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t pa;
		int r;

		if (i % max == 0) {
			block = abi_image_folio(image, 0, &pa, err);
			if (!block)
				return -ENOSPC;
			if (last)
				last->next = pa;
			else
				*ret_pa = pa;
			last = block;
		}
		r = fill(opaque, i, (uint8_t *)(block + 1) + block->count * entry_size, err);
		if (r < 0)
			return r;
		block->count++;
	}
	return 0;
}

struct writer {
	struct abi_image *image;
	const struct abi_version *version;
	const struct abi_luo *luo;
	const struct abi_session *session;
};

static int fill_file(void *opaque, size_t index, void *entry, struct error *err)
{
	const struct writer *w = opaque;
	const struct abi_file *file = &w->session->files[index];
	struct luo_file_ser ser = {.data = file->data, .token = file->token};
	uint64_t pa;
	int r;

	memcpy(ser.compatible, file->compatible, sizeof(ser.compatible));
	if (file->memfd) {
		r = abi_write_memfd(w->image, file->memfd, &pa, err);
		if (r < 0) {
			error_prefix(err, "file %zu, ", index + 1);
			return r;
		}
		ser.data = pa;
	}
	memcpy(entry, &ser, sizeof(ser));
	return 0;
}

static int fill_session(void *opaque, size_t index, void *entry, struct error *err)
{
	struct writer *w = opaque;
	const struct abi_session *session = &w->luo->sessions[index];
	struct luo_session_ser ser = {.file_set.count = session->file_count};
	uint64_t pa = 0;
	int r = 0;

	memcpy(ser.name, session->name, sizeof(ser.name));
	w->session = session;
	if (session->file_count > 0 && w->version->files == ABI_LIST_CHAIN)
		r = write_chain(w->image, sizeof(struct luo_file_ser), session->file_count,
				fill_file, w, &pa, err);
	else if (session->file_count > 0)
		r = write_array(w->image, 1, 0, sizeof(struct luo_file_ser), session->file_count,
				LUO_FILES_PER_ARRAY, fill_file, w, &pa, err);
	if (r < 0) {
		error_prefix(err, "session %zu \"%s\", ", index + 1, session->name);
		return r;
	}
	ser.file_set.files = pa;
	memcpy(entry, &ser, sizeof(ser));
	return 0;
}

static int write_sessions(struct writer *w, uint64_t *ret_pa, struct error *err)
{
	const struct abi_luo *luo = w->luo;

	if (w->version->sessions == ABI_LIST_CHAIN)
		return write_chain(w->image, sizeof(struct luo_session_ser), luo->session_count,
				   fill_session, w, ret_pa, err);
	return write_array(w->image, 4, sizeof(struct luo_session_header_ser),
			   sizeof(struct luo_session_ser), luo->session_count,
			   LUO_SESSIONS_PER_ARRAY, fill_session, w, ret_pa, err);
}

static int write_flbs(struct writer *w, uint64_t *ret_pa, struct error *err)
{
	struct luo_flb_header_ser *header;
	struct luo_flb_ser *flbs;

	if (w->luo->flb_count > LUO_FLBS_MAX)
		return error_set(err, -EOVERFLOW, "FLBs, count: %zu where the page holds %zu",
				 w->luo->flb_count, LUO_FLBS_MAX);
	header = abi_image_folio(w->image, 0, ret_pa, err);
	if (!header)
		return -ENOSPC;
	header->pgcnt = LUO_FLB_PAGES;
	header->count = w->luo->flb_count;
	flbs = (struct luo_flb_ser *)(header + 1);
	for (size_t i = 0; i < w->luo->flb_count; i++) {
		memcpy(flbs[i].name, w->luo->flbs[i].name, sizeof(flbs[i].name));
		flbs[i].data = w->luo->flbs[i].data;
		flbs[i].count = w->luo->flbs[i].count;
	}
	return 0;
}

static int write_tree(void *page, const struct abi_version *version,
		      const struct luo_header_v2_ser *header, uint64_t header_pa)
{
	int r = fdt_create(page, ABI_PAGE_SIZE);

	r = r ? r : fdt_finish_reservemap(page);
	r = r ? r : fdt_begin_node(page, "");
	r = r ? r : abi_tree_put_string(page, "compatible", version->compatible);
	if (version->root == ABI_ROOT_HEADER) {
		r = r ? r : fdt_property(page, LUO_FDT_ABI_HEADER, &header_pa, sizeof(header_pa));
	} else {
		r = r ? r
		      : fdt_property(page, LUO_FDT_LIVEUPDATE_NUM, &header->liveupdate_num,
				     sizeof(header->liveupdate_num));
		r = r ? r : fdt_begin_node(page, LUO_FDT_SESSION_NODE);
		r = r ? r : abi_tree_put_string(page, "compatible", "luo-session-v2");
		r = r ? r
		      : fdt_property(page, LUO_FDT_SESSION_HEADER, &header->sessions_pa,
				     sizeof(header->sessions_pa));
		r = r ? r : fdt_end_node(page);
		r = r ? r : fdt_begin_node(page, LUO_FDT_FLB_NODE);
		r = r ? r : abi_tree_put_string(page, "compatible", "luo-flb-v1");
		r = r ? r
		      : fdt_property(page, LUO_FDT_FLB_HEADER, &header->flbs_pa,
				     sizeof(header->flbs_pa));
		r = r ? r : fdt_end_node(page);
	}
	r = r ? r : fdt_end_node(page);
	return r ? r : abi_tree_finish(page, ABI_PAGE_SIZE);
}

static int write_root(struct abi_image *image, const struct abi_version *version,
		      const struct luo_header_v2_ser *header, uint8_t *root, uint64_t *ret_size,
		      struct error *err)
{
	struct luo_header_v3_ser raw = {.header = *header};
	uint64_t header_pa = 0;
	int r;

	if (version->root == ABI_ROOT_RAW) {
		memcpy(raw.compatible, version->compatible, strlen(version->compatible));
		memcpy(root, &raw, sizeof(raw));
		*ret_size = sizeof(raw);
		return 0;
	}
	if (version->root == ABI_ROOT_HEADER) {
		void *page = abi_image_folio(image, 0, &header_pa, err);

		if (!page)
			return -ENOSPC;
		memcpy(page, header, sizeof(*header));
	}
	r = write_tree(root, version, header, header_pa);
	if (r < 0)
		return error_set(err, -EINVAL, "cannot write LUO's device tree: %s",
				 fdt_strerror(r));
	*ret_size = fdt_totalsize(root);
	return 0;
}

int abi_write_luo(struct abi_image *image, uint32_t version, const struct abi_luo *luo,
		  uint64_t *ret_pa, uint64_t *ret_size, struct error *err)
{
	struct writer w = {.image = image, .version = abi_version_find(version), .luo = luo};
	struct luo_header_v2_ser header = {.liveupdate_num = luo->liveupdate_number};
	uint8_t *root;
	uint64_t sessions_pa = 0, flbs_pa = 0;
	int r;

	if (!w.version)
		return error_set(err, -EPROTONOSUPPORT, "luo-v%u is not known", version);
	root = abi_image_folio(image, 0, ret_pa, err);
	if (!root)
		return -ENOSPC;
	r = write_sessions(&w, &sessions_pa, err);
	if (r == 0)
		r = write_flbs(&w, &flbs_pa, err);
	if (r < 0)
		return r;
	header.sessions_pa = sessions_pa;
	header.flbs_pa = flbs_pa;
	return write_root(image, w.version, &header, root, ret_size, err);
}
