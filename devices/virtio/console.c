/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/console.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "devices/output_ring.h"

#define DEVICE_ID    3
#define CLASS_COMM   0x078000 /* communication controller, other */
#define QUEUE_RX     0	      /* receiveq(port0): 5.3.2 */
#define QUEUE_TX     1	      /* transmitq(port0) */
#define QUEUE_SIZE   256
#define SEGMENTS_MAX 64
#define CHUNK	     4096
/* In one turn of the loop: other devices want it, too. */
#define CHUNKS_MAX  32
#define BUFFERS_MAX 64

struct virtio_console {
	struct virtio_pci *v;
	struct chardev *backend; /* owned */
	struct virtqueue_chain *rx, *tx;
	struct output_ring output;
	bool no_buffer;	  /* input waits for the driver */
	bool blocked;	  /* output waits for the backend */
	bool input_ended; /* none will ever come */
	bool drained;	  /* what is left of the output is in a state: not ours to write any more */
	uint64_t dropped;
	struct log_ratelimit drop_log, error_log;
};

/* ---- To the host. ---- */

static void update_watch(struct virtio_console *c)
{
	bool input = virtio_queue_live(c->v, QUEUE_RX) && !c->no_buffer && !c->input_ended;

	chardev_watch(c->backend, input, c->blocked);
}

/* Writes what is there, until the backend takes no more. True: all of it is out. */
static bool flush(struct virtio_console *c)
{
	uint8_t chunk[CHUNK];

	c->blocked = false;
	for (unsigned int i = 0; i < CHUNKS_MAX; i++) {
		uint64_t position;
		size_t size = output_ring_peek(&c->output, chunk, sizeof(chunk), &position);
		ssize_t n = size ? chardev_write(c->backend, chunk, size) : 0;

		if (size == 0)
			return true;
		if (n == -EAGAIN)
			break;
		if (n < 0)
			log_ratelimited(&c->error_log, LOG_LEVEL_WARNING,
					"virtio-console %s: cannot be written, output is lost: %s",
					chardev_path(c->backend), strerror((int)-n));
		output_ring_take_to(&c->output, position + (n < 0 ? size : (uint64_t)n));
	}
	c->blocked = true;
	return false;
}

/* That nobody is connected is no fault: the newest output is kept for who comes. */
static void report_drops(struct virtio_console *c)
{
	if (c->dropped == 0 || !chardev_connected(c->backend))
		return;
	log_ratelimited(&c->drop_log, LOG_LEVEL_WARNING,
			"virtio-console %s: its reader does not keep up: %llu bytes of output "
			"dropped",
			chardev_path(c->backend), (unsigned long long)c->dropped);
	c->dropped = 0;
}

static void take_output(struct virtio_console *c)
{
	uint8_t chunk[CHUNK];
	size_t at = 0, n;

	/* A buffer is as large as the driver likes; more than the ring keeps is dropped anyway. */
	if (c->tx->out_bytes > VIRTIO_CONSOLE_OUTPUT_MAX) {
		at = c->tx->out_bytes - VIRTIO_CONSOLE_OUTPUT_MAX;
		c->dropped += at;
	}
	while ((n = virtqueue_chain_read(c->tx, at, chunk, sizeof(chunk))) > 0) {
		for (size_t i = 0; i < n; i++)
			c->dropped += output_ring_put(&c->output, chunk[i]);
		at += n;
	}
	virtqueue_push(virtio_queue(c->v, QUEUE_TX), c->tx, 0);
}

static void transmit(struct virtio_console *c)
{
	struct virtqueue *vq = virtio_queue(c->v, QUEUE_TX);
	struct error err = ERROR_INIT;
	unsigned int taken = 0;
	int r = 0;

	do {
		virtqueue_disable_doorbell(vq);
		while (taken++ < BUFFERS_MAX && (r = virtqueue_pop(vq, c->tx, &err)) > 0)
			take_output(c);
	} while (r == 0 && taken <= BUFFERS_MAX && virtqueue_enable_doorbell(vq));
	virtio_notify_queue(c->v, QUEUE_TX);
	flush(c);
	report_drops(c);
	update_watch(c);
	if (r < 0)
		virtio_needs_reset(c->v, &err);
	else if (taken > BUFFERS_MAX)
		virtio_queue_again(c->v, QUEUE_TX);
}

