/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/virtqueue: positions and buffers in flight through a state. */
#include "tests/unit/ring_test.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_chain_state),
		cmocka_unit_test(test_positions_of_vhost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
