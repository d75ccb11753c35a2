/* SPDX-License-Identifier: Apache-2.0 */
/* A virtqueue of each kind with its driver. */
#ifndef HOLDFAST_TESTS_UNIT_RING_TEST_H
#define HOLDFAST_TESTS_UNIT_RING_TEST_H

#include "devices/virtio/virtqueue.h"
#include "tests/unit/virtio_driver.h"

#define SIZE 16

struct ring_test {
	struct fake_machine machine;
	struct driver_queue q;
	struct virtqueue *vq;
	struct virtqueue_chain *chain;
	struct virtqueue_config config;
	uint64_t data; /* four pages for buffers */
	bool packed, event_idx;
};

/* The four kinds of ring. */
static const struct {
	bool packed, event_idx;
} kinds[] = {{false, false}, {false, true}, {true, false}, {true, true}};

static inline void make_sized(struct ring_test *t, unsigned int kind, uint16_t size)
{
	memset(t, 0, sizeof(*t));
	fake_machine_init(&t->machine);
	t->packed = kinds[kind].packed;
	t->event_idx = kinds[kind].event_idx;
	driver_queue_init(&t->q, &t->machine, size, t->packed, t->event_idx);
	t->data = driver_alloc(&t->machine, 4 * 4096);
	t->config = (struct virtqueue_config){.size = size,
					      .desc = t->q.desc,
					      .driver = t->q.driver,
					      .device = t->q.device,
					      .packed = t->packed,
					      .event_idx = t->event_idx,
					      .indirect = true};
	t->chain = virtqueue_chain_new(8);
	assert_int_equal(virtqueue_new(&t->machine.attach.memory, NULL, &t->vq, NULL), 0);
	assert_int_equal(virtqueue_enable(t->vq, &t->config, NULL), 0);
}

static inline void make(struct ring_test *t, unsigned int kind)
{
	make_sized(t, kind, SIZE);
}

static inline void unmake(struct ring_test *t)
{
	virtqueue_chain_free(t->chain);
	virtqueue_free(t->vq);
}

static inline struct driver_seg seg_at(struct ring_test *t, unsigned int offset, uint32_t len,
				       bool write)
{
	return (struct driver_seg){t->data + offset, len, write};
}

/* One buffer of 8 readable bytes that hold `number` and 16 writable ones. */
static inline uint16_t add_numbered(struct ring_test *t, uint64_t number, bool indirect)
{
	unsigned int at = (unsigned int)(number % 64) * 24;
	struct driver_seg segs[2] = {seg_at(t, at, 8, false), seg_at(t, at + 8, 16, true)};

	memcpy(fake_ram(&t->machine, t->data + at), &number, 8);
	return driver_add(&t->q, segs, 2, indirect);
}

static inline void pop_numbered(struct ring_test *t, uint64_t number)
{
	uint64_t got = 0;

	assert_int_equal(virtqueue_pop(t->vq, t->chain, NULL), 1);
	assert_int_equal(t->chain->out_count, 1);
	assert_int_equal(t->chain->in_count, 1);
	assert_int_equal(t->chain->out_bytes, 8);
	assert_int_equal(t->chain->in_bytes, 16);
	assert_int_equal(virtqueue_chain_read(t->chain, 0, &got, 8), 8);
	assert_int_equal(got, number);
}

static inline void expect_used(struct ring_test *t, uint16_t id, uint32_t len)
{
	uint16_t got_id;
	uint32_t got_len;

	assert_true(driver_get_used(&t->q, &got_id, &got_len));
	assert_int_equal(got_id, id);
	assert_int_equal(got_len, len);
}

static inline void expect_none_used(struct ring_test *t)
{
	uint16_t id;
	uint32_t len;

	assert_false(driver_get_used(&t->q, &id, &len));
}

#endif
