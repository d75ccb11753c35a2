/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/virtio_pci: discovery, negotiation, status, queues, interrupts, resets, drain,
 * state; with an echo device, on the main loop and on a thread of its own. */
#include <poll.h>
#include <sched.h>

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
	unsigned int activated, started, resets, queue_resets, drains, thaws, resumes, bus_master;
	bool refuse_activate, refuse_drain, live, freed_flag;
	bool *freed;
};

static void echo_attached(void *dev, struct virtio_pci *v)
{
	((struct echo *)dev)->v = v;
}

static uint64_t echo_features(void *dev)
{
	return ((struct echo *)dev)->offered;
}

static int echo_check(void *dev _unused_, uint64_t features, struct error *err)
{
	if ((features & ECHO_FEATURE_B) && !(features & ECHO_FEATURE_A))
		return error_set(err, -EINVAL, "B needs A");
	return 0;
}

static unsigned int echo_queues(void *dev _unused_)
{
	return ECHO_QUEUES;
}

static uint16_t echo_size(void *dev _unused_, unsigned int queue _unused_)
{
	return ECHO_SIZE;
}

static size_t echo_config_size(void *dev _unused_)
{
	return 12;
}

static void echo_config_read(void *dev, size_t offset, void *data, size_t size)
{
	memcpy(data, ((struct echo *)dev)->config + offset, size);
}

static void echo_config_write(void *dev, size_t offset, const void *data, size_t size)
{
	memcpy(((struct echo *)dev)->config + offset, data, size);
}

static int echo_activate(void *dev, uint64_t features, struct error *err)
{
	struct echo *e = dev;

	assert_true(loop_is_mine(virtio_loop(e->v)));
	if (e->refuse_activate)
		return error_set(err, -EIO, "no echo today");
	e->features = features;
	e->activated++;
	e->live = true;
	return 0;
}

static int echo_start(void *dev, unsigned int queue, struct error *err _unused_)
{
	struct echo *e = dev;

	assert_true(virtio_queue_live(e->v, queue));
	e->started++;
	return 0;
}

static void echo_one(struct echo *e, unsigned int queue)
{
	uint8_t buf[64];
	size_t n = virtqueue_chain_read(e->chain, 0, buf, sizeof(buf));

	n = virtqueue_chain_write(e->chain, 0, buf, n);
	virtqueue_push(virtio_queue(e->v, queue), e->chain, (uint32_t)n);
}

static void echo_ready(void *dev, unsigned int queue)
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

static void echo_reset(void *dev, int queue)
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

static void echo_bus_master(void *dev, bool on)
{
	((struct echo *)dev)->bus_master += on ? 100 : 1;
}

static int echo_drain(void *dev, uint64_t deadline_ns _unused_, struct error *err)
{
	struct echo *e = dev;

	e->drains++;
	return e->refuse_drain ? error_set(err, -EBUSY, "still echoing") : 0;
}

static void echo_thaw(void *dev)
{
	((struct echo *)dev)->thaws++;
}

static int echo_resumed(void *dev, uint64_t features, struct error *err _unused_)
{
	struct echo *e = dev;

	e->features = features;
	e->live = true;
	e->resumes++;
	return 0;
}

static int echo_save(const void *dev, struct state_writer *w, struct error *err _unused_)
{
	const struct echo *e = dev;

	state_put_bytes(w, "config", e->config, sizeof(e->config));
	state_put_u32(w, "kept", e->has_kept);
	if (e->has_kept)
		virtqueue_chain_save(e->kept, w);
	return 0;
}

