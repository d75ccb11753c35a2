/* SPDX-License-Identifier: Apache-2.0 */
/* A device that echoes, behind the PCI transport, and what a driver does with it. */
#ifndef HOLDFAST_TESTS_UNIT_VIRTIO_ECHO_H
#define HOLDFAST_TESTS_UNIT_VIRTIO_ECHO_H

#include "base/clock.h"
#include "base/loop_thread.h"
#include "devices/virtio/virtio.h"
#include "tests/unit/virtio_driver.h"

#define SPEC_VENDOR		 0x1af4
#define SPEC_DEVICE_BASE	 0x1040
#define SPEC_NO_VECTOR		 0xffff
#define SPEC_ISR_QUEUE		 1
#define SPEC_ISR_CONFIG		 2
#define SPEC_F_ACCESS_PLATFORM	 (1ULL << 33)
#define SPEC_F_NOTIFICATION_DATA (1ULL << 38)
#define SPEC_TYPE_PCI_CFG	 5
#define SPEC_CMD_MASTER		 4
#define SPEC_CMD_MEMORY		 2

#define ECHO_FEATURE_A (1ULL << 0)
#define ECHO_FEATURE_B (1ULL << 50) /* needs A */
#define ECHO_QUEUES    2
#define ECHO_SIZE      64
#define BASE	       0xc0000000ULL

/* Queue 0 echoes; queue 1 keeps what it gets until it is told to finish. */
struct echo {
	struct virtio_pci *v;
	struct virtqueue_chain *chain, *kept;
	bool has_kept;
	uint8_t config[12];
	uint64_t features, offered;
	unsigned int activated, started, resets, queue_resets, drains, thaws, resumes, dma,
		interrupts_changed[ECHO_QUEUES];
	bool refuse_activate, refuse_drain, live, freed_flag;
	struct virtio_driver *impatient; /* resets the device while it is being activated */
	bool *freed;
};

static inline void echo_attached(void *dev, struct virtio_pci *v)
{
	((struct echo *)dev)->v = v;
}

static inline uint64_t echo_features(void *dev)
{
	return ((struct echo *)dev)->offered;
}

static inline int echo_check(void *dev _unused_, uint64_t features, struct error *err)
{
	if ((features & ECHO_FEATURE_B) && !(features & ECHO_FEATURE_A))
		return error_set(err, -EINVAL, "B needs A");
	return 0;
}

static unsigned int echo_queues(void *dev _unused_)
{
	return ECHO_QUEUES;
}

static inline uint16_t echo_size(void *dev _unused_, unsigned int queue _unused_)
{
	return ECHO_SIZE;
}

static inline size_t echo_config_size(void *dev _unused_)
{
	return 12;
}

static inline void echo_config_read(void *dev, size_t offset, void *data, size_t size)
{
	memcpy(data, ((struct echo *)dev)->config + offset, size);
}

static inline void echo_config_write(void *dev, size_t offset, const void *data, size_t size)
{
	memcpy(((struct echo *)dev)->config + offset, data, size);
}

static inline int echo_activate(void *dev, uint64_t features, struct error *err)
{
	struct echo *e = dev;

	assert_true(loop_is_mine(virtio_loop(e->v)));
	if (e->impatient)
		driver_set_common(e->impatient, SPEC_C_STATUS, 0, 1);
	if (e->refuse_activate)
		return error_set(err, -EIO, "no echo today");
	e->features = features;
	e->activated++;
	e->live = true;
	return 0;
}

static inline int echo_start(void *dev, unsigned int queue, struct error *err _unused_)
{
	struct echo *e = dev;

	assert_true(virtio_queue_live(e->v, queue));
	e->started++;
	return 0;
}

static inline void echo_one(struct echo *e, unsigned int queue)
{
	uint8_t buf[64];
	size_t n = virtqueue_chain_read(e->chain, 0, buf, sizeof(buf));

	n = virtqueue_chain_write(e->chain, 0, buf, n);
	virtqueue_push(virtio_queue(e->v, queue), e->chain, (uint32_t)n);
}

static inline void echo_ready(void *dev, unsigned int queue)
{
	struct echo *e = dev;
	struct virtqueue *vq = virtio_queue(e->v, queue);
	struct error err = ERROR_INIT;
	int r = 0;

	assert_true(e->live && loop_is_mine(virtio_loop(e->v)));
	if (queue == 1) {
		if (!e->has_kept && virtqueue_pop(vq, e->kept, NULL) == 1)
			e->has_kept = true;
		return;
	}
	do {
		virtqueue_disable_doorbell(vq);
		while ((r = virtqueue_pop(vq, e->chain, &err)) > 0)
			echo_one(e, queue);
	} while (r == 0 && virtqueue_enable_doorbell(vq));
	virtio_notify_queue(e->v, queue);
	if (r < 0)
		virtio_needs_reset(e->v, &err);
}

static inline void echo_reset(void *dev, int queue)
{
	struct echo *e = dev;

	if (queue != 0)
		e->has_kept = false;
	if (queue >= 0) {
		e->queue_resets++;
		return;
	}
	e->resets++;
	e->live = false;
}

static inline void echo_dma_changed(void *dev, bool on)
{
	((struct echo *)dev)->dma += on ? 100 : 1;
}

static inline void echo_interrupt_changed(void *dev, unsigned int queue)
{
	((struct echo *)dev)->interrupts_changed[queue]++;
}

static inline int echo_drain(void *dev, uint64_t deadline_ns _unused_, struct error *err)
{
	struct echo *e = dev;

	e->drains++;
	return e->refuse_drain ? error_set(err, -EBUSY, "still echoing") : 0;
}

