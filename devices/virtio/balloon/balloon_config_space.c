/* SPDX-License-Identifier: Apache-2.0 */
/* Features and configuration space: virtio 1.2, 5.5.3 and 5.5.4. */
#include <string.h>

#include "base/le.h"
#include "devices/virtio/balloon/balloon_impl.h"

uint64_t balloon_features(void *dev)
{
	const struct virtio_balloon *b = dev;
	uint64_t features =
		VIRTIO_TRANSPORT_FEATURES | BALLOON_F_MUST_TELL_HOST | BALLOON_F_PAGE_POISON;

	if (b->config.stats_interval)
		features |= BALLOON_F_STATS_VQ;
	if (b->config.deflate_on_oom)
		features |= BALLOON_F_DEFLATE_ON_OOM;
	if (b->config.free_page_reporting)
		features |= BALLOON_F_PAGE_REPORTING;
	return features;
}

int balloon_check_features(void *dev, uint64_t features, struct error *err _unused_)
{
	struct virtio_balloon *b = dev;

	/* For balloon_config_write(): poison_val is written before DRIVER_OK. */
	atomic_store(&b->checked_features, features);
	return 0;
}

size_t balloon_config_size(void *dev _unused_)
{
	return BALLOON_CONFIG_SIZE;
}

static void build(const struct virtio_balloon *b, uint8_t space[BALLOON_CONFIG_SIZE])
{
	memset(space, 0, BALLOON_CONFIG_SIZE);
	le_put32(space, BALLOON_C_NUM_PAGES, atomic_load(&b->target));
	le_put32(space, BALLOON_C_ACTUAL, atomic_load(&b->actual));
	le_put32(space, BALLOON_C_POISON_VAL, atomic_load(&b->poison));
}

void balloon_config_read(void *dev, size_t offset, void *data, size_t size)
{
	uint8_t space[BALLOON_CONFIG_SIZE];

	build(dev, space);
	memcpy(data, space + offset, size);
}

/* A driver writes `actual`, and poison_val if it negotiated that; in pieces if it likes. */
void balloon_config_write(void *dev, size_t offset, const void *data, size_t size)
{
	struct virtio_balloon *b = dev;
	uint8_t space[BALLOON_CONFIG_SIZE];

	build(b, space);
	memcpy(space + offset, data, size);
	atomic_store(&b->actual, le_get32(space, BALLOON_C_ACTUAL));
	if (atomic_load(&b->checked_features) & BALLOON_F_PAGE_POISON)
		atomic_store(&b->poison, le_get32(space, BALLOON_C_POISON_VAL));
}
