/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/blk as a device: configuration space, cache modes, queues and their reset, how
 * much is taken, rate limits, resize. */
#include "tests/unit/blk_test.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/loop_thread.h"

#define WCE (SPEC_F_FLUSH | SPEC_F_CONFIG_WCE)

static struct blk_test t;

static void test_configuration(void **state _unused_)
{
	static const uint64_t always = SPEC_F_SEG_MAX | SPEC_F_BLK_SIZE | SPEC_F_FLUSH |
				       SPEC_F_TOPOLOGY | SPEC_F_CONFIG_WCE | SPEC_F_DISCARD |
				       SPEC_F_WRITE_ZEROES | SPEC_F_RING_RESET;
	uint64_t offered;

	blk_test_start(&t, NULL, ~0ULL);
	offered = driver_offered(&t.d);
	assert_int_equal(offered & always, always);
	assert_false(offered & (SPEC_F_RO | SPEC_F_MQ));
	assert_int_equal(blk_test_config(&t, SPEC_CFG_CAPACITY, 4), BLK_TEST_SECTORS);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_CAPACITY + 4, 4), 0);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_SEG_MAX, 4), 126);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_BLK_SIZE, 4), 512);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_WRITEBACK, 1), 1);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_WRITEBACK + 1, 1), 0);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_NUM_QUEUES, 2), 1);
	assert_true(blk_test_config(&t, SPEC_CFG_MAX_DISCARD, 4) > 0);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_MAX_DISCARD_SEG, 4), 16);
	assert_true(blk_test_config(&t, SPEC_CFG_MAX_ZEROES, 4) > 0);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_MAX_ZEROES_SEG, 4), 16);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_ZEROES_MAY_UNMAP, 4), 1);
	/* Read-only, all but one byte. */
	fake_mmio_write(&t.machine, t.d.config + SPEC_CFG_CAPACITY, 1, 4);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_CAPACITY, 4), BLK_TEST_SECTORS);
	blk_test_end(&t);
	blk_test_image(&t);
	t.config.sparse = false;
	t.config.num_queues = 3;
	blk_test_device(&t, NULL);
	blk_test_drive(&t, ~0ULL);
	assert_true(t.d.features & SPEC_F_MQ);
	assert_false(t.d.features & SPEC_F_DISCARD);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_NUM_QUEUES, 2), 3);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_ZEROES_MAY_UNMAP, 1), 0);
	blk_test_end(&t);
}

static bool write_is_through(void)
{
	bool through;

	blk_test_send(&t, 0, SPEC_T_OUT, 0, 0, 512);
	loop_settle(t.loop);
	assert_int_equal(blk_test_slow->count, 1);
	through = blk_test_slow->held->through;
	blk_test_finish(1);
	blk_test_used(&t, 0);
	return through;
}

/* 5.2.5.2 and 5.2.6.2. */
static void test_cache_modes(void **state _unused_)
{
	/* A driver that can neither flush nor say so: every write is stable when it is done. */
	blk_test_start(&t, blk_test_slow_new, 0);
	assert_true(write_is_through());
	fake_mmio_write(&t.machine, t.d.config + SPEC_CFG_WRITEBACK, 1, 1); /* not negotiated */
	assert_true(write_is_through());
	blk_test_end(&t);
	blk_test_start(&t, blk_test_slow_new, SPEC_F_FLUSH);
	assert_false(write_is_through());
	blk_test_end(&t);
	/* One that cannot flush but can choose starts with write-through. */
	blk_test_start(&t, blk_test_slow_new, SPEC_F_CONFIG_WCE);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_WRITEBACK, 1), 0);
	assert_true(write_is_through());
	blk_test_end(&t);
	blk_test_start(&t, blk_test_slow_new, WCE);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_WRITEBACK, 1), 1);
	assert_false(write_is_through());
	fake_mmio_write(&t.machine, t.d.config + SPEC_CFG_WRITEBACK, 0, 1);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_WRITEBACK, 1), 0);
	assert_true(write_is_through());
	/* As part of a wider access, and forgotten by a reset. */
	fake_mmio_write(&t.machine, t.d.config + SPEC_CFG_WRITEBACK, 0x00010001, 4);
	assert_false(write_is_through());
	fake_mmio_write(&t.machine, t.d.config + SPEC_CFG_WRITEBACK, 0, 1);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	blk_test_drive(&t, WCE);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_WRITEBACK, 1), 1);
	blk_test_end(&t);
}