static inline void echo_thaw(void *dev)
{
	((struct echo *)dev)->thaws++;
}

static inline int echo_resumed(void *dev, uint64_t features, struct error *err _unused_)
{
	struct echo *e = dev;

	e->features = features;
	e->live = true;
	e->resumes++;
	return 0;
}

static inline int echo_save(const void *dev, struct state_writer *w, struct error *err _unused_)
{
	const struct echo *e = dev;

	state_put_bytes(w, "config", e->config, sizeof(e->config));
	state_put_u32(w, "kept", e->has_kept);
	if (e->has_kept)
		virtqueue_chain_save(e->kept, w);
	return 0;
}

static inline int echo_load(void *dev, uint32_t version _unused_, struct state_reader *r,
			    enum state_mode mode, struct error *err)
{
	struct echo *e = dev;
	uint8_t config[12];
	struct virtqueue_chain *chain = virtqueue_chain_new(4);
	bool has_kept;
	int ret;

	state_get_bytes(r, "config", config, sizeof(config));
	has_kept = state_get_bool(r, "kept");
	if (has_kept)
		virtqueue_chain_load(virtio_queue(e->v, 1), chain, r);
	state_require(r, has_kept == virtqueue_loaded_in_flight(virtio_queue(e->v, 1)),
		      "kept: not as the queue says");
	ret = state_reader_done(r, err);
	if (ret == 0 && mode == STATE_APPLY) {
		memcpy(e->config, config, sizeof(config));
		e->has_kept = has_kept;
		virtqueue_chain_free(e->kept);
		e->kept = STEAL_PTR(chain);
	}
	virtqueue_chain_free(chain);
	return ret;
}

static inline void echo_free(void *dev)
{
	struct echo *e = dev;

	assert_false(e->live);
	*e->freed = true;
	virtqueue_chain_free(e->chain);
	virtqueue_chain_free(e->kept);
	free(e);
}

static const struct virtio_device_ops echo_ops = {
	.name = "virtio-echo",
	.device_id = 42,
	.class_code = 0xff0000,
	.state_version = 1,
	.state_min_version = 1,
	.attached = echo_attached,
	.features = echo_features,
	.check_features = echo_check,
	.queue_count = echo_queues,
	.queue_size_max = echo_size,
	.config_size = echo_config_size,
	.config_read = echo_config_read,
	.config_write = echo_config_write,
	.activate = echo_activate,
	.queue_start = echo_start,
	.queue_ready = echo_ready,
	.reset = echo_reset,
	.dma_changed = echo_dma_changed,
	.interrupt_changed = echo_interrupt_changed,
	.drain = echo_drain,
	.thaw = echo_thaw,
	.resumed = echo_resumed,
	.save = echo_save,
	.load = echo_load,
	.free = echo_free,
};

struct vp_test {
	struct fake_machine machine;
	struct loop *loop;
	struct virtio_pci *v;
	struct echo *echo;
	struct virtio_driver d;
	uint64_t data;
	bool freed;
};

static inline void make_device(struct vp_test *t)
{
	t->echo = calloc(1, sizeof(*t->echo));
	t->echo->offered = VIRTIO_TRANSPORT_FEATURES | ECHO_FEATURE_A | ECHO_FEATURE_B |
			   SPEC_F_ACCESS_PLATFORM | SPEC_F_NOTIFICATION_DATA;
	t->echo->chain = virtqueue_chain_new(4);
	t->echo->kept = virtqueue_chain_new(4);
	t->echo->freed = &t->freed;
	for (uint8_t i = 0; i < 12; i++)
		t->echo->config[i] = i;
	assert_int_equal(
		virtio_pci_new(&echo_ops, t->echo, t->loop, &t->machine.attach, &t->v, NULL), 0);
}

static inline void make(struct vp_test *t)
{
	memset(t, 0, sizeof(*t));
	fake_machine_init(&t->machine);
	assert_int_equal(loop_new(&t->loop, NULL), 0);
	make_device(t);
	driver_open(&t->d, &t->machine, virtio_pci_function(t->v), BASE);
	t->data = driver_alloc(&t->machine, 4096);
}

static inline void unmake(struct vp_test *t)
{
	virtio_pci_free(t->v);
	assert_true(t->freed);
	fake_machine_check_empty(&t->machine);
	loop_free(t->loop);
}

static inline void start(struct vp_test *t, uint64_t features)
{
	driver_start(&t->d, features, ECHO_QUEUES, 16);
	loop_settle(t->loop);
	assert_int_equal(t->echo->activated, 1);
	assert_int_equal(t->echo->started, ECHO_QUEUES);
}

static inline uint8_t status(struct vp_test *t)
{
	return (uint8_t)driver_common(&t->d, SPEC_C_STATUS, 1);
}

static inline void send(struct vp_test *t, unsigned int queue, uint32_t number)
{
	struct driver_seg segs[2] = {{t->data, 4, false}, {t->data + 64, 8, true}};

	memcpy(fake_ram(&t->machine, t->data), &number, 4);
	driver_add(&t->d.queues[queue], segs, 2, false);
	driver_kick(&t->d, queue);
}

static inline void expect_echo(struct vp_test *t, uint32_t number)
{
	uint16_t id;
	uint32_t len, got;

	loop_settle(t->loop);
	assert_true(driver_get_used(&t->d.queues[0], &id, &len));
	assert_int_equal(len, 4);
	memcpy(&got, fake_ram(&t->machine, t->data + 64), 4);
	assert_int_equal(got, number);
}

#endif
