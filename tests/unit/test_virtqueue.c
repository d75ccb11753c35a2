/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/virtqueue: split and packed rings, direct and indirect, with and without
 * EVENT_IDX; every rule a driver can break. */
#include <pthread.h>
#include <sched.h>

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

static void make_sized(struct ring_test *t, unsigned int kind, uint16_t size)
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

static void make(struct ring_test *t, unsigned int kind)
{
	make_sized(t, kind, SIZE);
}

static void unmake(struct ring_test *t)
{
	virtqueue_chain_free(t->chain);
	virtqueue_free(t->vq);
}

static struct driver_seg seg_at(struct ring_test *t, unsigned int offset, uint32_t len, bool write)
{
	return (struct driver_seg){t->data + offset, len, write};
}

/* One buffer of 8 readable bytes that hold `number` and 16 writable ones. */
static uint16_t add_numbered(struct ring_test *t, uint64_t number, bool indirect)
{
	unsigned int at = (unsigned int)(number % 64) * 24;
	struct driver_seg segs[2] = {seg_at(t, at, 8, false), seg_at(t, at + 8, 16, true)};

	memcpy(fake_ram(&t->machine, t->data + at), &number, 8);
	return driver_add(&t->q, segs, 2, indirect);
}

static void pop_numbered(struct ring_test *t, uint64_t number)
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

static void expect_used(struct ring_test *t, uint16_t id, uint32_t len)
{
	uint16_t got_id;
	uint32_t got_len;

	assert_true(driver_get_used(&t->q, &got_id, &got_len));
	assert_int_equal(got_id, id);
	assert_int_equal(got_len, len);
}

static void expect_none_used(struct ring_test *t)
{
	uint16_t id;
	uint32_t len;

	assert_false(driver_get_used(&t->q, &id, &len));
}

/* Many laps, in batches of changing size, direct and indirect mixed. */
static void test_buffers_go_round(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		uint64_t sent = 0, seen = 0;

		make(&t, kind);
		assert_int_equal(virtqueue_pop(t.vq, t.chain, NULL), 0);
		for (unsigned int round = 0; round < 60; round++) {
			unsigned int batch = 1 + round % 7;
			uint16_t ids[7];

			for (unsigned int i = 0; i < batch; i++)
				ids[i] = add_numbered(&t, sent++, (round + i) % 9 == 0);
			for (unsigned int i = 0; i < batch; i++) {
				pop_numbered(&t, seen++);
				virtqueue_push(t.vq, t.chain, (uint32_t)i);
			}
			assert_int_equal(virtqueue_pop(t.vq, t.chain, NULL), 0);
			expect_none_used(&t);
			virtqueue_publish(t.vq);
			for (unsigned int i = 0; i < batch; i++)
				expect_used(&t, ids[i], i);
			expect_none_used(&t);
		}
		unmake(&t);
	}
}

/* Not a power of two is fine for a packed ring. */
static void test_odd_packed_size(void **state _unused_)
{
	static struct ring_test t;

	make_sized(&t, 3, 7);
	for (uint64_t i = 0; i < 50; i++) {
		uint16_t id = add_numbered(&t, i, false);

		pop_numbered(&t, i);
		virtqueue_push(t.vq, t.chain, 3);
		virtqueue_publish(t.vq);
		expect_used(&t, id, 3);
	}
	unmake(&t);
}

static void test_out_of_order(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		struct virtqueue_chain *chains[3];
		uint16_t ids[3];

		make(&t, kind);
		for (unsigned int i = 0; i < 3; i++) {
			chains[i] = virtqueue_chain_new(2);
			ids[i] = add_numbered(&t, i, false);
			assert_int_equal(virtqueue_pop(t.vq, chains[i], NULL), 1);
		}
		assert_int_equal(virtqueue_in_flight(t.vq), 3);
		virtqueue_push(t.vq, chains[2], 1);
		virtqueue_publish(t.vq);
		virtqueue_push(t.vq, chains[0], 2);
		virtqueue_push(t.vq, chains[1], 3);
		virtqueue_publish(t.vq);
		expect_used(&t, ids[2], 1);
		expect_used(&t, ids[0], 2);
		expect_used(&t, ids[1], 3);
		assert_int_equal(virtqueue_in_flight(t.vq), 0);
		for (unsigned int i = 0; i < 3; i++)
			virtqueue_chain_free(chains[i]);
		unmake(&t);
	}
}

