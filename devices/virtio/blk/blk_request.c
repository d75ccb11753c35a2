/* SPDX-License-Identifier: Apache-2.0 */
/* Understanding a request: virtio 1.2, 5.2.6. Nothing the driver wrote is looked at twice. */
#include <endian.h>
#include <string.h>

#include "devices/virtio/blk/blk_impl.h"

#define RUN (-1)

struct blk_request *blk_request_get(struct virtio_blk *blk)
{
	struct blk_request *q = TAILQ_FIRST(&blk->free_requests);

	if (q) {
		struct virtqueue_chain *chain = q->chain;

		TAILQ_REMOVE(&blk->free_requests, q, in_flight);
		memset(q, 0, sizeof(*q));
		q->chain = chain;
		return q;
	}
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->chain = virtqueue_chain_new(blk->segments_max);
	if (q->chain)
		return q;
	free(q);
	return NULL;
}

/* The one used last is used next: its memory is warm, and that of the others is never touched. */
void blk_request_put(struct virtio_blk *blk, struct blk_request *q)
{
	free(STEAL_PTR(q->bounce));
	TAILQ_INSERT_HEAD(&blk->free_requests, q, in_flight);
}

void blk_request_destroy(struct blk_request *q)
{
	if (!q)
		return;
	free(q->bounce);
	virtqueue_chain_free(q->chain);
	free(q);
}

int blk_request_read_header(struct blk_request *q, struct error *err)
{
	uint8_t header[BLK_HEADER_SIZE] = {0};
	uint32_t type;
	uint64_t sector;

	if (q->chain->in_bytes == 0)
		return error_set(err, -EPROTO, "a request without room for its status");
	virtqueue_chain_read(q->chain, 0, header, sizeof(header));
	memcpy(&type, header, sizeof(type));
	memcpy(&sector, header + 8, sizeof(sector));
	q->type = le32toh(type);
	q->sector = le64toh(sector);
	return 0;
}

/* 2.7.4.1: how the parts are cut into descriptors means nothing. The status is the last byte. */
static void find_status(struct blk_request *q)
{
	const struct iovec *last = &q->chain->in[q->chain->in_count - 1];

	q->status = (uint8_t *)last->iov_base + last->iov_len - 1;
}

static void find_data_in(struct blk_request *q)
{
	struct iovec *last = &q->chain->in[q->chain->in_count - 1];

	q->data = q->chain->in;
	q->data_count = q->chain->in_count;
	q->size = q->chain->in_bytes - 1;
	if (--last->iov_len == 0)
		q->data_count--;
}

static void find_data_out(struct blk_request *q)
{
	size_t skip = BLK_HEADER_SIZE;

	q->data = q->chain->out;
	q->data_count = q->chain->out_count;
	q->size = q->chain->out_bytes - BLK_HEADER_SIZE;
	while (q->data_count && q->data->iov_len <= skip) {
		skip -= q->data->iov_len;
		q->data++;
		q->data_count--;
	}
	if (skip && q->data_count) {
		q->data->iov_base = (uint8_t *)q->data->iov_base + skip;
		q->data->iov_len -= skip;
	}
}

static bool in_capacity(const struct virtio_blk *blk, uint64_t sector, uint64_t sectors)
{
	uint64_t capacity = atomic_load(&blk->sectors);

	return sector <= capacity && sectors <= capacity - sector;
}

static int prepare_transfer(struct virtio_blk *blk, struct blk_request *q)
{
	bool write = q->type == BLK_T_OUT;

	if (write)
		find_data_out(q);
	else
		find_data_in(q);
	if (q->size % BLK_SECTOR || !in_capacity(blk, q->sector, q->size / BLK_SECTOR))
		return BLK_S_IOERR;
	if (write && blk->image.readonly)
		return BLK_S_IOERR;
	q->offset = q->sector * BLK_SECTOR;
	q->left = q->size;
	q->exclusive = write && blk_image_misaligned(&blk->image, q->offset, q->left) &&
		       blk->image.offset_align > 1;
	return q->left ? RUN : BLK_S_OK;
}