static void test_several_queues(void **state _unused_)
{
	blk_test_image(&t);
	t.config.num_queues = 4;
	blk_test_device(&t, NULL);
	blk_test_drive(&t, SPEC_F_MQ | SPEC_F_EVENT_IDX);
	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int q = 0; q < 4; q++) {
			blk_test_send(&t, q, SPEC_T_IN, q, 4096 * q, 512);
			blk_test_send(&t, q, SPEC_T_IN, q + 100, 4096 * q + 512, 512);
		}
		for (unsigned int q = 0; q < 4; q++) {
			assert_int_equal(blk_test_used(&t, q), 513);
			assert_int_equal(blk_test_used(&t, q), 513);
			assert_int_equal(*blk_test_data(&t, 4096 * q), blk_test_fill(q));
			assert_int_equal(*blk_test_data(&t, 4096 * q + 512),
					 blk_test_fill(q + 100));
		}
	}
	for (unsigned int q = 0; q < 4; q++)
		assert_true(driver_interrupt_count(&t.d, q + 1) > 0);
	blk_test_end(&t);
}

/* More than the backend takes: no more is taken from the rings; then all queues get their turn. */
static void test_in_flight_is_bounded(void **state _unused_)
{
	unsigned int sent = 0;

	blk_test_image(&t);
	t.config.num_queues = 8;
	t.ring_size = 128;
	blk_test_device(&t, blk_test_slow_new);
	blk_test_drive(&t, SPEC_F_MQ);
	for (unsigned int q = 0; q < 8; q++) {
		for (unsigned int i = 0; i < 60; i++, sent++)
			blk_test_send(&t, q, SPEC_T_FLUSH, 0, 0, 0);
	}
	loop_settle(t.loop);
	assert_int_equal(blk_test_slow->count, BLK_IN_FLIGHT_MAX);
	for (unsigned int i = 0; blk_test_slow->count; i++) {
		assert_true(blk_test_slow->count <= BLK_IN_FLIGHT_MAX);
		blk_test_finish(7);
		loop_settle(t.loop);
	}
	assert_int_equal(blk_test_slow->submitted, sent);
	for (unsigned int q = 0; q < 8; q++) {
		for (unsigned int i = 0; i < 60; i++)
			blk_test_used(&t, q);
		blk_test_none_used(&t, q);
	}
	blk_test_end(&t);
}

/* One queue is reset with requests in flight: they are never answered, others are. */
static void test_queue_reset(void **state _unused_)
{
	blk_test_image(&t);
	t.config.num_queues = 2;
	blk_test_device(&t, blk_test_slow_new);
	blk_test_drive(&t, SPEC_F_MQ | SPEC_F_RING_RESET);
	for (unsigned int i = 0; i < 4; i++)
		blk_test_send(&t, i % 2, SPEC_T_IN, i, 4096 * i, 512);
	loop_settle(t.loop);
	assert_int_equal(blk_test_slow->count, 4);
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, 0, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_RESET, 1, 2);
	loop_settle(t.loop);
	assert_int_equal(driver_common(&t.d, SPEC_C_QUEUE_RESET, 2), 0);
	blk_test_none_used(&t, 0);
	assert_int_equal(blk_test_status(&t, 0), BLK_TEST_NOTHING);
	assert_int_equal(blk_test_used(&t, 1), 513);
	assert_int_equal(blk_test_used(&t, 1), 513);
	/* It can be used again. */
	driver_enable_queue(&t.d, 0, 64);
	loop_settle(t.loop);
	blk_test_send(&t, 0, SPEC_T_IN, 9, 0, 512);
	loop_settle(t.loop);
	blk_test_finish(1);
	assert_int_equal(blk_test_used(&t, 0), 513);
	assert_int_equal(*blk_test_data(&t, 0), blk_test_fill(9));
	blk_test_end(&t);
}

