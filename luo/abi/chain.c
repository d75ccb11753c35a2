/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of blocks, since kho-v4 (Linux include/linux/kho/abi/block.h). */
#include <inttypes.h>
#include <string.h>

#include "luo/abi/decode.h"

/* Takes the block and checks its header. */
static int take_block(struct abi_reader *r, uint32_t owner, unsigned int number, uint64_t pa,
		      uint64_t max, uint8_t page[KHO_BLOCK_SIZE], struct kho_block_ser *header,
		      struct error *err)
{
	int ret;

	if (number > KHO_BLOCKS_MAX)
		return error_set(err, -EOVERFLOW, "more than %u blocks in a chain", KHO_BLOCKS_MAX);
	ret = abi_reader_take(r, owner, pa, page, KHO_BLOCK_SIZE, err);
	if (ret < 0)
		return ret;
	memcpy(header, page, sizeof(*header));
	if (header->count == 0)
		return error_set(err, -EOVERFLOW, "count is 0");
	if (header->count > max)
		return error_set(err, -EOVERFLOW,
				 "count is %" PRIu64 " where a block holds %" PRIu64, header->count,
				 max);
	return 0;
}

int abi_read_chain(struct abi_reader *r, uint64_t pa, const char *what, size_t entry_size,
		   abi_entry_fn *each, void *opaque, struct error *err)
{
	uint64_t max = (KHO_BLOCK_SIZE - sizeof(struct kho_block_ser)) / entry_size, index = 0;
	uint32_t owner = abi_reader_owner(r);
	uint8_t page[KHO_BLOCK_SIZE];

	for (unsigned int number = 1; pa != 0; number++) {
		struct kho_block_ser header;
		int ret = take_block(r, owner, number, pa, max, page, &header, err);

		if (ret < 0)
			error_prefix(err, "%s, block %u: ", what, number);
		for (uint64_t i = 0; ret == 0 && i < header.count; i++)
			ret = each(opaque, page + sizeof(header) + i * entry_size, index++, err);
		if (ret < 0)
			return ret;
		pa = header.next;
	}
	return 0;
}
