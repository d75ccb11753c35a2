/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/blk across an update: drained or submitted again, never answered twice; only the
 * same image will do. */
#include "tests/unit/blk_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"

#define ALL (SPEC_F_FLUSH | SPEC_F_CONFIG_WCE | SPEC_F_DISCARD | SPEC_F_WRITE_ZEROES)

static const uint64_t rings[] = {SPEC_F_INDIRECT, SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX};
static struct blk_test t;

static uint64_t in_ms(unsigned int ms)
{
	return clock_monotonic_ns() + ms * NSEC_PER_MSEC;
}

static const struct state_ops *ops(void)
{
	return virtio_pci_state_ops(t.v);
}

/* The first process is gone, a second one has the state. make: its backend. */
static void move_to_new_process(blk_backend_new_fn *make)
{
	struct saved s = device_save(ops(), t.v);
	struct error err = ERROR_INIT;

	if (blk_test_slow)
		blk_test_slow->lost = true;
	virtio_pci_free(t.v);
	blk_test_device(&t, make);
	if (device_load(ops(), t.v, &s, STATE_APPLY, &err) < 0)
		fail_msg("%s", error_message(&err));
	t.d.pci = virtio_pci_function(t.v);
	saved_free(&s);
}

static void assert_image(uint64_t sector, uint64_t count, uint8_t value)
{
	uint8_t buf[SPEC_SECTOR];

	for (uint64_t i = 0; i < count; i++) {
		blk_test_read_image(&t, (sector + i) * SPEC_SECTOR, buf, sizeof(buf));
		for (unsigned int k = 0; k < sizeof(buf); k++)
			assert_int_equal(buf[k], value);
	}
}

/* The host is quick enough: all is answered before the state is saved. */
static void test_drained(void **state _unused_)
{
	static blk_backend_new_fn *const makes[] = {blk_uring_new, blk_threads_new};

	for (unsigned int i = 0; i < 4; i++) {
		uint16_t id;
		uint32_t len;

		blk_test_start(&t, makes[i % 2], rings[i / 2] | ALL);
		memset(blk_test_data(&t, 0), 0x33, 4096);
		for (unsigned int k = 0; k < 16; k++)
			blk_test_send(&t, 0, SPEC_T_OUT, 8 * k, 0, 4096);
		assert_int_equal(loop_run_once(t.loop, 100), 0);
		assert_int_equal(virtio_pci_drain(t.v, in_ms(30000), NULL), 0);
		for (unsigned int k = 0; k < 16; k++)
			assert_true(driver_get_used(&t.d.queues[0], &id, &len));
		assert_image(0, 128, 0x33);
		assert_true(driver_interrupt_count(&t.d, 1) > 0);
		/* What comes now is for the next process. */
		blk_test_send(&t, 0, SPEC_T_IN, 200, 8192, 512);
		blk_test_none_used(&t, 0);
		move_to_new_process(makes[(i + 1) % 2]);
		blk_test_none_used(&t, 0);
		virtio_pci_resumed(t.v);
		assert_int_equal(blk_test_used(&t, 0), 513);
		assert_int_equal(*blk_test_data(&t, 8192), blk_test_fill(200));
		blk_test_end(&t);
	}
}

/* What is outstanding: writes, a read, a flush, zeroes; some answered in between, out of order. */
static void send_mix(void)
{
	const struct blk_test_range range = {48, 8, 1};
	uint64_t sector = htole64(range.sector);
	uint32_t rest[2] = {htole32(range.count), htole32(range.flags)};

	memset(blk_test_data(&t, 0), 0x44, 4096);
	memcpy(blk_test_data(&t, 8192), &sector, 8);
	memcpy(blk_test_data(&t, 8200), rest, 8);
	blk_test_send(&t, 0, SPEC_T_OUT, 0, 0, 4096);
	blk_test_send(&t, 0, SPEC_T_OUT, 16, 0, 2048);
	blk_test_send(&t, 0, SPEC_T_IN, 100, 4096, 1024);
	blk_test_send(&t, 0, SPEC_T_FLUSH, 0, 0, 0);
	blk_test_send(&t, 0, SPEC_T_WRITE_ZEROES, 0, 8192, 16);
	loop_settle(t.loop);
	assert_int_equal(blk_test_slow->count, 5);
}