static void test_device_reset(void **state _unused_)
{
	static blk_backend_new_fn *const makes[] = {blk_test_slow_new, blk_uring_new,
						    blk_threads_new};

	for (unsigned int i = 0; i < ARRAY_SIZE(makes); i++) {
		blk_test_start(&t, makes[i], SPEC_F_FLUSH);
		for (unsigned int k = 0; k < 16; k++)
			blk_test_send(&t, 0, SPEC_T_IN, k, 4096 * k, 512);
		loop_run_once(t.loop, 100);
		driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
		loop_settle(t.loop);
		assert_int_equal(driver_common(&t.d, SPEC_C_STATUS, 1), 0);
		/* Nothing writes into the guest's memory any more. */
		memset(blk_test_data(&t, 0), 0, BLK_TEST_DATA);
		loop_settle(t.loop);
		for (unsigned int k = 0; k < 16; k++)
			assert_int_equal(*blk_test_data(&t, 4096 * k), 0);
		blk_test_drive(&t, SPEC_F_FLUSH);
		if (!makes[i] || makes[i] != blk_test_slow_new)
			assert_int_equal(blk_test_do(&t, SPEC_T_IN, 1, 0, 512, NULL), SPEC_S_OK);
		blk_test_end(&t);
	}
}

/* With requests that wait for an exclusive one. */
static void test_reset_of_waiting_requests(void **state _unused_)
{
	blk_test_image(&t);
	t.config.direct = true;
	blk_test_device(&t, blk_test_slow_new);
	t.blk->image.offset_align = 4096;
	blk_test_drive(&t, SPEC_F_FLUSH);
	memset(blk_test_data(&t, 0), 0x66, 4096);
	blk_test_send(&t, 0, SPEC_T_OUT, 3, 0, 512);
	for (unsigned int k = 0; k < 5; k++)
		blk_test_send(&t, 0, SPEC_T_OUT, 8, 0, 512 * (1 + k));
	loop_settle(t.loop);
	assert_int_equal(blk_test_slow->count, 1);
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	assert_int_equal(blk_test_slow->submitted, 1);
	blk_test_end(&t);
}

/* ---- Rate limits. ---- */

static void test_operations_are_limited(void **state _unused_)
{
	struct virtio_blk_counters counters;

	blk_test_image(&t);
	/* A bucket that does not fill again while this test runs. */
	t.config.limits.ops =
		(struct token_bucket_config){.size = 5, .refill_ms = TOKEN_BUCKET_REFILL_MAX};
	blk_test_device(&t, NULL);
	blk_test_drive(&t, 0);
	for (unsigned int i = 0; i < 12; i++)
		blk_test_send(&t, 0, SPEC_T_IN, i, 4096 * i, 512);
	for (unsigned int i = 0; i < 5; i++)
		blk_test_used(&t, 0);
	blk_test_none_used(&t, 0);
	virtio_blk_get_counters(t.blk, &counters);
	assert_true(counters.throttled > 0);
	assert_int_equal(counters.read_ops, 5);
	/* What is held back is still the driver's: a freeze has nothing to wait for. */
	assert_int_equal(virtio_pci_drain(t.v, UINT64_MAX, NULL), 0);
	assert_int_equal(virtqueue_in_flight(virtio_queue(t.v, 0)), 0);
	virtio_pci_thaw(t.v);
	blk_test_none_used(&t, 0);
	blk_test_end(&t);
}

static void test_limits_let_go_again(void **state _unused_)
{
	uint64_t begin;

	blk_test_image(&t);
	t.config.limits.bandwidth = (struct token_bucket_config){.size = 8192, .refill_ms = 40};
	blk_test_device(&t, NULL);
	blk_test_drive(&t, SPEC_F_EVENT_IDX);
	begin = clock_monotonic_ns();
	for (unsigned int i = 0; i < 20; i++)
		blk_test_send(&t, 0, SPEC_T_IN, 8 * (i % 16), 0, 4096);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(blk_test_used(&t, 0), 4097);
	/* Not before what is owed was earned: 80 KiB less a full bucket and the last on credit. */
	assert_true(clock_monotonic_ns() - begin >= 17 * 20 * NSEC_PER_MSEC);
	blk_test_end(&t);
}

/* ---- Resize. ---- */

