/* SPDX-License-Identifier: Apache-2.0 */
/* The root of LUO's state, in each of its shapes (docs/abi.md). */
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/decode.h"
#include "luo/abi/tree.h"
#include "luo/abi/version.h"

struct root {
	const struct abi_version *version;
	uint64_t liveupdate_num;
	uint64_t sessions_pa;
	uint64_t flbs_pa;
};

static int find_version(const char *compatible, bool tree, struct root *root, struct error *err)
{
	uint32_t number = abi_version_number(compatible, LUO_COMPATIBLE_PREFIX);

	if (number == 0)
		return error_set(err, -EBADMSG, "compatible: \"%s\" is no LUO", compatible);
	root->version = abi_version_find(number);
	if (!root->version)
		return error_set(err, -EPROTONOSUPPORT,
				 "compatible: \"%s\" is newer than the luo-v%u that this program "
				 "knows: use a newer holdfast",
				 compatible, ABI_LUO_VERSION_MAX);
	/* Drafts of v3 kept the tree with another meaning; no kernel was released with them. */
	if (tree != (root->version->root != ABI_ROOT_RAW))
		return error_set(err, -EPROTONOSUPPORT,
				 "compatible: \"%s\" %s a device tree: a draft of that version, "
				 "which is not read",
				 compatible, tree ? "in" : "without");
	return 0;
}

/* The address that a node of luo-v1 carries. The document's text calls both nodes v1, its defines
 * the session node v2; the layout behind them is one. */
static int read_node(const void *fdt, const char *name, const char *const *compatibles,
		     const char *prop, uint64_t *ret, struct error *err)
{
	int node = fdt_subnode_offset(fdt, 0, name), r;
	char compatible[32];
	bool known = false;

	if (node < 0)
		return error_set(err, -ENOENT, "%s: no such node", name);
	r = abi_tree_compatible(fdt, node, compatible, sizeof(compatible), err);
	for (; r == 0 && *compatibles; compatibles++)
		known = known || strcmp(compatible, *compatibles) == 0;
	if (r == 0 && !known)
		r = error_set(err, -EPROTONOSUPPORT, "compatible: \"%s\" is not known", compatible);
	if (r == 0)
		r = abi_tree_u64(fdt, node, prop, ret, err);
	if (r < 0)
		error_prefix(err, "%s, ", name);
	return r;
}

static int read_tree(const void *fdt, struct root *root, struct error *err)
{
	static const char *const session[] = {"luo-session-v1", "luo-session-v2", NULL};
	static const char *const flb[] = {"luo-flb-v1", NULL};
	int r = abi_tree_u64(fdt, 0, LUO_FDT_LIVEUPDATE_NUM, &root->liveupdate_num, err);

	if (r == 0)
		r = read_node(fdt, LUO_FDT_SESSION_NODE, session, LUO_FDT_SESSION_HEADER,
			      &root->sessions_pa, err);
	/* Linux 6.19 has no global objects: the node came after it, and the version stayed. */
	if (r < 0 || fdt_subnode_offset(fdt, 0, LUO_FDT_FLB_NODE) == -FDT_ERR_NOTFOUND)
		return r;
	return read_node(fdt, LUO_FDT_FLB_NODE, flb, LUO_FDT_FLB_HEADER, &root->flbs_pa, err);
}

static void take_header(const struct luo_header_v2_ser *header, struct root *root)
{
	root->liveupdate_num = header->liveupdate_num;
	root->sessions_pa = header->sessions_pa;
	root->flbs_pa = header->flbs_pa;
}

static int read_header(struct abi_reader *r, const void *fdt, struct root *root, struct error *err)
{
	struct luo_header_v2_ser header;
	uint64_t pa;
	int code = abi_tree_u64(fdt, 0, LUO_FDT_ABI_HEADER, &pa, err);

	if (code < 0)
		return code;
	code = abi_reader_take(r, abi_reader_owner(r), pa, &header, sizeof(header), err);
	if (code < 0) {
		error_prefix(err, LUO_FDT_ABI_HEADER ": ");
		return code;
	}
	take_header(&header, root);
	return 0;
}

static int parse_raw(const uint8_t *page, uint64_t size, struct root *root, struct error *err)
{
	struct luo_header_v3_ser ser;
	char compatible[LUO_COMPATIBLE_SIZE];
	int r;

	if (size != 0 && size < sizeof(ser))
		return error_set(err, -EOVERFLOW, "%" PRIu64 " bytes where it needs %zu", size,
				 sizeof(ser));
	memcpy(&ser, page, sizeof(ser));
	r = abi_take_name(compatible, ser.compatible, sizeof(ser.compatible), "compatible", err);
	if (r == 0)
		r = find_version(compatible, false, root, err);
	if (r == 0)
		take_header(&ser.header, root);
	return r;
}

static int parse_root(struct abi_reader *r, const uint8_t *page, uint64_t size, struct root *root,
		      struct error *err)
{
	char compatible[32];
	int code;

	if (fdt_magic(page) != FDT_MAGIC)
		return parse_raw(page, size, root, err);
	code = abi_tree_check(page, size != 0 && size < ABI_PAGE_SIZE ? size : ABI_PAGE_SIZE, err);
	if (code == 0)
		code = abi_tree_compatible(page, 0, compatible, sizeof(compatible), err);
	if (code == 0)
		code = find_version(compatible, true, root, err);
	if (code != 0)
		return code;
	return root->version->root == ABI_ROOT_TREE ? read_tree(page, root, err)
						    : read_header(r, page, root, err);
}

/* What the handlers keep behind luo_file_ser.data. */
static int read_data(struct abi_reader *r, const struct abi_preserved *preserved,
		     struct abi_luo *luo, struct error *err)
{
	for (size_t i = 0; i < luo->session_count; i++)
		for (size_t j = 0; j < luo->sessions[i].file_count; j++) {
			struct abi_file *file = &luo->sessions[i].files[j];
			int code = abi_read_memfd(r, file->compatible, file->data, preserved,
						  &file->memfd, err);

			if (code == 0 || code == -EPROTONOSUPPORT)
				continue;
			error_prefix(err, "session %zu \"%s\", file %zu, %s, ", i + 1,
				     luo->sessions[i].name, j + 1, file->compatible);
			return code;
		}
	return 0;
}

int abi_read_luo_blob(struct abi_reader *r, uint64_t pa, uint64_t size,
		      const struct abi_preserved *preserved, struct abi_luo **ret,
		      struct error *err)
{
	_Alignas(8) uint8_t page[ABI_PAGE_SIZE];
	struct root root = {0};
	struct abi_luo *luo;
	int code = abi_reader_take(r, abi_reader_owner(r), pa, page, sizeof(page), err);

	if (code == 0)
		code = parse_root(r, page, size, &root, err);
	if (code != 0) {
		error_prefix(err, "entry \"" KHO_ENTRY_LUO "\", ");
		return code;
	}
	luo = *ret = calloc(1, sizeof(*luo));
	if (!luo)
		return error_set(err, -ENOMEM, "entry \"" KHO_ENTRY_LUO "\": out of memory");
	luo->version = root.version->number;
	luo->liveupdate_number = root.liveupdate_num;
	code = abi_read_sessions(r, luo->version, root.sessions_pa, luo, err);
	if (code == 0)
		code = abi_read_flbs(r, root.flbs_pa, luo, err);
	if (code == 0)
		code = read_data(r, preserved, luo, err);
	return code < 0 ? code : abi_check_overlaps(luo, err);
}