static int echo_load(void *dev, uint32_t version _unused_, struct state_reader *r,
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

static void echo_free(void *dev)
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
	.bus_master = echo_bus_master,
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

static void make_device(struct vp_test *t)
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

static void make(struct vp_test *t)
{
	memset(t, 0, sizeof(*t));
	fake_machine_init(&t->machine);
	assert_int_equal(loop_new(&t->loop, NULL), 0);
	make_device(t);
	driver_open(&t->d, &t->machine, virtio_pci_function(t->v), BASE);
	t->data = driver_alloc(&t->machine, 4096);
}

static void unmake(struct vp_test *t)
{
	virtio_pci_free(t->v);
	assert_true(t->freed);
	fake_machine_check_empty(&t->machine);
	loop_free(t->loop);
}

static void start(struct vp_test *t, uint64_t features)
{
	driver_start(&t->d, features, ECHO_QUEUES, 16);
	loop_settle(t->loop);
	assert_int_equal(t->echo->activated, 1);
	assert_int_equal(t->echo->started, ECHO_QUEUES);
}

static uint8_t status(struct vp_test *t)
{
	return (uint8_t)driver_common(&t->d, SPEC_C_STATUS, 1);
}

static void send(struct vp_test *t, unsigned int queue, uint32_t number)
{
	struct driver_seg segs[2] = {{t->data, 4, false}, {t->data + 64, 8, true}};

	memcpy(fake_ram(&t->machine, t->data), &number, 4);
	driver_add(&t->d.queues[queue], segs, 2, false);
	driver_kick(&t->d, queue);
}

static void expect_echo(struct vp_test *t, uint32_t number)
{
	uint16_t id;
	uint32_t len, got;

	loop_settle(t->loop);
	assert_true(driver_get_used(&t->d.queues[0], &id, &len));
	assert_int_equal(len, 4);
	memcpy(&got, fake_ram(&t->machine, t->data + 64), 4);
	assert_int_equal(got, number);
}

static void test_discovery(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	assert_int_equal(pci_config_read(t.d.pci, 0, 4),
			 (SPEC_DEVICE_BASE + 42U) << 16 | SPEC_VENDOR);
	assert_true(pci_config_read(t.d.pci, 8, 1) >= 1); /* revision: 4.1.2.1 */
	assert_int_equal(driver_common(&t.d, SPEC_C_NUM_QUEUES, 2), ECHO_QUEUES);
	assert_int_equal(t.d.config_size, 12);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config + 4, 4), 0x07060504);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config + 11, 1), 11);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config + 11, 2), 0); /* not inside */
	fake_mmio_write(&t.machine, t.d.config + 2, 0xabcd, 2);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.config, 4), 0xabcd0100);
	/* Only what the transport does is offered, whatever a device says. */
	assert_true(driver_offered(&t.d) ==
		    (SPEC_F_INDIRECT | SPEC_F_EVENT_IDX | SPEC_F_VERSION_1 | SPEC_F_RING_PACKED |
		     SPEC_F_RING_RESET | ECHO_FEATURE_A | ECHO_FEATURE_B));
	driver_set_common(&t.d, SPEC_C_DEVICE_FEATURE_SELECT, 2, 4);
	assert_int_equal(driver_common(&t.d, SPEC_C_DEVICE_FEATURE, 4), 0);
	/* A queue that is not there has size 0 (4.1.4.3.1). */
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 7, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), 0);
	driver_set_common(&t.d, SPEC_C_QUEUE_ENABLE, 1, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 1, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), ECHO_SIZE);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_VECTOR, 2), SPEC_NO_VECTOR);
	assert_int_equal(driver_common(&t.d, SPEC_C_CONFIG_VECTOR, 2), SPEC_NO_VECTOR);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_ENABLE, 2), 0);
	/* Other widths than the field's own do nothing. */
	driver_set_common(&t.d, SPEC_C_QUEUE_SIZE, 4, 1);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), ECHO_SIZE);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 4), 0);
	unmake(&t);
}

