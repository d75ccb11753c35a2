/* SPDX-License-Identifier: Apache-2.0 */
/* Features and configuration space: virtio 1.2, 5.2.3 to 5.2.5. */
#include <string.h>

#include "base/le.h"
#include "devices/virtio/blk/blk_impl.h"

uint64_t blk_features(void *dev)
{
	const struct virtio_blk *blk = dev;
	uint64_t features = VIRTIO_TRANSPORT_FEATURES | BLK_F_SEG_MAX | BLK_F_BLK_SIZE |
			    BLK_F_FLUSH | BLK_F_TOPOLOGY | BLK_F_CONFIG_WCE;

	if (blk->image.readonly)
		features |= BLK_F_RO;
	if (blk->config.num_queues > 1)
		features |= BLK_F_MQ;
	/* Of the image as it is now, not as it was when a state was saved: what a guest uses and
	 * the image can do no more is refused by the transport. */
	if (blk->image.limits.max_discard_sectors)
		features |= BLK_F_DISCARD;
	if (blk->image.limits.max_zeroes_sectors)
		features |= BLK_F_WRITE_ZEROES;
	return features;
}

int blk_check_features(void *dev, uint64_t features, struct error *err _unused_)
{
	struct virtio_blk *blk = dev;

	/* For blk_config_read(): writeback may be read before DRIVER_OK. */
	atomic_store(&blk->checked_features, features);
	return 0;
}

static bool is_writeback(const struct virtio_blk *blk, uint64_t features)
{
	uint32_t mode = atomic_load(&blk->writeback);

	/* 5.2.5.2: a driver that cannot flush starts with write-through. */
	return mode == BLK_WRITEBACK_DEFAULT ? features & BLK_F_FLUSH : mode == BLK_WRITEBACK_ON;
}

bool blk_write_through(const struct virtio_blk *blk)
{
	if (blk->features & BLK_F_CONFIG_WCE)
		return !is_writeback(blk, blk->features);
	return !(blk->features & BLK_F_FLUSH);
}

size_t blk_config_size(void *dev _unused_)
{
	return BLK_CONFIG_SIZE;
}

static void build(const struct virtio_blk *blk, uint8_t space[BLK_CONFIG_SIZE])
{
	const struct blk_limits *l = &blk->limits;

	memset(space, 0, BLK_CONFIG_SIZE);
	le_put64(space, BLK_C_CAPACITY, atomic_load(&blk->sectors));
	/* Data segments: header and status take one each. */
	le_put32(space, BLK_C_SEG_MAX, blk->config.queue_size - 2U);
	le_put32(space, BLK_C_BLK_SIZE, l->block_size);
	space[BLK_C_PHYSICAL_BLOCK_EXP] = (uint8_t)l->physical_block_exp;
	space[BLK_C_ALIGNMENT_OFFSET] = (uint8_t)l->alignment_offset;
	le_put16(space, BLK_C_MIN_IO_SIZE, (uint16_t)l->min_io_size);
	le_put32(space, BLK_C_OPT_IO_SIZE, l->opt_io_size);
	space[BLK_C_WRITEBACK] = is_writeback(blk, atomic_load(&blk->checked_features));
	le_put16(space, BLK_C_NUM_QUEUES, blk->config.num_queues);
	if (l->max_discard_sectors) {
		le_put32(space, BLK_C_MAX_DISCARD_SECTORS, l->max_discard_sectors);
		le_put32(space, BLK_C_MAX_DISCARD_SEG, BLK_RANGES_MAX);
		le_put32(space, BLK_C_DISCARD_ALIGNMENT, l->discard_alignment);
	}
	if (l->max_zeroes_sectors) {
		le_put32(space, BLK_C_MAX_ZEROES_SECTORS, l->max_zeroes_sectors);
		le_put32(space, BLK_C_MAX_ZEROES_SEG, BLK_RANGES_MAX);
		space[BLK_C_ZEROES_MAY_UNMAP] = l->write_zeroes_may_unmap != 0;
	}
}

void blk_config_read(void *dev, size_t offset, void *data, size_t size)
{
	uint8_t space[BLK_CONFIG_SIZE];

	build(dev, space);
	memcpy(data, space + offset, size);
}

/* Only writeback can be written, and only by a driver that negotiated it (5.2.6.1). */
void blk_config_write(void *dev, size_t offset, const void *data, size_t size)
{
	struct virtio_blk *blk = dev;
	const uint8_t *bytes = data;

	if (offset > BLK_C_WRITEBACK || offset + size <= BLK_C_WRITEBACK ||
	    !(atomic_load(&blk->checked_features) & BLK_F_CONFIG_WCE))
		return;
	atomic_store(&blk->writeback,
		     bytes[BLK_C_WRITEBACK - offset] ? BLK_WRITEBACK_ON : BLK_WRITEBACK_OFF);
}