static void test_resize(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct stat st;
	uint8_t generation;
	unsigned int interrupts;

	blk_test_start(&t, NULL, WCE);
	generation = (uint8_t)driver_common(&t.d, SPEC_C_GENERATION, 1);
	interrupts = driver_interrupt_count(&t.d, 0);
	assert_int_equal(blk_test_do(&t, SPEC_T_IN, BLK_TEST_SECTORS, 0, 512, NULL), SPEC_S_IOERR);
	assert_int_equal(virtio_blk_resize(t.blk, 2 * BLK_TEST_SIZE, &err), 0);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_CAPACITY, 4), 2 * BLK_TEST_SECTORS);
	assert_int_equal(virtio_blk_size(t.blk), 2 * BLK_TEST_SIZE);
	assert_int_not_equal(driver_common(&t.d, SPEC_C_GENERATION, 1), generation);
	assert_int_equal(driver_interrupt_count(&t.d, 0), interrupts + 1);
	assert_int_equal(stat(t.config.path, &st), 0);
	assert_int_equal(st.st_size, 2 * BLK_TEST_SIZE);
	assert_int_equal(blk_test_do(&t, SPEC_T_IN, BLK_TEST_SECTORS, 0, 512, NULL), SPEC_S_OK);
	/* Nothing new, nothing told. */
	assert_int_equal(virtio_blk_resize(t.blk, 0, &err), 0);
	assert_int_equal(driver_interrupt_count(&t.d, 0), interrupts + 1);
	/* Never cut off by us; by its owner it may be. */
	assert_int_equal(virtio_blk_resize(t.blk, BLK_TEST_SIZE, &err), -EINVAL);
	assert_non_null(strstr(err.message, t.config.path));
	assert_int_equal(virtio_blk_resize(t.blk, 3 * BLK_TEST_SIZE + 1, &err), -EINVAL);
	assert_int_equal(truncate(t.config.path, BLK_TEST_SIZE / 2), 0);
	/* Not told yet: reads behind the end fail. */
	assert_int_equal(blk_test_do(&t, SPEC_T_IN, BLK_TEST_SECTORS, 0, 512, NULL), SPEC_S_IOERR);
	assert_int_equal(virtio_blk_resize(t.blk, 0, &err), 0);
	assert_int_equal(blk_test_config(&t, SPEC_CFG_CAPACITY, 4), BLK_TEST_SECTORS / 2);
	assert_int_equal(blk_test_do(&t, SPEC_T_OUT, BLK_TEST_SECTORS / 2, 0, 512, NULL),
			 SPEC_S_IOERR);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	assert_int_equal(virtio_blk_resize(t.blk, 0, &err), -EBUSY);
	virtio_pci_thaw(t.v);
	assert_int_equal(virtio_blk_resize(t.blk, 0, &err), 0);
	blk_test_end(&t);
}

/* ---- A thread of its own. ---- */

static void test_on_its_own_thread(void **state _unused_)
{
	struct loop_thread *thread;
	struct loop *main_loop;

	blk_test_image(&t);
	assert_int_equal(loop_thread_new("disk0", &thread, NULL), 0);
	main_loop = t.loop;
	t.loop = loop_thread_loop(thread);
	blk_test_device(&t, NULL);
	t.loop = main_loop;
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), 0xc0000000ULL);
	driver_start(&t.d, WCE, 1, 64);
	for (unsigned int i = 0; i < 200; i++) {
		uint16_t id;
		uint32_t len;

		blk_test_send(&t, 0, i % 3 ? SPEC_T_IN : SPEC_T_OUT, i, 0, 512);
		while (!driver_get_used(&t.d.queues[0], &id, &len))
			loop_run_once(main_loop, 1);
		if (i == 100)
			assert_int_equal(virtio_blk_resize(t.blk, 2 * BLK_TEST_SIZE, NULL), 0);
		if (i % 20 == 0) {
			assert_int_equal(virtio_pci_drain(t.v, UINT64_MAX, NULL), 0);
			virtio_pci_thaw(t.v);
		}
		assert_true(blk_test_config(&t, SPEC_CFG_CAPACITY, 4) >= BLK_TEST_SECTORS);
	}
	virtio_pci_free(t.v);
	loop_thread_free(thread);
	t.v = NULL;
	blk_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_cache_modes),
		cmocka_unit_test(test_several_queues),
		cmocka_unit_test(test_in_flight_is_bounded),
		cmocka_unit_test(test_queue_reset),
		cmocka_unit_test(test_device_reset),
		cmocka_unit_test(test_reset_of_waiting_requests),
		cmocka_unit_test(test_operations_are_limited),
		cmocka_unit_test(test_limits_let_go_again),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_on_its_own_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