static void test_negotiation(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	assert_false(driver_negotiate(&t.d, ECHO_FEATURE_A));		    /* without VERSION_1 */
	assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | 1ULL << 5)); /* not offered */
	assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | ECHO_FEATURE_B));
	assert_false(driver_negotiate(&t.d, SPEC_F_VERSION_1 | SPEC_F_ACCESS_PLATFORM));
	/* No way round FEATURES_OK. */
	driver_ok(&t.d);
	assert_false(status(&t) & SPEC_S_DRIVER_OK);
	loop_settle(t.loop);
	assert_int_equal(t.echo->activated, 0);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1 | ECHO_FEATURE_A | ECHO_FEATURE_B));
	/* Too late to change. */
	driver_set_common(&t.d, SPEC_C_DRIVER_FEATURE_SELECT, 0, 4);
	driver_set_common(&t.d, SPEC_C_DRIVER_FEATURE, 0, 4);
	assert_int_equal(driver_common(&t.d, SPEC_C_DRIVER_FEATURE, 4), ECHO_FEATURE_A);
	/* Status bits do not go away, and NEEDS_RESET is not the driver's. */
	driver_set_common(&t.d, SPEC_C_STATUS, SPEC_S_ACKNOWLEDGE | SPEC_S_NEEDS_RESET, 1);
	assert_int_equal(status(&t), SPEC_S_ACKNOWLEDGE | SPEC_S_DRIVER | SPEC_S_FEATURES_OK);
	driver_ok(&t.d);
	loop_settle(t.loop);
	assert_true(t.echo->features == (SPEC_F_VERSION_1 | ECHO_FEATURE_A | ECHO_FEATURE_B));
	unmake(&t);
}

static void test_echo_all_rings(void **state _unused_)
{
	static const uint64_t rings[] = {0, SPEC_F_EVENT_IDX, SPEC_F_RING_PACKED,
					 SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX};
	static struct vp_test t;

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		make(&t);
		start(&t, rings[i]);
		for (uint32_t n = 0; n < 40; n++) {
			driver_interrupt_after(&t.d.queues[0], 0);
			if (!(rings[i] & SPEC_F_EVENT_IDX))
				driver_interrupts(&t.d.queues[0], true);
			send(&t, 0, n);
			expect_echo(&t, n);
			assert_int_equal(driver_interrupt_count(&t.d, 1), n + 1);
		}
		assert_int_equal(driver_interrupt_count(&t.d, 2), 0);
		unmake(&t);
	}
}

static void test_doorbells(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	start(&t, 0);
	/* One in the kernel for each queue, at the address the driver was told. */
	assert_int_equal(t.machine.bell_count, ECHO_QUEUES);
	for (unsigned int i = 0; i < ECHO_QUEUES; i++)
		assert_int_equal(t.machine.bells[i].gpa, t.d.queues[i].notify);
	/* They follow the BAR. */
	pci_config_write(t.d.pci, 0x10, BASE + 0x100000, 4);
	t.d.queues[0].notify += 0x100000;
	assert_int_equal(t.machine.bells[0].gpa, t.d.queues[0].notify);
	send(&t, 0, 5);
	expect_echo(&t, 5);
	pci_config_write(t.d.pci, 4, 0, 2);
	assert_int_equal(t.machine.bell_count, 0);
	unmake(&t);

	/* Without any: every ring is an exit. */
	memset(&t, 0, sizeof(t));
	fake_machine_init(&t.machine);
	t.machine.attach.doorbells = NULL;
	assert_int_equal(loop_new(&t.loop, NULL), 0);
	make_device(&t);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), BASE);
	t.data = driver_alloc(&t.machine, 4096);
	start(&t, 0);
	send(&t, 0, 6);
	expect_echo(&t, 6);
	fake_mmio_write(&t.machine, t.d.notify + 200, 0, 2); /* no such queue */
	unmake(&t);
}

static void test_intx(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_enable_queue(&t.d, 0, 16);
	driver_ok(&t.d);
	loop_settle(t.loop);
	send(&t, 0, 1);
	expect_echo(&t, 1);
	assert_true(t.machine.line.level);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.isr, 1), SPEC_ISR_QUEUE);
	assert_false(t.machine.line.level);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.isr, 1), 0);
	virtio_config_begin(t.v);
	t.echo->config[0] = 99;
	virtio_config_end(t.v);
	assert_true(t.machine.line.level);
	assert_int_equal(fake_mmio_read(&t.machine, t.d.isr, 1), SPEC_ISR_CONFIG);
	unmake(&t);
}

