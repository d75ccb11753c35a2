/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/virtqueue: split and packed rings, direct and indirect, with and without
 * EVENT_IDX. */
#include <pthread.h>
#include <sys/eventfd.h>

#include "tests/unit/ring_test.h"

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

/* ---- A driver and a device on two threads, who sleep when they may. ---- */

#define TRIPS 20000

/* Who waits is woken by an eventfd, as in a machine: a doorbell or an interrupt that is lost would
 * hang the test. */
struct wire {
	struct ring_test *t;
	int kick, interrupt;
};

static void wake(int fd)
{
	assert_int_equal(eventfd_write(fd, 1), 0);
}

static void sleep_on(int fd)
{
	eventfd_t count;

	assert_int_equal(eventfd_read(fd, &count), 0);
}

static void *device_main(void *opaque)
{
	struct wire *w = opaque;
	unsigned int done = 0;

	while (done < TRIPS) {
		if (virtqueue_pop(w->t->vq, w->t->chain, NULL) == 1) {
			virtqueue_push(w->t->vq, w->t->chain, 1);
			if (virtqueue_publish(w->t->vq))
				wake(w->interrupt);
			done++;
			continue;
		}
		if (virtqueue_enable_doorbell(w->t->vq))
			continue;
		sleep_on(w->kick);
		virtqueue_disable_doorbell(w->t->vq);
	}
	return NULL;
}

static void drive(struct wire *w)
{
	struct driver_queue *q = &w->t->q;
	unsigned int sent = 0, done = 0;
	uint16_t id;
	uint32_t len;

	while (done < TRIPS) {
		while (sent < TRIPS && q->free_count >= 2) {
			add_numbered(w->t, sent++, false);
			if (driver_wants_kick(q))
				wake(w->kick);
		}
		while (driver_get_used(q, &id, &len))
			done++;
		if (done == sent || q->free_count >= 2)
			continue;
		driver_interrupts(q, true);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (driver_get_used(q, &id, &len))
			done++;
		else
			sleep_on(w->interrupt);
	}
}

static void test_two_threads(void **state _unused_)
{
	static struct ring_test t;

	for (unsigned int kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		struct wire w = {.t = &t,
				 .kick = eventfd(0, EFD_CLOEXEC),
				 .interrupt = eventfd(0, EFD_CLOEXEC)};
		pthread_t device;

		make(&t, kind);
		assert_int_equal(pthread_create(&device, NULL, device_main, &w), 0);
		drive(&w);
		pthread_join(device, NULL);
		close(w.kick);
		close(w.interrupt);
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
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