static void test_unpop(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		make(&t, kind);
		for (uint64_t i = 0; i < 50; i++) {
			uint16_t id = add_numbered(&t, i, false);

			pop_numbered(&t, i);
			virtqueue_unpop(t.vq, t.chain);
			assert_int_equal(virtqueue_in_flight(t.vq), 0);
			pop_numbered(&t, i);
			virtqueue_push(t.vq, t.chain, 1);
			virtqueue_publish(t.vq);
			expect_used(&t, id, 1);
		}
		unmake(&t);
	}
}

static void test_interrupts(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		uint16_t id;
		uint32_t len;

		make(&t, kind);
		assert_false(virtqueue_publish(t.vq)); /* nothing was pushed */
		for (uint64_t i = 0; i < 100; i++) {
			bool wanted = i % 3;

			driver_interrupts(&t.q, wanted);
			add_numbered(&t, i, false);
			pop_numbered(&t, i);
			virtqueue_push(t.vq, t.chain, 0);
			assert_int_equal(virtqueue_publish(t.vq), wanted);
			assert_true(driver_get_used(&t.q, &id, &len));
		}
		unmake(&t);
	}
}

/* One interrupt when the event is passed, not before and not after, over many laps. */
static void test_event_index(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 1; kind < ARRAY_SIZE(kinds); kind += 2) {
		uint64_t n = 0;
		uint16_t id;
		uint32_t len;

		make(&t, kind);
		for (unsigned int round = 0; round < 40; round++) {
			/* Each buffer is two slots of a packed ring. */
			driver_interrupt_after(&t.q, t.packed ? 4 : 2);
			for (unsigned int i = 0; i < 5; i++)
				add_numbered(&t, n + i, false);
			for (unsigned int i = 0; i < 5; i++) {
				pop_numbered(&t, n + i);
				virtqueue_push(t.vq, t.chain, 0);
				assert_int_equal(virtqueue_publish(t.vq), i == 2);
			}
			n += 5;
			/* All in one batch: one interrupt. */
			for (unsigned int i = 0; i < 5; i++)
				assert_true(driver_get_used(&t.q, &id, &len));
			driver_interrupt_after(&t.q, t.packed ? 4 : 2);
			for (unsigned int i = 0; i < 5; i++)
				add_numbered(&t, n + i, false);
			for (unsigned int i = 0; i < 5; i++) {
				pop_numbered(&t, n + i);
				virtqueue_push(t.vq, t.chain, 0);
			}
			assert_true(virtqueue_publish(t.vq));
			n += 5;
			for (unsigned int i = 0; i < 5; i++)
				assert_true(driver_get_used(&t.q, &id, &len));
		}
		unmake(&t);
	}
}

static void test_doorbell(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		uint16_t id;
		uint32_t len;

		make(&t, kind);
		for (uint64_t i = 0; i < 200; i += 2) {
			assert_false(virtqueue_enable_doorbell(t.vq));
			add_numbered(&t, i, false);
			assert_true(driver_wants_kick(&t.q));
			virtqueue_disable_doorbell(t.vq);
			pop_numbered(&t, i);
			add_numbered(&t, i + 1, false);
			assert_false(driver_wants_kick(&t.q));
			/* It came while the doorbell was off: enable() says so. */
			assert_true(virtqueue_enable_doorbell(t.vq));
			virtqueue_push(t.vq, t.chain, 0);
			pop_numbered(&t, i + 1);
			virtqueue_push(t.vq, t.chain, 0);
			virtqueue_publish(t.vq);
			assert_true(driver_get_used(&t.q, &id, &len));
			assert_true(driver_get_used(&t.q, &id, &len));
		}
		unmake(&t);
	}
}