static void test_config_change(void **state _unused_)
{
	static struct vp_test t;
	uint64_t generation;

	make(&t);
	generation = driver_common(&t.d, SPEC_C_GENERATION, 1);
	virtio_config_begin(t.v);
	virtio_config_end(t.v);
	assert_int_not_equal(driver_common(&t.d, SPEC_C_GENERATION, 1), generation);
	start(&t, 0);
	assert_int_equal(driver_interrupt_count(&t.d, 0), 0); /* none before DRIVER_OK */
	virtio_config_begin(t.v);
	virtio_config_end(t.v);
	assert_int_equal(driver_interrupt_count(&t.d, 0), 1);
	driver_set_common(&t.d, SPEC_C_CONFIG_VECTOR, ECHO_QUEUES + 1, 2); /* there is none */
	assert_int_equal(driver_common(&t.d, SPEC_C_CONFIG_VECTOR, 2), SPEC_NO_VECTOR);
	virtio_config_begin(t.v);
	virtio_config_end(t.v);
	assert_int_equal(driver_interrupt_count(&t.d, 0), 1);
	unmake(&t);
}

static void test_device_reset(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	start(&t, 0);
	send(&t, 0, 1);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	/* Not 0 before the device has let go (2.1.2), and no other register listens. */
	assert_true(status(&t) & SPEC_S_DRIVER_OK);
	driver_set_common(&t.d, SPEC_C_STATUS, SPEC_S_ACKNOWLEDGE, 1);
	driver_set_common(&t.d, SPEC_C_CONFIG_VECTOR, 1, 2);
	loop_settle(t.loop);
	assert_int_equal(status(&t), 0);
	assert_int_equal(t.echo->resets, 1);
	assert_int_equal(driver_common(&t.d, SPEC_C_CONFIG_VECTOR, 2), SPEC_NO_VECTOR);
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 0, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_ENABLE, 2), 0);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), ECHO_SIZE);
	/* And again from the start. */
	driver_start(&t.d, SPEC_F_RING_PACKED, ECHO_QUEUES, 16);
	loop_settle(t.loop);
	send(&t, 0, 2);
	expect_echo(&t, 2);
	/* DRIVER_OK and reset before the loop has turned: it never becomes active, or is reset. */
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	driver_start(&t.d, 0, ECHO_QUEUES, 16);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	assert_int_equal(status(&t), 0);
	assert_false(t.echo->live);
	unmake(&t);
}

static void reset_queue(struct vp_test *t, unsigned int queue)
{
	driver_set_common(&t->d, SPEC_C_QUEUE_SELECT, queue, 2);
	driver_set_common(&t->d, SPEC_C_QUEUE_RESET, 1, 2);
	assert_int_equal(driver_common(&t->d, SPEC_C_QUEUE_RESET, 2), 1);
	loop_settle(t->loop);
	assert_int_equal(driver_common(&t->d, SPEC_C_QUEUE_RESET, 2), 0);
	assert_int_equal(driver_common(&t->d, SPEC_C_QUEUE_ENABLE, 2), 0);
}

static void test_queue_reset(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	start(&t, SPEC_F_RING_RESET);
	send(&t, 1, 3);
	loop_settle(t.loop);
	assert_true(t.echo->has_kept);
	reset_queue(&t, 1);
	assert_false(t.echo->has_kept);
	assert_int_equal(t.echo->queue_resets, 1);
	send(&t, 0, 4); /* the other goes on */
	expect_echo(&t, 4);
	reset_queue(&t, 0);
	driver_enable_queue(&t.d, 0, 8);
	loop_settle(t.loop);
	assert_int_equal(t.echo->started, ECHO_QUEUES + 1);
	send(&t, 0, 5);
	expect_echo(&t, 5);
	unmake(&t);

	make(&t);
	start(&t, 0); /* not negotiated */
	driver_set_common(&t.d, SPEC_C_QUEUE_RESET, 1, 2);
	loop_settle(t.loop);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_ENABLE, 2), 1);
	assert_int_equal(t.echo->queue_resets, 0);
	unmake(&t);
}

