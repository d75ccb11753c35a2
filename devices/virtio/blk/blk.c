/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk/blk.h"

#include <stdio.h>

#include "base/clock.h"
#include "devices/virtio/blk/blk_impl.h"

static void blk_attached(void *dev, struct virtio_pci *v)
{
	((struct virtio_blk *)dev)->v = v;
}

static unsigned int blk_queue_count(void *dev)
{
	return ((struct virtio_blk *)dev)->config.num_queues;
}

static uint16_t blk_queue_size(void *dev, unsigned int queue _unused_)
{
	return ((struct virtio_blk *)dev)->config.queue_size;
}

static void blk_queue_ready(void *dev, unsigned int queue)
{
	blk_serve(dev, queue);
}

static void blk_free(void *dev)
{
	virtio_blk_free(dev);
}

void virtio_blk_free(struct virtio_blk *blk)
{
	struct blk_request *q;

	if (!blk)
		return;
	/* In flight: loaded and never resumed; the backend has none. */
	TAILQ_CONCAT(&blk->free_requests, &blk->in_flight, in_flight);
	while ((q = TAILQ_FIRST(&blk->free_requests))) {
		TAILQ_REMOVE(&blk->free_requests, q, in_flight);
		blk_request_destroy(q);
	}
	loop_timer_free(blk->limiter_timer);
	if (blk->backend)
		blk->backend->ops->free(blk->backend);
	blk_image_close(&blk->image);
	free(blk);
}

int blk_new_with_backend(const struct virtio_blk_config *config, blk_backend_new_fn *make,
			 struct virtio_blk **ret, struct error *err)
{
	struct virtio_blk *blk = calloc(1, sizeof(*blk));
	struct blk_backend_client client = {blk_io_done, blk_batch_done, blk};
	int r;

	if (!blk)
		return error_set(err, -ENOMEM, "disk %s: out of memory", config->path);
	blk->config = *config;
	blk->image.fd = FD_NONE;
	TAILQ_INIT(&blk->in_flight);
	TAILQ_INIT(&blk->free_requests);
	STAILQ_INIT(&blk->waiting);
	atomic_store(&blk->writeback, BLK_WRITEBACK_DEFAULT);
	/* 2.7.5.3.1: no chain is longer than the queue; two more for buffers across the seam of two
	 * pieces of RAM. */
	blk->segments_max = MIN_OF(config->queue_size + 2U, (unsigned int)VIRTQUEUE_SEGMENTS_MAX);
	rate_limiter_init(&blk->limiter, &config->limits, clock_monotonic_ns());
	r = blk_image_open(&blk->image, config, err);
	if (r == 0)
		r = make(&blk->image, &client, &blk->backend, err);
	if (r < 0) {
		virtio_blk_free(blk);
		return r;
	}
	blk->limits = blk->image.limits;
	atomic_store(&blk->sectors, blk->image.size / BLK_SECTOR);
	*ret = blk;
	return 0;
}

int virtio_blk_new(const struct virtio_blk_config *config, struct virtio_blk **ret,
		   struct error *err)
{
	return blk_new_with_backend(
		config, config->disable_io_uring ? blk_threads_new : blk_backend_new_best, ret,
		err);
}

int virtio_blk_check_update(const struct virtio_blk *blk, bool across_kexec, struct error *err)
{
	return blk_image_check_reopen(&blk->image, across_kexec, err);
}

uint64_t virtio_blk_size(const struct virtio_blk *blk)
{
	return atomic_load(&blk->sectors) * BLK_SECTOR;
}

const char *virtio_blk_backend_name(const struct virtio_blk *blk)
{
	return blk->backend->ops->name;
}

void virtio_blk_get_counters(const struct virtio_blk *blk, struct virtio_blk_counters *ret)
{
#define GET(counter) .counter = atomic_load(&blk->counters.counter)
	*ret = (struct virtio_blk_counters){GET(read_ops),    GET(read_bytes), GET(write_ops),
					    GET(write_bytes), GET(flush_ops),  GET(other_ops),
					    GET(errors),      GET(throttled),  GET(resubmitted)};
#undef GET
}

/* ---- Resize. ---- */

struct resize_call {
	struct virtio_blk *blk;
	uint64_t size;
	struct error *err;
	int result;
};

/* Makes the image as large as was asked for. */
static int grow(struct blk_image *image, uint64_t now, uint64_t size, struct error *err)
{
	if (size == now)
		return 0;
	if (size % MAX_OF(image->offset_align, BLK_SECTOR))
		return error_set(err, -EINVAL,
				 "disk %s: cannot be resized to %llu bytes: not a multiple of %u",
				 image->path, (unsigned long long)size,
				 MAX_OF(image->offset_align, BLK_SECTOR));
	if (image->block_device)
		return error_set(err, -EINVAL,
				 "disk %s: has %llu bytes; a block device is resized on the host "
				 "first",
				 image->path, (unsigned long long)now);
	if (size < now)
		return error_set(err, -EINVAL,
				 "disk %s: has %llu bytes, which are not cut off: make the file "
				 "shorter yourself, then resize without a size",
				 image->path, (unsigned long long)now);
	if (image->readonly)
		return error_set(err, -EROFS,
				 "disk %s: is read-only: make the file longer yourself, then "
				 "resize without a size",
				 image->path);
	if (ftruncate(image->fd, (off_t)size) < 0)
		return error_sys(err, -errno, "disk %s: cannot be made longer", image->path);
	return 0;
}

static void resize(void *opaque)
{
	struct resize_call *call = opaque;
	struct virtio_blk *blk = call->blk;
	uint64_t now;

	if (blk->frozen) {
		call->result = error_set(call->err, -EBUSY,
					 "disk %s: an update is under way; resize it afterwards",
					 blk->image.path);
		return;
	}
	call->result = blk_image_size(&blk->image, &now, call->err);
	if (call->result == 0 && call->size)
		call->result = grow(&blk->image, now, call->size, call->err);
	if (call->result == 0)
		call->result = blk_image_size(&blk->image, &now, call->err);
	if (call->result < 0 || now == blk->image.size)
		return;
	virtio_config_begin(blk->v);
	blk->image.size = now;
	atomic_store(&blk->sectors, now / BLK_SECTOR);
	virtio_config_end(blk->v);
}

int virtio_blk_resize(struct virtio_blk *blk, uint64_t size, struct error *err)
{
	struct resize_call call = {blk, size, err, 0};

	loop_call(virtio_loop(blk->v), resize, &call);
	return call.result;
}

const struct virtio_device_ops virtio_blk_ops = {
	.name = "virtio-blk",
	.device_id = BLK_DEVICE_ID,
	.class_code = BLK_CLASS_STORAGE,
	.state_version = 1,
	.state_min_version = 1,
	.attached = blk_attached,
	.features = blk_features,
	.check_features = blk_check_features,
	.queue_count = blk_queue_count,
	.queue_size_max = blk_queue_size,
	.config_size = blk_config_size,
	.config_read = blk_config_read,
	.config_write = blk_config_write,
	.activate = blk_activate,
	.queue_ready = blk_queue_ready,
	.reset = blk_reset,
	.drain = blk_drain,
	.thaw = blk_thaw,
	.resumed = blk_resumed,
	.save = blk_save,
	.load = blk_load,
	.state_size_max = blk_state_size_max,
	.free = blk_free,
};