static void test_chain_copies(void **state _unused_)
{
	static struct ring_test t;
	struct driver_seg segs[5];
	uint8_t buf[64];

	make(&t, 0);
	for (uint32_t i = 0; i < 5; i++)
		segs[i] = seg_at(&t, i * 16, 10, i >= 3);
	segs[1].len = 0; /* points at nothing: left out */
	for (uint8_t i = 0; i < 80; i++)
		fake_ram(&t.machine, t.data)[i] = i;
	driver_add(&t.q, segs, 5, true);
	assert_int_equal(virtqueue_pop(t.vq, t.chain, NULL), 1);
	assert_int_equal(t.chain->out_count, 2);
	assert_int_equal(t.chain->in_count, 2);
	assert_int_equal(virtqueue_chain_read(t.chain, 5, buf, sizeof(buf)), 15);
	assert_int_equal(buf[0], 5);
	assert_int_equal(buf[4], 9);
	assert_int_equal(buf[5], 32);
	assert_int_equal(virtqueue_chain_read(t.chain, 20, buf, 1), 0);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(virtqueue_chain_write(t.chain, 9, buf, 3), 3);
	assert_int_equal(fake_ram(&t.machine, t.data)[3 * 16 + 8], 3 * 16 + 8);
	assert_int_equal(fake_ram(&t.machine, t.data)[3 * 16 + 9], 0xee);
	assert_int_equal(fake_ram(&t.machine, t.data)[4 * 16 + 1], 0xee);
	assert_int_equal(fake_ram(&t.machine, t.data)[4 * 16 + 2], 4 * 16 + 2);
	assert_int_equal(virtqueue_chain_write(t.chain, 0, buf, 64), 20);
	assert_int_equal(t.chain->segments[2].gpa, t.data + 48);
	assert_int_equal(t.chain->segments[2].len, 10);
	unmake(&t);
}

/* RAM in two regions that touch: a buffer may lie across. */
static void *two_regions(void *opaque, uint64_t gpa, uint64_t len)
{
	struct fake_machine *m = opaque;
	uint64_t seam = FAKE_RAM_BASE + 0x80000;

	if (gpa < seam && gpa + len > seam)
		return NULL;
	return m->attach.memory.ptr(m, gpa, len);
}

static void test_buffer_across_two_regions(void **state _unused_)
{
	static struct ring_test t;
	const uint64_t seam = FAKE_RAM_BASE + 0x80000;
	struct driver_seg seg = {seam - 1000, 3001, true};
	struct guest_memory memory = {two_regions, &t.machine};
	struct error err = ERROR_INIT;

	make(&t, 0);
	virtqueue_free(t.vq);
	assert_int_equal(virtqueue_new(&memory, NULL, &t.vq, NULL), 0);
	assert_int_equal(virtqueue_enable(t.vq, &t.config, NULL), 0);
	driver_add(&t.q, &seg, 1, false);
	assert_int_equal(virtqueue_pop(t.vq, t.chain, NULL), 1);
	assert_int_equal(t.chain->in_count, 2);
	assert_int_equal(t.chain->in[0].iov_len, 1000);
	assert_int_equal(t.chain->in[1].iov_len, 2001);
	assert_ptr_equal(t.chain->in[1].iov_base, fake_ram(&t.machine, seam));
	seg.gpa = FAKE_RAM_BASE + FAKE_RAM_SIZE - 8;
	driver_add(&t.q, &seg, 1, false);
	assert_int_equal(virtqueue_pop(t.vq, t.chain, &err), -EPROTO);
	assert_non_null(strstr(err.message, "not guest RAM"));
	unmake(&t);
}

/* ---- Rules that drivers break. ---- */

static void expect_broken(struct ring_test *t, const char *why)
{
	struct error err = ERROR_INIT;
	int r;

	do {
		r = virtqueue_pop(t->vq, t->chain, &err);
	} while (r == 1);
	assert_int_equal(r, -EPROTO);
	if (!strstr(err.message, why))
		fail_msg("\"%s\" does not say \"%s\"", err.message, why);
	assert_true(virtqueue_broken(t->vq));
	assert_int_equal(virtqueue_pop(t->vq, t->chain, &err), 0);
	virtqueue_push(t->vq, t->chain, 0);
	assert_false(virtqueue_publish(t->vq));
	virtqueue_reset(t->vq);
	assert_false(virtqueue_broken(t->vq));
}