static void test_needs_reset(void **state _unused_)
{
	static struct vp_test t;
	struct driver_seg bad = {0x10, 8, false};

	make(&t);
	start(&t, 0);
	driver_add(&t.d.queues[0], &bad, 1, false);
	driver_kick(&t.d, 0);
	loop_settle(t.loop);
	assert_true(status(&t) & SPEC_S_NEEDS_RESET);
	assert_int_equal(driver_interrupt_count(&t.d, 0), 1);
	send(&t, 1, 1); /* nothing more is taken */
	loop_settle(t.loop);
	assert_false(t.echo->has_kept);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	driver_start(&t.d, 0, ECHO_QUEUES, 16);
	loop_settle(t.loop);
	send(&t, 0, 2);
	expect_echo(&t, 2);
	unmake(&t);

	/* A queue that cannot be, and an activation that fails. */
	make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 0, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_DESC, 0x7, 4);
	driver_set_common(&t.d, SPEC_C_QUEUE_ENABLE, 1, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_ENABLE, 2), 0);
	assert_true(status(&t) & SPEC_S_NEEDS_RESET);
	unmake(&t);
	make(&t);
	t.echo->refuse_activate = true;
	driver_start(&t.d, 0, ECHO_QUEUES, 16);
	loop_settle(t.loop);
	assert_true(status(&t) & SPEC_S_NEEDS_RESET);
	assert_int_equal(t.echo->started, 0);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	assert_int_equal(status(&t), 0);
	assert_int_equal(t.echo->resets, 0);
	unmake(&t);
}

static void test_queue_registers_are_fixed_while_enabled(void **state _unused_)
{
	static struct vp_test t;
	uint64_t desc;

	make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 0, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_SIZE, ECHO_SIZE + 1, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), ECHO_SIZE);
	driver_set_common(&t.d, SPEC_C_QUEUE_SIZE, 0, 2);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), ECHO_SIZE);
	driver_enable_queue(&t.d, 0, 16);
	desc = driver_common(&t.d, SPEC_C_QUEUE_DESC, 8);
	assert_true(desc == t.d.queues[0].desc);
	driver_set_common(&t.d, SPEC_C_QUEUE_DESC, 0, 8);
	driver_set_common(&t.d, SPEC_C_QUEUE_SIZE, 8, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_ENABLE, 0, 2);
	assert_true(driver_common(&t.d, SPEC_C_QUEUE_DESC, 8) == desc);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_SIZE, 2), 16);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_ENABLE, 2), 1);
	unmake(&t);
}

static void test_bus_master(void **state _unused_)
{
	static struct vp_test t;

	make(&t);
	start(&t, 0);
	pci_config_write(t.d.pci, 4, SPEC_CMD_MEMORY, 2);
	send(&t, 1, 1);
	loop_settle(t.loop);
	assert_false(t.echo->has_kept);
	assert_int_equal(t.echo->bus_master, 1);
	pci_config_write(t.d.pci, 4, SPEC_CMD_MEMORY | SPEC_CMD_MASTER, 2);
	loop_settle(t.loop);
	assert_int_equal(t.echo->bus_master, 101);
	assert_true(t.echo->has_kept);
	unmake(&t);
}

static unsigned int find_cfg_cap(struct vp_test *t)
{
	unsigned int at = pci_config_read(t->d.pci, 0x34, 1);

	while (at && !(pci_config_read(t->d.pci, at, 1) == 9 &&
		       pci_config_read(t->d.pci, at + 3, 1) == SPEC_TYPE_PCI_CFG))
		at = pci_config_read(t->d.pci, at + 1, 1);
	assert_true(at);
	return at;
}