static void test_resubmitted(void **state _unused_)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		struct virtio_blk_counters counters;

		blk_test_start(&t, blk_test_slow_new, rings[i] | ALL);
		send_mix();
		/* One end before the deadline: told once, not saved. */
		blk_test_finish(1);
		assert_int_equal(blk_test_used(&t, 0), 1);
		assert_int_equal(virtio_pci_drain(t.v, in_ms(2), NULL), 0);
		blk_test_none_used(&t, 0);
		assert_int_equal(blk_test_slow->count, 4);
		/* The first process may be ended whenever it likes: that answers nothing. */
		move_to_new_process(blk_test_slow_new);
		blk_test_none_used(&t, 0);
		assert_int_equal(blk_test_slow->submitted, 0); /* not before the guest goes on */
		virtio_pci_resumed(t.v);
		assert_int_equal(blk_test_slow->submitted, 4); /* each of them once */
		virtio_blk_get_counters(t.blk, &counters);
		assert_int_equal(counters.resubmitted, 4);
		blk_test_none_used(&t, 0);
		blk_test_finish(10);
		for (unsigned int k = 0; k < 4; k++)
			blk_test_used(&t, 0);
		blk_test_none_used(&t, 0);
		for (unsigned int k = 0; k < 5; k++)
			assert_int_equal(blk_test_status(&t, k), SPEC_S_OK);
		assert_image(0, 8, 0x44);
		assert_image(16, 4, 0x44);
		assert_image(48, 8, 0);
		assert_int_equal(*blk_test_data(&t, 4096), blk_test_fill(100));
		assert_int_equal(*blk_test_data(&t, 4096 + 512), blk_test_fill(101));
		assert_int_equal(blk_test_slow->submitted, 4);
		/* And the ring is where it should be. */
		blk_test_send(&t, 0, SPEC_T_IN, 1, 0, 512);
		loop_settle(t.loop);
		blk_test_finish(1);
		assert_int_equal(blk_test_used(&t, 0), 513);
		blk_test_end(&t);
	}
}

/* Two updates in a row in which the host does nothing at all, then a quick one. */
static void test_resubmitted_twice(void **state _unused_)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		blk_test_start(&t, blk_test_slow_new, rings[i] | ALL);
		send_mix();
		for (unsigned int k = 0; k < 2; k++) {
			assert_int_equal(virtio_pci_drain(t.v, in_ms(1), NULL), 0);
			move_to_new_process(blk_test_slow_new);
			virtio_pci_resumed(t.v);
			assert_int_equal(blk_test_slow->submitted, 5);
		}
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		move_to_new_process(blk_uring_new);
		virtio_pci_resumed(t.v);
		for (unsigned int k = 0; k < 5; k++)
			blk_test_used(&t, 0);
		blk_test_none_used(&t, 0);
		assert_image(48, 8, 0);
		assert_image(16, 4, 0x44);
		blk_test_end(&t);
	}
}

/* The freeze is undone: what was in flight ends here, once, and is not done again. */
static void test_thawed(void **state _unused_)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		struct saved s;

		blk_test_start(&t, blk_test_slow_new, rings[i] | ALL);
		send_mix();
		assert_int_equal(virtio_pci_drain(t.v, in_ms(1), NULL), 0);
		s = device_save(ops(), t.v);
		saved_free(&s);
		blk_test_send(&t, 0, SPEC_T_IN, 7, 0, 512);
		loop_settle(t.loop);
		assert_int_equal(blk_test_slow->submitted, 5);
		virtio_pci_thaw(t.v);
		assert_int_equal(blk_test_slow->submitted, 6);
		blk_test_finish(6);
		for (unsigned int k = 0; k < 6; k++)
			blk_test_used(&t, 0);
		blk_test_none_used(&t, 0);
		assert_image(0, 8, 0x44);
		blk_test_end(&t);
	}
}

