/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/rng.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/util.h"

#define DEVICE_ID    4
#define CLASS_OTHER  0x00ff00
#define QUEUE_SIZE   64
#define SEGMENTS_MAX 16
/* Of one buffer; a driver that wants more asks again. */
#define BYTES_MAX 4096
/* Buffers in one turn of the loop: other devices want it, too. */
#define BUFFERS_MAX 32

struct virtio_rng {
	struct virtio_pci *v;
	char *source; /* owned; for messages */
	int fd;	      /* owned */
	struct virtqueue_chain *chain;
	struct loop_source *waiting; /* the source had nothing */
};

static void serve(struct virtio_rng *rng);

static void on_source(void *opaque, uint32_t events _unused_)
{
	struct virtio_rng *rng = opaque;

	loop_remove_fd(STEAL_PTR(rng->waiting));
	serve(rng);
}

static int wait_for_source(struct virtio_rng *rng, struct error *err)
{
	if (rng->waiting)
		return 0;
	return loop_add_fd(virtio_loop(rng->v), rng->fd, EPOLLIN, on_source, rng, &rng->waiting,
			   err);
}

/* 1: filled. 0: the source has nothing now, the buffer was given back. */
static int fill(struct virtio_rng *rng, struct virtqueue *vq, struct error *err)
{
	uint8_t bytes[BYTES_MAX];
	size_t wanted = MIN_OF(rng->chain->in_bytes, sizeof(bytes));
	ssize_t n;

	/* 5.4.6.1: a driver puts only writable, non-empty buffers there. */
	if (wanted == 0) {
		virtqueue_unpop(vq, rng->chain);
		return error_set(err, -EPROTO, "an entropy buffer that cannot be written");
	}
	do {
		n = read(rng->fd, bytes, wanted);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		virtqueue_chain_write(rng->chain, 0, bytes, (size_t)n);
		explicit_bzero(bytes, (size_t)n);
		virtqueue_push(vq, rng->chain, (uint32_t)n);
		return 1;
	}
	virtqueue_unpop(vq, rng->chain);
	if (n == 0)
		return error_set(err, -EIO, "%s: at its end", rng->source);
	if (errno != EAGAIN)
		return error_sys(err, -errno, "%s: cannot be read", rng->source);
	return wait_for_source(rng, err);
}

static void serve(struct virtio_rng *rng)
{
	struct virtqueue *vq = virtio_queue(rng->v, 0);
	struct error err = ERROR_INIT;
	unsigned int served = 0;
	int r = 0;

	if (!virtio_queue_live(rng->v, 0) || rng->waiting)
		return;
	do {
		virtqueue_disable_doorbell(vq);
		while (served++ < BUFFERS_MAX && (r = virtqueue_pop(vq, rng->chain, &err)) > 0) {
			r = fill(rng, vq, &err);
			if (r <= 0)
				break;
		}
	} while (r == 0 && !rng->waiting && served <= BUFFERS_MAX && virtqueue_enable_doorbell(vq));
	virtio_notify_queue(rng->v, 0);
	if (r < 0)
		virtio_needs_reset(rng->v, &err);
	/* More than a turn's share: come back for it. */
	else if (served > BUFFERS_MAX)
		virtio_queue_again(rng->v, 0);
}

static void rng_attached(void *dev, struct virtio_pci *v)
{
	((struct virtio_rng *)dev)->v = v;
}

static uint64_t rng_features(void *dev _unused_)
{
	return VIRTIO_TRANSPORT_FEATURES;
}

static unsigned int rng_queue_count(void *dev _unused_)
{
	return 1;
}

static uint16_t rng_queue_size(void *dev _unused_, unsigned int queue _unused_)
{
	return QUEUE_SIZE;
}

static size_t rng_config_size(void *dev _unused_)
{
	return 0;
}

static int rng_activate(void *dev _unused_, uint64_t features _unused_, struct error *err _unused_)
{
	return 0;
}

static void rng_queue_ready(void *dev, unsigned int queue _unused_)
{
	serve(dev);
}

static void rng_reset(void *dev, int queue _unused_)
{
	struct virtio_rng *rng = dev;

	loop_remove_fd(STEAL_PTR(rng->waiting));
}

/* Every buffer that was taken has been answered already. */
static int rng_drain(void *dev, uint64_t deadline_ns _unused_, struct error *err _unused_)
{
	rng_reset(dev, -1);
	return 0;
}

static int rng_resumed(void *dev _unused_, uint64_t features _unused_, struct error *err _unused_)
{
	return 0;
}

static void rng_free(void *dev)
{
	struct virtio_rng *rng = dev;

	close_fdp(&rng->fd);
	virtqueue_chain_free(rng->chain);
	free(rng->source);
	free(rng);
}

int virtio_rng_new(const char *source, struct virtio_rng **ret, struct error *err)
{
	struct virtio_rng *rng = calloc(1, sizeof(*rng));
	int r;

	if (!rng)
		return error_set(err, -ENOMEM, "virtio-rng: out of memory");
	rng->fd = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (rng->fd < 0) {
		r = error_sys(err, -errno, "rng source %s", source);
		goto out_free;
	}
	rng->source = strdup(source);
	rng->chain = virtqueue_chain_new(SEGMENTS_MAX);
	if (!rng->chain || !rng->source) {
		r = error_set(err, -ENOMEM, "virtio-rng: out of memory");
		goto out_free;
	}
	*ret = rng;
	return 0;

out_free:
	rng_free(rng);
	return r;
}

const struct virtio_device_ops virtio_rng_ops = {
	.name = "virtio-rng",
	.device_id = DEVICE_ID,
	.class_code = CLASS_OTHER,
	.state_version = 1,
	.state_min_version = 1,
	.attached = rng_attached,
	.features = rng_features,
	.queue_count = rng_queue_count,
	.queue_size_max = rng_queue_size,
	.config_size = rng_config_size,
	.activate = rng_activate,
	.queue_ready = rng_queue_ready,
	.reset = rng_reset,
	.drain = rng_drain,
	.resumed = rng_resumed,
	.free = rng_free,
};