/* 4.1.4.9: everything without a mapped BAR, as a boot loader does it. */
static void test_window_in_configuration_space(void **state _unused_)
{
	static struct vp_test t;
	unsigned int cap;
	uint32_t status_at;

	make(&t);
	cap = find_cfg_cap(&t);
	status_at = (uint32_t)(t.d.common - pci_bar_address(t.d.pci, 0)) + SPEC_C_STATUS;
	pci_config_write(t.d.pci, 4, 0, 2);
	pci_config_write(t.d.pci, cap + 4, 0, 1);
	pci_config_write(t.d.pci, cap + 8, status_at, 4);
	pci_config_write(t.d.pci, cap + 12, 1, 4);
	pci_config_write(t.d.pci, cap + 16, SPEC_S_ACKNOWLEDGE, 1);
	assert_int_equal(pci_config_read(t.d.pci, cap + 16, 1), SPEC_S_ACKNOWLEDGE);
	assert_int_equal(pci_config_read(t.d.pci, cap + 16, 4), SPEC_S_ACKNOWLEDGE);
	/* Nothing is there: no length, not aligned, another BAR, outside. */
	pci_config_write(t.d.pci, cap + 12, 3, 4);
	pci_config_write(t.d.pci, cap + 16, 0, 1);
	pci_config_write(t.d.pci, cap + 12, 2, 4);
	pci_config_write(t.d.pci, cap + 8, status_at - 1, 4);
	pci_config_write(t.d.pci, cap + 16, 0, 4);
	pci_config_write(t.d.pci, cap + 4, 1, 1);
	pci_config_write(t.d.pci, cap + 16, 0, 4);
	pci_config_write(t.d.pci, cap + 4, 0, 1);
	pci_config_write(t.d.pci, cap + 8, UINT32_MAX - 3, 4);
	pci_config_write(t.d.pci, cap + 12, 4, 4);
	pci_config_write(t.d.pci, cap + 16, 0, 4);
	pci_config_write(t.d.pci, cap + 8, status_at, 4);
	pci_config_write(t.d.pci, cap + 12, 1, 4);
	assert_int_equal(pci_config_read(t.d.pci, cap + 16, 1), SPEC_S_ACKNOWLEDGE);
	unmake(&t);
}

static void test_kernel_signallers(void **state _unused_)
{
	static struct vp_test t;
	uint64_t one = 1;
	int fd, bell;
	struct pollfd pfd;

	make(&t);
	start(&t, 0);
	fd = virtio_queue_interrupt_fd(t.v, 1, NULL);
	assert_int_equal(fd, pci_msix_eventfd(t.d.pci, 2, NULL));
	bell = virtio_queue_doorbell_fd(t.v, 1, false);
	send(&t, 1, 1);
	loop_settle(t.loop);
	assert_false(t.echo->has_kept);
	pfd = (struct pollfd){.fd = bell, .events = POLLIN};
	assert_int_equal(poll(&pfd, 1, 0), 1);
	virtio_queue_doorbell_fd(t.v, 1, true);
	loop_settle(t.loop);
	assert_true(t.echo->has_kept);
	unmake(&t);

	/* With INTx through the loop. */
	make(&t);
	assert_true(driver_negotiate(&t.d, SPEC_F_VERSION_1));
	driver_enable_queue(&t.d, 0, 16);
	driver_ok(&t.d);
	loop_settle(t.loop);
	fd = virtio_queue_interrupt_fd(t.v, 0, NULL);
	assert_int_equal(write(fd, &one, 8), 8);
	loop_settle(t.loop);
	assert_true(t.machine.line.level);
	fake_mmio_read(&t.machine, t.d.isr, 1);
	unmake(&t);
}

