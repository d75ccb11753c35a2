/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/balloon/balloon.h"

#include "devices/virtio/balloon/balloon_impl.h"

static void balloon_attached(void *dev, struct virtio_pci *v)
{
	((struct virtio_balloon *)dev)->v = v;
}

unsigned int balloon_queue_count(void *dev)
{
	const struct virtio_balloon *b = dev;

	if (b->config.free_page_reporting)
		return BALLOON_QUEUES;
	return b->config.stats_interval ? BALLOON_Q_STATS + 1 : BALLOON_Q_STATS;
}

static uint16_t balloon_queue_size(void *dev _unused_, unsigned int queue _unused_)
{
	return BALLOON_QUEUE_SIZE;
}

static void balloon_free(void *dev)
{
	struct virtio_balloon *b = dev;

	for (unsigned int i = 0; i < BALLOON_QUEUES; i++)
		virtqueue_chain_free(b->work[i].chain);
	virtqueue_chain_free(b->stats_buffer);
	free(b);
}

int virtio_balloon_new(const struct virtio_balloon_config *config, uint64_t memory,
		       const struct guest_memory *ram, const struct guest_discard *discard,
		       struct virtio_balloon **ret, struct error *err)
{
	struct virtio_balloon *b;
	int r = virtio_balloon_check_size(config->size, memory, err);

	if (r < 0)
		return r;
	b = calloc(1, sizeof(*b));
	if (!b)
		return error_set(err, -ENOMEM, "virtio-balloon: out of memory");
	b->config = *config;
	atomic_store(&b->memory, memory);
	b->ram = *ram;
	b->discard = *discard;
	atomic_store(&b->target, (uint32_t)(config->size / BALLOON_PAGE));
	b->stats_buffer = virtqueue_chain_new(BALLOON_SEGMENTS_MAX);
	for (unsigned int i = 0; i < BALLOON_QUEUES; i++) {
		b->work[i].chain = virtqueue_chain_new(BALLOON_SEGMENTS_MAX);
		if (b->work[i].chain && b->stats_buffer)
			continue;
		balloon_free(b);
		return error_set(err, -ENOMEM, "virtio-balloon: out of memory");
	}
	*ret = b;
	return 0;
}

int virtio_balloon_resize(struct virtio_balloon *b, uint64_t size, struct error *err)
{
	int r = virtio_balloon_check_size(size, atomic_load(&b->memory), err);

	if (r < 0)
		return r;
	virtio_config_begin(b->v);
	atomic_store(&b->target, (uint32_t)(size / BALLOON_PAGE));
	virtio_config_end(b->v);
	return 0;
}

void virtio_balloon_set_memory(struct virtio_balloon *b, uint64_t memory)
{
	atomic_store(&b->memory, memory);
}

void virtio_balloon_get_counters(const struct virtio_balloon *b,
				 struct virtio_balloon_counters *ret)
{
#define GET(counter) .counter = atomic_load(&b->counters.counter)
	*ret = (struct virtio_balloon_counters){GET(inflated_bytes), GET(deflated_bytes),
						GET(reported_bytes), GET(given_back_bytes),
						GET(refused),	     GET(failed)};
#undef GET
}

const struct virtio_device_ops virtio_balloon_ops = {
	.name = "virtio-balloon",
	.device_id = BALLOON_DEVICE_ID,
	.class_code = BALLOON_CLASS_OTHER,
	.state_version = 1,
	.state_min_version = 1,
	.attached = balloon_attached,
	.features = balloon_features,
	.check_features = balloon_check_features,
	.queue_count = balloon_queue_count,
	.queue_size_max = balloon_queue_size,
	.config_size = balloon_config_size,
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.activate = balloon_activate,
	.queue_ready = balloon_queue_ready,
	.reset = balloon_reset,
	.drain = balloon_drain,
	.thaw = balloon_thaw,
	.resumed = balloon_resumed,
	.save = balloon_save,
	.load = balloon_load,
	.state_size_max = balloon_state_size_max,
	.free = balloon_free,
};