static void put16(struct ring_test *t, uint64_t gpa, uint16_t value)
{
	memcpy(fake_ram(&t->machine, gpa), &value, 2);
}

static void test_bad_segments(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		for (unsigned int indirect = 0; indirect < 2; indirect++) {
			struct driver_seg segs[10] = {
				{FAKE_RAM_BASE + FAKE_RAM_SIZE - 4, 8, false}};

			make(&t, kind);
			driver_add(&t.q, segs, 1, indirect);
			expect_broken(&t, "not guest RAM");
			unmake(&t);

			make(&t, kind);
			segs[0] = (struct driver_seg){UINT64_MAX - 2, 8, true};
			driver_add(&t.q, segs, 1, indirect);
			expect_broken(&t, "not guest RAM");
			unmake(&t);

			make(&t, kind);
			segs[0] = seg_at(&t, 0, 8, true);
			segs[1] = seg_at(&t, 8, 8, false);
			driver_add(&t.q, segs, 2, indirect);
			expect_broken(&t, "readable descriptor after");
			unmake(&t);

			make(&t, kind);
			for (unsigned int i = 0; i < 10; i++)
				segs[i] = seg_at(&t, 8 * i, 8, true);
			driver_add(&t.q, segs, 9, indirect);
			expect_broken(&t, "more than 8 segments");
			unmake(&t);
		}
	}
}

static void test_bad_indirect(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		struct driver_seg seg;
		unsigned int flags = kinds[kind].packed ? 14 : 12, bits;
		uint16_t head;

		for (unsigned int which = 0; which < 5; which++) {
			static const char *const why[] = {"of 0 bytes", "of 24 bytes",
							  "not guest RAM", "a next one",
							  "not negotiated"};
			uint32_t len = which == 1 ? 24 : 32;
			uint64_t at;

			make(&t, kind);
			if (which == 4) {
				virtqueue_reset(t.vq);
				t.config.indirect = false;
				virtqueue_enable(t.vq, &t.config, NULL);
			}
			seg = seg_at(&t, 0, 8, true);
			head = driver_add(&t.q, &seg, 1, true);
			at = t.q.desc + 16ULL * (t.packed ? 0 : head);
			memcpy(fake_ram(&t.machine, at + 8), &len, 4);
			if (which == 0)
				memset(fake_ram(&t.machine, at + 8), 0, 4);
			if (which == 2)
				memset(fake_ram(&t.machine, at), 0xff, 7);
			memcpy(&bits, fake_ram(&t.machine, at + flags), 2);
			if (which == 3)
				fake_ram(&t.machine, at + flags)[0] |= SPEC_D_NEXT;
			expect_broken(&t, why[which]);
			unmake(&t);
		}
	}
}

static void test_bad_split(void **state _unused_)
{
	static struct ring_test t;
	struct driver_seg segs[2];
	uint16_t head;

	/* Head, next, loop, index, table in table. */
	make(&t, 0);
	put16(&t, t.q.driver + 4, SIZE);
	put16(&t, t.q.driver + 2, 1);
	expect_broken(&t, "descriptor 16 of 16");
	unmake(&t);

	make(&t, 0);
	head = add_numbered(&t, 1, false);
	put16(&t, t.q.desc + 16ULL * head + 14, 999);
	expect_broken(&t, "descriptor 999 of 16");
	unmake(&t);

	make(&t, 0);
	segs[0] =
		(struct driver_seg){t.data, 0, false}; /* takes no room, so only the loop ends it */
	segs[1] = segs[0];
	head = driver_add(&t.q, segs, 2, false);
	put16(&t, t.q.desc + 16ULL * t.q.next[head] + 12, SPEC_D_NEXT);
	put16(&t, t.q.desc + 16ULL * t.q.next[head] + 14, head);
	expect_broken(&t, "loop");
	unmake(&t);

	make(&t, 0);
	put16(&t, t.q.driver + 2, SIZE + 1);
	expect_broken(&t, "more than 16 after");
	unmake(&t);

	make(&t, 0);
	segs[0] = seg_at(&t, 0, 16, false);
	segs[1] = seg_at(&t, 16, 16, false);
	driver_add(&t.q, segs, 2, true);
	/* The table is in the page that was given out last. */
	put16(&t, FAKE_RAM_BASE + t.machine.ram_used - 4096 + 12, SPEC_D_INDIRECT);
	expect_broken(&t, "inside a table");
	unmake(&t);
}