/* One range out of the driver's memory: a status, or RUN. */
static int read_range(struct virtio_blk *blk, struct blk_request *q, unsigned int i)
{
	struct blk_range *range = &q->ranges[i];
	uint8_t bytes[BLK_RANGE_SIZE] = {0};
	uint32_t sectors, flags, max;
	uint64_t sector;
	bool discard = q->type == BLK_T_DISCARD;

	virtqueue_chain_read(q->chain, BLK_HEADER_SIZE + i * BLK_RANGE_SIZE, bytes, sizeof(bytes));
	memcpy(&sector, bytes, sizeof(sector));
	memcpy(&sectors, bytes + 8, sizeof(sectors));
	memcpy(&flags, bytes + 12, sizeof(flags));
	sector = le64toh(sector);
	sectors = le32toh(sectors);
	flags = le32toh(flags);
	if (flags & ~(discard ? 0U : BLK_RANGE_UNMAP))
		return BLK_S_UNSUPP;
	max = discard ? blk->limits.max_discard_sectors : blk->limits.max_zeroes_sectors;
	if (sectors > max || !in_capacity(blk, sector, sectors))
		return BLK_S_IOERR;
	*range = (struct blk_range){.offset = sector * BLK_SECTOR,
				    .length = (uint64_t)sectors * BLK_SECTOR,
				    .unmap = (flags & BLK_RANGE_UNMAP) && blk->config.sparse};
	/* Zeroes that end inside a block are written with what is around them. */
	if (!discard && blk_image_misaligned(&blk->image, range->offset, range->length))
		q->exclusive = true;
	return RUN;
}

/* All ranges are checked before the first is touched. */
static int prepare_ranges(struct virtio_blk *blk, struct blk_request *q)
{
	uint64_t feature = q->type == BLK_T_DISCARD ? BLK_F_DISCARD : BLK_F_WRITE_ZEROES;
	size_t size = q->chain->out_bytes - BLK_HEADER_SIZE;
	int result = RUN;

	if (blk->image.readonly)
		return BLK_S_IOERR;
	if (!(blk->features & feature))
		return BLK_S_UNSUPP;
	if (size == 0 || size % BLK_RANGE_SIZE || size / BLK_RANGE_SIZE > BLK_RANGES_MAX)
		return BLK_S_IOERR;
	q->range_count = (unsigned int)(size / BLK_RANGE_SIZE);
	for (unsigned int i = 0; i < q->range_count && result == RUN; i++)
		result = read_range(blk, q, i);
	return result;
}

static int answer_id(struct virtio_blk *blk, struct blk_request *q)
{
	const char *serial = blk->config.serial[0] ? blk->config.serial : blk->config.id;
	char id[BLK_ID_SIZE] = {0};

	/* Room for all of it, in front of the status. */
	if (q->chain->in_bytes - 1 < BLK_ID_SIZE)
		return BLK_S_IOERR;
	memcpy(id, serial, strnlen(serial, BLK_ID_SIZE));
	virtqueue_chain_write(q->chain, 0, id, sizeof(id));
	q->size = BLK_ID_SIZE;
	blk_count(blk, other_ops, 1);
	return BLK_S_OK;
}

int blk_request_prepare(struct virtio_blk *blk, struct blk_request *q)
{
	find_status(q);
	if (q->chain->out_bytes < BLK_HEADER_SIZE)
		return BLK_S_IOERR;
	switch (q->type) {
	case BLK_T_IN:
	case BLK_T_OUT:
		return prepare_transfer(blk, q);
	case BLK_T_FLUSH:
		return RUN;
	case BLK_T_GET_ID:
		return answer_id(blk, q);
	case BLK_T_DISCARD:
	case BLK_T_WRITE_ZEROES:
		return prepare_ranges(blk, q);
	default:
		return BLK_S_UNSUPP;
	}
}