static void on_writable(void *opaque)
{
	struct virtio_console *c = opaque;

	flush(c);
	update_watch(c);
}

/* ---- To the guest. ---- */

/* 1: bytes went to the driver. 0: there are none, or no buffer. */
static int receive_one(struct virtio_console *c, struct virtqueue *vq, struct error *err)
{
	uint8_t chunk[CHUNK];
	bool line_break;
	ssize_t n;
	int r = virtqueue_pop(vq, c->rx, err);

	if (r == 0) {
		/* Look again after arming the doorbell: one may have come just now. */
		c->no_buffer = !virtqueue_enable_doorbell(vq);
		return c->no_buffer ? 0 : 1;
	}
	if (r < 0)
		return r;
	if (c->rx->in_bytes == 0) {
		virtqueue_unpop(vq, c->rx);
		return error_set(err, -EPROTO, "a receive buffer that cannot be written");
	}
	n = chardev_read(c->backend, chunk, MIN_OF(sizeof(chunk), c->rx->in_bytes), &line_break);
	if (n > 0) {
		virtqueue_chain_write(c->rx, 0, chunk, (size_t)n);
		virtqueue_push(vq, c->rx, (uint32_t)n);
		return 1;
	}
	virtqueue_unpop(vq, c->rx);
	c->input_ended = n == -EPIPE;
	return 0;
}

static void receive(struct virtio_console *c)
{
	struct virtqueue *vq = virtio_queue(c->v, QUEUE_RX);
	struct error err = ERROR_INIT;
	int r = 1;

	if (!virtio_queue_live(c->v, QUEUE_RX))
		return;
	c->no_buffer = false;
	virtqueue_disable_doorbell(vq);
	for (unsigned int i = 0; r > 0 && i < BUFFERS_MAX; i++)
		r = receive_one(c, vq, &err);
	virtio_notify_queue(c->v, QUEUE_RX);
	update_watch(c);
	if (r < 0)
		virtio_needs_reset(c->v, &err);
}

static void on_readable(void *opaque)
{
	receive(opaque);
}

/* ---- The device. ---- */

static void console_attached(void *dev, struct virtio_pci *v)
{
	struct virtio_console *c = dev;

	c->v = v;
	chardev_set_client(c->backend, &(struct chardev_client){.readable = on_readable,
								.writable = on_writable,
								.opaque = c});
}

static uint64_t console_features(void *dev _unused_)
{
	return VIRTIO_TRANSPORT_FEATURES;
}

static unsigned int console_queue_count(void *dev _unused_)
{
	return 2;
}

static uint16_t console_queue_size(void *dev _unused_, unsigned int queue _unused_)
{
	return QUEUE_SIZE;
}

/* 5.3.4: cols, rows, max_nr_ports, emerg_wr; each is valid only with a feature that is not offered.
 */
static size_t console_config_size(void *dev _unused_)
{
	return 12;
}

static void console_config_read(void *dev _unused_, size_t offset _unused_, void *data, size_t size)
{
	memset(data, 0, size);
}

static int console_activate(void *dev _unused_, uint64_t features _unused_,
			    struct error *err _unused_)
{
	return 0;
}

static void console_queue_ready(void *dev, unsigned int queue)
{
	if (queue == QUEUE_TX)
		transmit(dev);
	else
		receive(dev);
}

/* Output that the guest gave is the guest's no more: it stays. */
static void console_reset(void *dev, int queue)
{
	struct virtio_console *c = dev;

	if (queue != QUEUE_TX)
		c->no_buffer = true;
	update_watch(c);
}

/* What the backend does not take in time goes into the state: no reason to give the freeze up. */
static int console_drain(void *dev, uint64_t deadline_ns, struct error *err _unused_)
{
	struct virtio_console *c = dev;

	while (!flush(c)) {
		uint64_t now = clock_monotonic_ns();
		int left = now < deadline_ns ? (int)((deadline_ns - now) / NSEC_PER_MSEC) : 0;

		if (left == 0 || chardev_wait_writable(c->backend, left) < 0)
			break;
	}
	c->blocked = false;
	c->drained = true;
	update_watch(c);
	return 0;
}