/* The same head again and again, while nothing is returned: bounded by the ring's size. */
static void test_endless_driver(void **state _unused_)
{
	static struct ring_test t;

	make(&t, 0);
	add_numbered(&t, 0, false);
	for (unsigned int i = 0; i < SIZE; i++) {
		put16(&t, t.q.driver + 4 + 2 * (i % SIZE), 0);
		put16(&t, t.q.driver + 2, (uint16_t)(i + 1));
		assert_int_equal(virtqueue_pop(t.vq, t.chain, NULL), 1);
	}
	put16(&t, t.q.driver + 2, SIZE + 1);
	expect_broken(&t, "more buffers in flight");
	unmake(&t);

	/* A packed ring whose descriptors are all available again, and a chain without an end. */
	make(&t, 2);
	for (unsigned int i = 0; i < SIZE; i++) {
		struct driver_seg seg = seg_at(&t, 0, 8, false);

		driver_add(&t.q, &seg, 1, false);
		assert_int_equal(virtqueue_pop(t.vq, t.chain, NULL), 1);
	}
	put16(&t, t.q.desc + 14, 1U << 15); /* available in the second lap */
	expect_broken(&t, "longer than the free ring");
	unmake(&t);

	make(&t, 2);
	for (unsigned int i = 0; i < SIZE; i++)
		put16(&t, t.q.desc + 16 * i + 14, 1U << 7 | SPEC_D_NEXT);
	expect_broken(&t, "longer than the free ring");
	unmake(&t);

	make(&t, 2);
	put16(&t, t.q.desc + 14, 1U << 7 | SPEC_D_NEXT);
	put16(&t, t.q.desc + 16 + 14, 1U << 7 | SPEC_D_INDIRECT);
	expect_broken(&t, "inside a chain");
	unmake(&t);
}

static void test_bad_configs(void **state _unused_)
{
	static struct ring_test t;
	struct error err = ERROR_INIT;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		struct virtqueue_config c;

		make(&t, kind);
		virtqueue_reset(t.vq);
		c = t.config;
		c.size = 0;
		assert_int_equal(virtqueue_enable(t.vq, &c, &err), -EINVAL);
		c.size = VIRTQUEUE_SIZE_MAX + 1;
		assert_int_equal(virtqueue_enable(t.vq, &c, &err), -EINVAL);
		c.size = 12;
		assert_int_equal(virtqueue_enable(t.vq, &c, &err), t.packed ? 0 : -EINVAL);
		c = t.config;
		c.desc += 8;
		assert_int_equal(virtqueue_enable(t.vq, &c, &err), -EINVAL);
		c = t.config;
		c.device += 2;
		assert_int_equal(virtqueue_enable(t.vq, &c, &err), -EINVAL);
		c = t.config;
		c.driver += 1;
		assert_int_equal(virtqueue_enable(t.vq, &c, &err), -EINVAL);
		c = t.config;
		c.desc = FAKE_RAM_BASE + FAKE_RAM_SIZE - 16 * (SIZE - 1);
		assert_int_equal(virtqueue_enable(t.vq, &c, &err), -EFAULT);
		assert_non_null(strstr(err.message, "descriptor area"));
		c = t.config;
		c.device = 0;
		assert_int_equal(virtqueue_enable(t.vq, &c, &err), -EFAULT);
		assert_non_null(strstr(err.message, "device area"));
		unmake(&t);
	}
}