/* Real backends, with ends that come between drain and thaw. */
static void test_thawed_for_real(void **state _unused_)
{
	static blk_backend_new_fn *const makes[] = {blk_uring_new, blk_threads_new};

	for (unsigned int i = 0; i < 40; i++) {
		blk_test_start(&t, makes[i % 2], rings[i / 2 % 2] | ALL);
		for (unsigned int k = 0; k < 8; k++)
			blk_test_send(&t, 0, SPEC_T_OUT, 8 * k, 0, 4096);
		assert_int_equal(loop_run_once(t.loop, 100), 0);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		virtio_pci_thaw(t.v);
		for (unsigned int k = 0; k < 8; k++)
			blk_test_used(&t, 0);
		blk_test_none_used(&t, 0);
		blk_test_end(&t);
	}
}

/* Requests that wait for an exclusive one are in flight as well. */
static void test_waiting_ones_travel(void **state _unused_)
{
	blk_test_image(&t);
	t.config.direct = true;
	blk_test_device(&t, blk_test_slow_new);
	t.blk->image.offset_align = 4096;
	blk_test_drive(&t, ALL);
	memset(blk_test_data(&t, 0), 0x55, 4096);
	blk_test_send(&t, 0, SPEC_T_OUT, 8, 0, 4096);
	blk_test_send(&t, 0, SPEC_T_OUT, 3, 0, 512);
	blk_test_send(&t, 0, SPEC_T_OUT, 16, 0, 4096);
	loop_settle(t.loop);
	assert_int_equal(blk_test_slow->submitted, 1);
	assert_int_equal(virtio_pci_drain(t.v, in_ms(1), NULL), 0);
	move_to_new_process(blk_test_slow_new);
	t.blk->image.offset_align = 4096;
	virtio_pci_resumed(t.v);
	assert_int_equal(blk_test_slow->submitted, 1);
	for (unsigned int k = 0; k < 3; k++) {
		blk_test_finish(1);
		assert_int_equal(blk_test_used(&t, 0), 1);
	}
	blk_test_none_used(&t, 0);
	assert_image(8, 8, 0x55);
	assert_image(3, 1, 0x55);
	assert_image(4, 1, blk_test_fill(4));
	assert_image(16, 8, 0x55);
	blk_test_end(&t);
}

static void test_state_is_checked(void **state _unused_)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		blk_test_image(&t);
		t.config.limits.ops = (struct token_bucket_config){1000000, 10, 1};
		blk_test_device(&t, blk_test_slow_new);
		blk_test_drive(&t, rings[i] | ALL);
		/* Before anything was asked for, with cache modes, and with requests in flight. */
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		assert_round_trip(ops(), t.v, t.v);
		virtio_pci_resumed(t.v);
		fake_mmio_write(&t.machine, t.d.config + SPEC_CFG_WRITEBACK, 0, 1);
		blk_test_send(&t, 0, SPEC_T_OUT, 0, 0, 4096);
		blk_test_send(&t, 0, SPEC_T_IN, 100, 4096, 1024);
		loop_settle(t.loop);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		move_to_new_process(blk_test_slow_new);
		assert_round_trip(ops(), t.v, t.v);
		driver_torture_state(ops(), t.v);
		virtio_pci_resumed(t.v);
		assert_int_equal(blk_test_config(&t, SPEC_CFG_WRITEBACK, 1), 0);
		assert_int_equal(blk_test_slow->submitted, 2);
		blk_test_finish(2);
		blk_test_used(&t, 0);
		blk_test_used(&t, 0);
		blk_test_none_used(&t, 0);
		blk_test_end(&t);
	}
}

/* A device that no driver has touched, and one that was reset, have a state too. */
static void test_state_without_driver(void **state _unused_)
{
	blk_test_image(&t);
	blk_test_device(&t, NULL);
	move_to_new_process(NULL);
	assert_round_trip(ops(), t.v, t.v);
	virtio_pci_resumed(t.v);
	blk_test_drive(&t, ALL);
	assert_int_equal(blk_test_do(&t, SPEC_T_IN, 0, 0, 512, NULL), SPEC_S_OK);
	blk_test_end(&t);
}

static void assert_load_fails(const struct saved *s, const char *why)
{
	struct error err = ERROR_INIT;

	assert_true(device_load(ops(), t.v, s, STATE_CHECK, &err) < 0);
	if (!strstr(err.message, why) || !strstr(err.message, t.config.path))
		fail_msg("says: %s", err.message);
	assert_true(device_load(ops(), t.v, s, STATE_APPLY, NULL) < 0);
}

