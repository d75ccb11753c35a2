/* SPDX-License-Identifier: Apache-2.0 */
/* File-lifecycle-bound objects (Linux include/linux/kho/abi/luo.h, struct luo_flb_ser). */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/decode.h"

static int add_flb(struct abi_luo *luo, const struct luo_flb_ser *ser, struct error *err)
{
	struct abi_flb *flb;
	int r;

	if (ABI_GROW(luo->flbs, luo->flb_count) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	flb = &luo->flbs[luo->flb_count];
	r = abi_take_name(flb->name, ser->name, sizeof(ser->name), "name", err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < luo->flb_count; i++)
		if (strcmp(luo->flbs[i].name, flb->name) == 0)
			return error_set(err, -EEXIST, "name: \"%s\" is that of FLB %zu too",
					 flb->name, i + 1);
	if (ser->count == 0)
		return error_set(err, -EBADMSG, "count: \"%s\" has no file that depends on it",
				 flb->name);
	flb->data = ser->data;
	flb->count = ser->count;
	luo->flb_count++;
	return 0;
}

int abi_read_flbs(struct abi_reader *r, uint64_t pa, struct abi_luo *luo, struct error *err)
{
	struct luo_flb_header_ser header;
	uint8_t page[LUO_FLB_PAGES * ABI_PAGE_SIZE];
	int code;

	if (pa == 0)
		return 0;
	code = abi_reader_take(r, abi_reader_owner(r), pa, page, sizeof(page), err);
	if (code < 0) {
		error_prefix(err, "FLBs: ");
		return code;
	}
	memcpy(&header, page, sizeof(header));
	if (header.pgcnt != LUO_FLB_PAGES)
		return error_set(err, -EOVERFLOW, "FLBs, pgcnt: %" PRIu64 " instead of %u",
				 header.pgcnt, LUO_FLB_PAGES);
	if (header.count > LUO_FLBS_MAX)
		return error_set(err, -EOVERFLOW,
				 "FLBs, count: %" PRIu64 " where the page holds %zu", header.count,
				 LUO_FLBS_MAX);
	for (uint64_t i = 0; i < header.count; i++) {
		struct luo_flb_ser ser;

		memcpy(&ser, page + sizeof(header) + i * sizeof(ser), sizeof(ser));
		code = add_flb(luo, &ser, err);
		if (code < 0) {
			error_prefix(err, "FLB %" PRIu64 ", ", i + 1);
			return code;
		}
	}
	return 0;
}