static void test_dma_off(void **state _unused_)
{
	static struct ring_test t;
	atomic_bool dma = true;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		make(&t, kind);
		virtqueue_free(t.vq);
		assert_int_equal(virtqueue_new(&t.machine.attach.memory, &dma, &t.vq, NULL), 0);
		assert_int_equal(virtqueue_enable(t.vq, &t.config, NULL), 0);
		add_numbered(&t, 1, false);
		atomic_store(&dma, false);
		assert_int_equal(virtqueue_pop(t.vq, t.chain, NULL), 0);
		atomic_store(&dma, true);
		pop_numbered(&t, 1);
		atomic_store(&dma, false);
		virtqueue_push(t.vq, t.chain, 5);
		assert_false(virtqueue_publish(t.vq));
		atomic_store(&dma, true);
		assert_false(virtqueue_publish(t.vq));
		expect_none_used(&t);
		assert_true(virtqueue_broken(t.vq));
		unmake(&t);
	}
}

/* ---- State. ---- */

static struct ring_test *loading;

static int wrap_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	virtqueue_save(obj, w);
	return 0;
}

static int wrap_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		     enum state_mode mode, struct error *err)
{
	virtqueue_load(obj, &loading->config, r, mode);
	return state_reader_done(r, err);
}

static const struct state_ops wrap_ops = {
	.name = "queue", .version = 1, .min_version = 1, .save = wrap_save, .load = wrap_load};

static void test_state(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		make(&t, kind);
		loading = &t;
		for (uint64_t i = 0; i < 100; i++) {
			struct virtqueue *other;
			uint16_t id = add_numbered(&t, i, false);

			pop_numbered(&t, i);
			/* With a buffer in flight, into a new queue, which goes on. */
			assert_int_equal(
				virtqueue_new(&t.machine.attach.memory, NULL, &other, NULL), 0);
			assert_round_trip(&wrap_ops, t.vq, other);
			assert_int_equal(virtqueue_loaded_in_flight(other), 1);
			virtqueue_free(t.vq);
			t.vq = other;
			virtqueue_push(t.vq, t.chain, 9);
			virtqueue_publish(t.vq);
			expect_used(&t, id, 9);
			assert_int_equal(virtqueue_position(t.vq) & 0x7fff,
					 t.packed ? (2 * i + 2) % SIZE : i + 1);
		}
		add_numbered(&t, 1, false);
		pop_numbered(&t, 1);
		driver_torture_state(&wrap_ops, t.vq);
		assert_refuses_u32(&wrap_ops, t.vq, "in-flight", 0);
		assert_refuses_u32(&wrap_ops, t.vq, "in-flight", 17);
		/* The rings are gone. */
		t.config.driver = 0x10;
		{
			struct saved s = device_save(&wrap_ops, t.vq);

			assert_refused(&wrap_ops, t.vq, &s);
			saved_free(&s);
		}
		unmake(&t);
	}
}

static int chain_wrap_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	virtqueue_chain_save(obj, w);
	return 0;
}

static int chain_wrap_load(void *obj, uint32_t version _unused_, struct state_reader *r,
			   enum state_mode mode, struct error *err)
{
	struct virtqueue_chain *loaded = virtqueue_chain_new(8);
	struct virtqueue_chain *chain = obj;
	int ret;

	virtqueue_chain_load(loading->vq, loaded, r);
	ret = state_reader_done(r, err);
	if (ret == 0 && mode == STATE_APPLY) {
		chain->id = loaded->id;
		chain->slots = loaded->slots;
		chain->out_count = loaded->out_count;
		chain->in_count = loaded->in_count;
		chain->out_bytes = loaded->out_bytes;
		chain->in_bytes = loaded->in_bytes;
		chain->in = chain->iov + chain->out_count;
		memcpy(chain->segments, loaded->segments, 8 * sizeof(*chain->segments));
		memcpy(chain->iov, loaded->iov, 8 * sizeof(*chain->iov));
	}
	virtqueue_chain_free(loaded);
	return ret;
}

static const struct state_ops chain_ops = {.name = "chain",
					   .version = 1,
					   .min_version = 1,
					   .save = chain_wrap_save,
					   .load = chain_wrap_load};