static void console_thaw(void *dev)
{
	struct virtio_console *c = dev;

	c->drained = false;
	flush(c);
	update_watch(c);
}

static int console_resumed(void *dev, uint64_t features _unused_, struct error *err _unused_)
{
	struct virtio_console *c = dev;

	c->drained = false;
	flush(c);
	update_watch(c);
	return 0;
}

static int console_save(const void *dev, struct state_writer *w, struct error *err)
{
	const struct virtio_console *c = dev;
	size_t size = output_ring_used(&c->output);
	_cleanup_free_ uint8_t *bytes = malloc(MAX_OF(size, 1U));
	uint64_t position;

	if (!bytes)
		return error_set(err, -ENOMEM, "virtio-console: out of memory");
	output_ring_peek(&c->output, bytes, size, &position);
	state_put_u32(w, "output-size", (uint32_t)size);
	state_put_bytes(w, "output", bytes, size);
	return 0;
}

static int console_load(void *dev, uint32_t version _unused_, struct state_reader *r,
			enum state_mode mode, struct error *err)
{
	struct virtio_console *c = dev;
	uint32_t size = state_get_u32_max(r, "output-size", VIRTIO_CONSOLE_OUTPUT_MAX);
	size_t len = 0;
	const uint8_t *bytes = state_get_blob(r, "output", VIRTIO_CONSOLE_OUTPUT_MAX, &len);
	unsigned int in_flight = virtqueue_loaded_in_flight(virtio_queue(c->v, QUEUE_RX)) +
				 virtqueue_loaded_in_flight(virtio_queue(c->v, QUEUE_TX));
	int ret;

	state_require(r, size == len, "output: not as long as output-size says");
	state_require(r, in_flight == 0, "a console has no buffer in flight");
	ret = state_reader_done(r, err);
	if (ret < 0 || mode == STATE_CHECK)
		return ret;
	c->output.start = c->output.end = 0;
	for (size_t i = 0; i < len; i++)
		output_ring_put(&c->output, bytes[i]);
	return 0;
}

static size_t console_state_size_max(const void *dev _unused_)
{
	return VIRTIO_CONSOLE_OUTPUT_MAX + 512;
}

static void console_free(void *dev)
{
	struct virtio_console *c = dev;

	if (c->output.data && !c->drained)
		flush(c);
	chardev_set_client(c->backend, NULL);
	chardev_free(c->backend);
	output_ring_destroy(&c->output);
	virtqueue_chain_free(c->rx);
	virtqueue_chain_free(c->tx);
	free(c);
}

int virtio_console_new(struct chardev *backend, struct virtio_console **ret, struct error *err)
{
	struct virtio_console *c = calloc(1, sizeof(*c));

	if (!c) {
		chardev_free(backend);
		return error_set(err, -ENOMEM, "virtio-console: out of memory");
	}
	c->backend = backend;
	c->no_buffer = true;
	c->rx = virtqueue_chain_new(SEGMENTS_MAX);
	c->tx = virtqueue_chain_new(SEGMENTS_MAX);
	if (!c->rx || !c->tx || output_ring_init(&c->output, VIRTIO_CONSOLE_OUTPUT_MAX) < 0) {
		console_free(c);
		return error_set(err, -ENOMEM, "virtio-console: out of memory");
	}
	*ret = c;
	return 0;
}

const char *virtio_console_path(const struct virtio_console *c)
{
	return chardev_path(c->backend);
}

const struct virtio_device_ops virtio_console_ops = {
	.name = "virtio-console",
	.device_id = DEVICE_ID,
	.class_code = CLASS_COMM,
	.state_version = 1,
	.state_min_version = 1,
	.attached = console_attached,
	.features = console_features,
	.queue_count = console_queue_count,
	.queue_size_max = console_queue_size,
	.config_size = console_config_size,
	.config_read = console_config_read,
	.activate = console_activate,
	.queue_ready = console_queue_ready,
	.reset = console_reset,
	.drain = console_drain,
	.thaw = console_thaw,
	.resumed = console_resumed,
	.save = console_save,
	.load = console_load,
	.state_size_max = console_state_size_max,
	.free = console_free,
};