/* The image is another one, is gone, has another size; then it is put right, and all is well. */
static void test_only_the_same_image(void **state _unused_)
{
	char aside[PATH_MAX + 8];
	struct virtio_blk *blk;
	struct saved s;
	struct error err = ERROR_INIT;
	FILE *f;

	blk_test_start(&t, NULL, ALL);
	assert_int_equal(virtio_blk_check_update(t.blk, false, NULL), 0);
	assert_int_equal(virtio_pci_drain(t.v, in_ms(1000), NULL), 0);
	s = device_save(ops(), t.v);
	snprintf(aside, sizeof(aside), "%s.aside", t.config.path);
	assert_int_equal(rename(t.config.path, aside), 0);
	assert_int_equal(virtio_blk_check_update(t.blk, false, &err), -ENOENT);
	assert_non_null(strstr(err.message, t.config.path));
	virtio_pci_free(t.v);
	/* Gone. */
	assert_int_equal(virtio_blk_new(&t.config, &blk, &err), -ENOENT);
	assert_non_null(strstr(err.message, t.config.path));
	/* Another one of the same size. */
	f = fopen(t.config.path, "we");
	assert_int_equal(ftruncate(fileno(f), BLK_TEST_SIZE), 0);
	fclose(f);
	blk_test_device(&t, NULL);
	assert_load_fails(&s, "is not the image that the guest used");
	virtio_pci_free(t.v);
	/* The right one, but longer or shorter. */
	assert_int_equal(rename(aside, t.config.path), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(truncate(t.config.path, BLK_TEST_SIZE + (i ? -512 : 512)), 0);
		blk_test_device(&t, NULL);
		assert_load_fails(&s, "when the guest was frozen");
		virtio_pci_free(t.v);
	}
	assert_int_equal(truncate(t.config.path, BLK_TEST_SIZE), 0);
	blk_test_device(&t, NULL);
	assert_int_equal(device_load(ops(), t.v, &s, STATE_APPLY, NULL), 0);
	t.d.pci = virtio_pci_function(t.v);
	virtio_pci_resumed(t.v);
	assert_int_equal(blk_test_do(&t, SPEC_T_IN, 5, 0, 512, NULL), SPEC_S_OK);
	assert_int_equal(*blk_test_data(&t, 0), blk_test_fill(5));
	saved_free(&s);
	blk_test_end(&t);
}

static void test_preflight(void **state _unused_)
{
	struct error err = ERROR_INIT;
	char aside[PATH_MAX + 8];
	FILE *f;

	blk_test_start(&t, NULL, ALL);
	snprintf(aside, sizeof(aside), "%s.aside", t.config.path);
	assert_int_equal(rename(t.config.path, aside), 0);
	f = fopen(t.config.path, "we");
	fclose(f);
	assert_int_equal(virtio_blk_check_update(t.blk, true, &err), -ESTALE);
	assert_non_null(strstr(err.message, t.config.path));
	assert_int_equal(rename(aside, t.config.path), 0);
	assert_int_equal(virtio_blk_check_update(t.blk, true, &err), 0);
	blk_test_end(&t);
	/* In memory only: fine for a new program on this kernel, lost with the next kernel. */
	blk_test_image(&t);
	unlink(t.config.path);
	snprintf(t.config.path, sizeof(t.config.path), "/proc/self/fd/%d",
		 memfd_create("image", MFD_CLOEXEC));
	assert_int_equal(truncate(t.config.path, BLK_TEST_SIZE), 0);
	blk_test_device(&t, NULL);
	assert_int_equal(virtio_blk_check_update(t.blk, false, &err), 0);
	assert_int_equal(virtio_blk_check_update(t.blk, true, &err), -EINVAL);
	assert_non_null(strstr(err.message, "in memory"));
	blk_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_resubmitted),
		cmocka_unit_test(test_resubmitted_twice),
		cmocka_unit_test(test_thawed),
		cmocka_unit_test(test_thawed_for_real),
		cmocka_unit_test(test_waiting_ones_travel),
		cmocka_unit_test(test_state_is_checked),
		cmocka_unit_test(test_state_without_driver),
		cmocka_unit_test(test_only_the_same_image),
		cmocka_unit_test(test_preflight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