static void test_drain_and_thaw(void **state _unused_)
{
	static struct vp_test t;
	struct error err = ERROR_INIT;

	make(&t);
	assert_int_equal(virtio_pci_drain(t.v, 0, &err), 0); /* nothing to drain yet */
	virtio_pci_thaw(t.v);
	assert_int_equal(t.echo->drains, 0);
	/* Whatever vCPUs left to the loop is done first. */
	driver_start(&t.d, 0, ECHO_QUEUES, 16);
	assert_int_equal(virtio_pci_drain(t.v, 0, &err), 0);
	assert_int_equal(t.echo->activated, 1);
	assert_int_equal(t.echo->drains, 1);
	send(&t, 0, 1);
	loop_settle(t.loop);
	assert_int_equal(driver_interrupt_count(&t.d, 1), 0);
	virtio_pci_thaw(t.v);
	assert_int_equal(t.echo->thaws, 1);
	expect_echo(&t, 1);
	t.echo->refuse_drain = true;
	assert_int_equal(virtio_pci_drain(t.v, 0, &err), -EBUSY);
	assert_string_equal(err.message, "virtio-echo: still echoing");
	assert_int_equal(t.echo->thaws, 2);
	send(&t, 0, 2);
	expect_echo(&t, 2);
	unmake(&t);
}

/* ---- State. ---- */

static void hand_over(struct vp_test *from, struct vp_test *to)
{
	memset(to, 0, sizeof(*to));
	fake_machine_init(&to->machine);
	memcpy(to->machine.ram, from->machine.ram, sizeof(from->machine.ram));
	to->machine.ram_used = from->machine.ram_used;
	assert_int_equal(loop_new(&to->loop, NULL), 0);
	make_device(to);
	to->d = from->d;
	to->d.m = &to->machine;
	to->d.pci = virtio_pci_function(to->v);
	to->data = from->data;
	for (unsigned int i = 0; i < ECHO_QUEUES; i++)
		to->d.queues[i].m = &to->machine;
}

static void test_every_state_goes_over(void **state _unused_)
{
	static struct vp_test a, b;
	struct error err = ERROR_INIT;

	for (unsigned int stage = 0; stage < 6; stage++) {
		const struct state_ops *ops;
		struct saved s;

		make(&a);
		if (stage == 1)
			driver_negotiate(&a.d, SPEC_F_VERSION_1 | SPEC_F_RING_PACKED);
		if (stage == 2) {
			driver_negotiate(&a.d, SPEC_F_VERSION_1);
			driver_use_msix(&a.d, 2);
			driver_enable_queue(&a.d, 1, 16);
		}
		if (stage >= 3)
			start(&a, stage == 3 ? 0 : SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX);
		if (stage == 4) {
			send(&a, 1, 7);
			loop_settle(a.loop);
			assert_true(a.echo->has_kept);
		}
		if (stage == 5) {
			struct driver_seg bad = {0x10, 8, false};

			driver_add(&a.d.queues[0], &bad, 1, false);
			driver_kick(&a.d, 0);
			loop_settle(a.loop);
		}
		ops = virtio_pci_state_ops(a.v);
		assert_string_equal(ops->name, "virtio-echo");
		assert_int_equal(virtio_pci_drain(a.v, 0, &err), 0);
		hand_over(&a, &b);
		assert_round_trip(ops, a.v, b.v);
		s = device_save(ops, a.v);
		assert_true(s.size < virtio_pci_state_size_max(a.v));
		saved_free(&s);
		if (stage == 4) /* the one with most in it */
			driver_torture_state(ops, b.v);
		virtio_pci_resumed(b.v);
		assert_int_equal(b.echo->resumes, stage >= 3);
		assert_int_equal(b.machine.bell_count, ECHO_QUEUES);
		if (stage == 3 || stage == 4) {
			/* One spurious interrupt for each live vector. */
			assert_int_equal(driver_interrupt_count(&b.d, 1), 1);
			driver_interrupts(&b.d.queues[0], true);
			send(&b, 0, 8);
			expect_echo(&b, 8);
		}
		if (stage == 4)
			assert_int_equal(virtqueue_in_flight(virtio_queue(b.v, 1)), 1);
		assert_int_equal(!!(status(&b) & SPEC_S_NEEDS_RESET), stage == 5);
		unmake(&b);
		unmake(&a);
	}
}