static void test_chain_state(void **state _unused_)
{
	static struct ring_test t;
	struct virtqueue_chain *other = virtqueue_chain_new(8);

	make(&t, 3);
	loading = &t;
	add_numbered(&t, 77, false);
	pop_numbered(&t, 77);
	assert_round_trip(&chain_ops, t.chain, other);
	assert_ptr_equal(other->in[0].iov_base, t.chain->in[0].iov_base);
	assert_int_equal(other->out_bytes, 8);
	assert_int_equal(other->slots, 2);
	driver_torture_state(&chain_ops, other);
	virtqueue_chain_free(other);
	unmake(&t);
}

static void test_positions_of_vhost(void **state _unused_)
{
	static struct ring_test t;

	/* Split: the index; packed: both positions, each with its wrap bit. */
	make(&t, 0);
	virtqueue_set_position(t.vq, 0xfffe);
	assert_int_equal(virtqueue_position(t.vq), 0xfffe);
	unmake(&t);
	make(&t, 2);
	assert_int_equal(virtqueue_position(t.vq), 0x80008000);
	add_numbered(&t, 1, false);
	pop_numbered(&t, 1);
	assert_int_equal(virtqueue_position(t.vq), 0x80008002);
	virtqueue_set_position(t.vq, 0x00058005);
	assert_int_equal(virtqueue_position(t.vq), 0x00058005);
	unmake(&t);
}

/* ---- A driver and a device on two threads, who sleep when they may. ---- */

#define TRIPS 20000

struct wire {
	struct ring_test *t;
	atomic_uint kicks, interrupts;
};

static void *device_main(void *opaque)
{
	struct wire *w = opaque;
	unsigned int done = 0, kicks = 0;

	while (done < TRIPS) {
		if (virtqueue_pop(w->t->vq, w->t->chain, NULL) == 1) {
			virtqueue_push(w->t->vq, w->t->chain, 1);
			if (virtqueue_publish(w->t->vq))
				atomic_fetch_add(&w->interrupts, 1);
			done++;
			continue;
		}
		if (virtqueue_enable_doorbell(w->t->vq))
			continue;
		/* Only a doorbell wakes it: one that is lost would hang the test. */
		while (atomic_load(&w->kicks) == kicks)
			sched_yield();
		kicks = atomic_load(&w->kicks);
		virtqueue_disable_doorbell(w->t->vq);
	}
	return NULL;
}

static void drive(struct wire *w)
{
	struct driver_queue *q = &w->t->q;
	unsigned int sent = 0, done = 0, interrupts = 0;
	uint16_t id;
	uint32_t len;

	while (done < TRIPS) {
		while (sent < TRIPS && q->free_count >= 2) {
			add_numbered(w->t, sent++, false);
			if (driver_wants_kick(q))
				atomic_fetch_add(&w->kicks, 1);
		}
		interrupts = atomic_load(&w->interrupts);
		while (driver_get_used(q, &id, &len))
			done++;
		if (done == sent || q->free_count >= 2)
			continue;
		driver_interrupts(q, true);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (driver_get_used(q, &id, &len)) {
			done++;
			continue;
		}
		while (atomic_load(&w->interrupts) == interrupts)
			sched_yield();
	}
}

static void test_two_threads(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		struct wire w = {.t = &t};
		pthread_t device;

		make(&t, kind);
		assert_int_equal(pthread_create(&device, NULL, device_main, &w), 0);
		drive(&w);
		pthread_join(device, NULL);
		expect_none_used(&t);
		unmake(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffers_go_round),
		cmocka_unit_test(test_odd_packed_size),
		cmocka_unit_test(test_out_of_order),
		cmocka_unit_test(test_unpop),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_event_index),
		cmocka_unit_test(test_doorbell),
		cmocka_unit_test(test_chain_copies),
		cmocka_unit_test(test_buffer_across_two_regions),
		cmocka_unit_test(test_bad_segments),
		cmocka_unit_test(test_bad_indirect),
		cmocka_unit_test(test_bad_split),
		cmocka_unit_test(test_endless_driver),
		cmocka_unit_test(test_bad_configs),
		cmocka_unit_test(test_dma_off),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_chain_state),
		cmocka_unit_test(test_positions_of_vhost),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
