/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/virtqueue: every rule that a driver can break. */
#include "tests/unit/ring_test.h"

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

/* A buffer that is made available once more before it came back: two would have one id. */
static void test_same_buffer_twice(void **state _unused_)
{
	static struct ring_test t;
	struct driver_seg seg;
	uint16_t id;

	make(&t, 0);
	id = add_numbered(&t, 0, false);
	pop_numbered(&t, 0);
	put16(&t, t.q.driver + 4 + 2, id);
	put16(&t, t.q.driver + 2, 2);
	expect_broken(&t, "while it is in flight");
	unmake(&t);

	make(&t, 2);
	seg = seg_at(&t, 0, 8, false);
	id = driver_add(&t.q, &seg, 1, false);
	driver_add(&t.q, &seg, 1, false);
	put16(&t, t.q.desc + 16 + 12, id);
	expect_broken(&t, "while it is in flight");
	unmake(&t);

	/* One that came back, or was put back, may come again. */
	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		make(&t, kind);
		for (unsigned int i = 0; i < 3 * SIZE; i++) {
			id = add_numbered(&t, i, false);
			pop_numbered(&t, i);
			virtqueue_unpop(t.vq, t.chain);
			pop_numbered(&t, i);
			virtqueue_push(t.vq, t.chain, 5);
			virtqueue_publish(t.vq);
			expect_used(&t, id, 5);
		}
		unmake(&t);
	}
}

/* Buffers without end, while nothing is returned: bounded by the ring's size. */
static void test_endless_driver(void **state _unused_)
{
	static struct ring_test t;

	make(&t, 0);
	add_numbered(&t, 0, false);
	for (unsigned int i = 0; i < SIZE; i++) {
		memcpy(fake_ram(&t.machine, t.q.desc + 16ULL * i), fake_ram(&t.machine, t.q.desc),
		       8);
		put16(&t, t.q.desc + 16ULL * i + 12, 0);
		put16(&t, t.q.driver + 4 + 2 * i, (uint16_t)i);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_segments),   cmocka_unit_test(test_bad_indirect),
		cmocka_unit_test(test_bad_split),      cmocka_unit_test(test_same_buffer_twice),
		cmocka_unit_test(test_endless_driver), cmocka_unit_test(test_bad_configs),
		cmocka_unit_test(test_dma_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