static void test_state_is_refused(void **state _unused_)
{
	static struct vp_test t;
	struct error err = ERROR_INIT;
	struct saved s;
	struct state_writer *w;
	struct state_object object;

	make(&t);
	start(&t, ECHO_FEATURE_A);
	/* Not drained. */
	object = (struct state_object){.ops = virtio_pci_state_ops(t.v), .obj = t.v};
	assert_int_equal(state_writer_new(SAVED_MAX, &w, NULL), 0);
	assert_int_equal(state_save_objects(&object, 1, w, &err), -EBUSY);
	state_writer_free(w);
	assert_int_equal(virtio_pci_drain(t.v, 0, &err), 0);
	s = device_save(object.ops, t.v);
	virtio_pci_free(t.v);
	fake_machine_init(&t.machine);
	/* A program or host that offers less. */
	make_device(&t);
	virtio_pci_free(t.v);
	t.echo = calloc(1, sizeof(*t.echo));
	t.echo->freed = &t.freed;
	t.echo->chain = virtqueue_chain_new(4);
	t.echo->kept = virtqueue_chain_new(4);
	t.echo->offered = VIRTIO_TRANSPORT_FEATURES;
	assert_int_equal(virtio_pci_new(&echo_ops, t.echo, t.loop, &t.machine.attach, &t.v, NULL),
			 0);
	assert_int_equal(device_load(virtio_pci_state_ops(t.v), t.v, &s, STATE_CHECK, &err),
			 -EINVAL);
	assert_non_null(strstr(err.message, "the guest uses 0x1,"));
	saved_free(&s);
	unmake(&t);
}

/* The device on a thread of its own: the same, and nothing races (TSan). */
static void test_own_thread(void **state _unused_)
{
	static struct vp_test t;
	struct loop_thread *thread;
	struct error err = ERROR_INIT;
	struct saved s;
	uint16_t id;
	uint32_t len;

	for (unsigned int round = 0; round < 20; round++) {
		memset(&t, 0, sizeof(t));
		fake_machine_init(&t.machine);
		assert_int_equal(loop_thread_new("echo", &thread, NULL), 0);
		t.loop = loop_thread_loop(thread);
		make_device(&t);
		driver_open(&t.d, &t.machine, virtio_pci_function(t.v), BASE);
		t.data = driver_alloc(&t.machine, 4096);
		driver_start(&t.d, SPEC_F_RING_PACKED, ECHO_QUEUES, 16);
		for (uint32_t n = 0; n < 20; n++) {
			driver_interrupts(&t.d.queues[0], true);
			send(&t, 0, n);
			while (!driver_get_used(&t.d.queues[0], &id, &len))
				sched_yield();
			virtio_config_begin(t.v);
			t.echo->config[0]++;
			virtio_config_end(t.v);
		}
		assert_int_equal(virtio_pci_drain(t.v, clock_monotonic_ns() + NSEC_PER_SEC, &err),
				 0);
		s = device_save(virtio_pci_state_ops(t.v), t.v);
		saved_free(&s);
		virtio_pci_thaw(t.v);
		if (round % 2) {
			driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
			while (status(&t))
				sched_yield();
		}
		virtio_pci_free(t.v);
		fake_machine_check_empty(&t.machine);
		loop_thread_free(thread);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_discovery),
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_echo_all_rings),
		cmocka_unit_test(test_doorbells),
		cmocka_unit_test(test_intx),
		cmocka_unit_test(test_config_change),
		cmocka_unit_test(test_device_reset),
		cmocka_unit_test(test_queue_reset),
		cmocka_unit_test(test_needs_reset),
		cmocka_unit_test(test_queue_registers_are_fixed_while_enabled),
		cmocka_unit_test(test_bus_master),
		cmocka_unit_test(test_window_in_configuration_space),
		cmocka_unit_test(test_kernel_signallers),
		cmocka_unit_test(test_drain_and_thaw),
		cmocka_unit_test(test_every_state_goes_over),
		cmocka_unit_test(test_state_is_refused),
		cmocka_unit_test(test_own_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
