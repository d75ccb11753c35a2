/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/blk: every request of virtio 1.2, 5.2.6, over both rings, both backends, buffered
 * and direct. */
#include "tests/unit/blk_test.h"

#define RINGS_SPLIT  (SPEC_F_INDIRECT)
#define RINGS_PACKED (SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX)
#define ALL	     (SPEC_F_FLUSH | SPEC_F_CONFIG_WCE | SPEC_F_DISCARD | SPEC_F_WRITE_ZEROES)

static const struct variant {
	uint64_t rings;
	blk_backend_new_fn *make;
	bool direct;
} variants[] = {
	{RINGS_SPLIT, blk_uring_new, false},
	{RINGS_PACKED, blk_uring_new, true},
	{RINGS_PACKED, blk_threads_new, false},
	{RINGS_SPLIT, blk_threads_new, true},
	{0, blk_uring_new, true},
};

static struct blk_test t;

static void start_variant(const struct variant *v, uint64_t features)
{
	blk_test_image(&t);
	t.config.direct = v->direct;
	blk_test_device(&t, v->make);
	blk_test_drive(&t, v->rings | features);
}

static bool is_filled(const uint8_t *bytes, uint8_t value, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != value)
			return false;
	}
	return true;
}

static void assert_image(uint64_t sector, uint64_t count, uint8_t value)
{
	static uint8_t buf[BLK_TEST_SIZE];

	blk_test_read_image(&t, sector * SPEC_SECTOR, buf, count * SPEC_SECTOR);
	assert_true(is_filled(buf, value, count * SPEC_SECTOR));
}

static void test_reads_and_writes(void **state _unused_)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(variants); i++) {
		uint32_t len;

		start_variant(&variants[i], ALL);
		assert_int_equal(blk_test_do(&t, SPEC_T_IN, 3, 0, 1024, &len), SPEC_S_OK);
		assert_int_equal(len, 1025);
		assert_true(is_filled(blk_test_data(&t, 0), blk_test_fill(3), 512));
		assert_true(is_filled(blk_test_data(&t, 512), blk_test_fill(4), 512));
		memset(blk_test_data(&t, 4096), 0x5a, 4096);
		assert_int_equal(blk_test_do(&t, SPEC_T_OUT, 8, 4096, 4096, &len), SPEC_S_OK);
		assert_int_equal(len, 1);
		assert_int_equal(blk_test_do(&t, SPEC_T_FLUSH, 0, 0, 0, &len), SPEC_S_OK);
		assert_int_equal(len, 1);
		assert_image(8, 8, 0x5a);
		assert_image(7, 1, blk_test_fill(7));
		assert_image(16, 1, blk_test_fill(16));
		/* The last sector, and all of it. */
		assert_int_equal(blk_test_do(&t, SPEC_T_IN, BLK_TEST_SECTORS - 1, 0, 512, NULL),
				 SPEC_S_OK);
		assert_int_equal(blk_test_do(&t, SPEC_T_IN, 0, 0, BLK_TEST_DATA, &len), SPEC_S_OK);
		assert_int_equal(len, BLK_TEST_DATA + 1);
		assert_int_equal(blk_test_do(&t, SPEC_T_IN, BLK_TEST_SECTORS, 0, 0, NULL),
				 SPEC_S_OK);
		assert_true(driver_interrupt_count(&t.d, 1) > 0);
		blk_test_end(&t);
	}
}

/* Direct I/O cannot use such buffers; the driver may. */
static void test_unaligned_buffers(void **state _unused_)
{
	static const uint64_t at[] = {1, 3, 511, 2050};

	for (unsigned int i = 0; i < ARRAY_SIZE(variants); i++) {
		start_variant(&variants[i], ALL);
		for (unsigned int k = 0; k < ARRAY_SIZE(at); k++) {
			uint8_t value = (uint8_t)(0x60 + k);

			memset(blk_test_data(&t, at[k]), value, 3072);
			assert_int_equal(blk_test_do(&t, SPEC_T_OUT, 16 + 8 * k, at[k], 3072, NULL),
					 SPEC_S_OK);
			assert_image(16 + 8 * k, 6, value);
			memset(blk_test_data(&t, 0), 0, 8192);
			assert_int_equal(blk_test_do(&t, SPEC_T_IN, 16 + 8 * k, at[k], 3072, NULL),
					 SPEC_S_OK);
			assert_true(is_filled(blk_test_data(&t, at[k]), value, 3072));
			assert_int_equal(*blk_test_data(&t, at[k] + 3072), 0);
			assert_int_equal(*blk_test_data(&t, at[k] - 1), 0);
		}
		blk_test_end(&t);
	}
}

/* An image whose blocks are larger than the driver's sectors: read, changed, written back. */
static void test_unaligned_sectors(void **state _unused_)
{
	blk_test_image(&t);
	t.config.direct = true;
	blk_test_device(&t, blk_threads_new);
	t.blk->image.offset_align = 4096;
	blk_test_drive(&t, ALL);
	memset(blk_test_data(&t, 0), 0x77, 8192);
	/* All at once: the exclusive ones wait for the others, and these for them. */
	for (unsigned int i = 0; i < 8; i++)
		blk_test_send(&t, 0, SPEC_T_OUT, 3 + 8 * i, 512 * i, 512);
	blk_test_send(&t, 0, SPEC_T_OUT, 127, 0, 4096);
	for (unsigned int i = 0; i < 9; i++)
		assert_int_equal(blk_test_used(&t, 0), 1);
	for (unsigned int i = 0; i < 8; i++) {
		assert_image(3 + 8 * i, 1, 0x77);
		assert_image(2 + 8 * i, 1, blk_test_fill(2 + 8 * i));
		assert_image(4 + 8 * i, 1, blk_test_fill(4 + 8 * i));
	}
	assert_image(127, 8, 0x77);
	assert_int_equal(blk_test_do(&t, SPEC_T_IN, 5, 1, 1024, NULL), SPEC_S_OK);
	assert_true(is_filled(blk_test_data(&t, 1), blk_test_fill(5), 512));
	assert_true(is_filled(blk_test_data(&t, 513), blk_test_fill(6), 512));
	blk_test_end(&t);
}

static void test_get_id(void **state _unused_)
{
	static const char *const serials[] = {"", "web1", "01234567890123456789"};
	uint32_t len;

	for (unsigned int i = 0; i < ARRAY_SIZE(serials); i++) {
		uint8_t expected[20] = {0};

		blk_test_image(&t);
		memcpy(t.config.serial, serials[i], strlen(serials[i]) + 1);
		memcpy(expected, serials[i], strlen(serials[i]));
		blk_test_device(&t, blk_threads_new);
		blk_test_drive(&t, ALL);
		memset(blk_test_data(&t, 0), 0xff, 64);
		assert_int_equal(blk_test_do(&t, SPEC_T_GET_ID, 0, 0, 20, &len), SPEC_S_OK);
		assert_int_equal(len, 21);
		assert_memory_equal(blk_test_data(&t, 0), expected, 20);
		assert_int_equal(*blk_test_data(&t, 20), 0xff);
		assert_int_equal(blk_test_do(&t, SPEC_T_GET_ID, 0, 0, 19, NULL), SPEC_S_IOERR);
		assert_int_equal(blk_test_do(&t, SPEC_T_GET_ID, 0, 0, 32, &len), SPEC_S_OK);
		assert_int_equal(len, 20);
		blk_test_end(&t);
	}
}

static void test_refused_requests(void **state _unused_)
{
	uint32_t len;

	for (unsigned int i = 0; i < ARRAY_SIZE(variants); i++) {
		start_variant(&variants[i], ALL);
		memset(blk_test_data(&t, 0), 0x11, 4096);
		/* Beyond capacity: by all, by one sector, by wrapping around. */
		assert_int_equal(blk_test_do(&t, SPEC_T_OUT, BLK_TEST_SECTORS, 0, 512, &len),
				 SPEC_S_IOERR);
		assert_int_equal(len, 1);
		assert_int_equal(blk_test_do(&t, SPEC_T_OUT, BLK_TEST_SECTORS - 1, 0, 1024, NULL),
				 SPEC_S_IOERR);
		assert_int_equal(blk_test_do(&t, SPEC_T_OUT, UINT64_MAX, 0, 512, NULL),
				 SPEC_S_IOERR);
		assert_int_equal(blk_test_do(&t, SPEC_T_IN, UINT64_MAX / 512, 0, 1024, &len),
				 SPEC_S_IOERR);
		assert_int_equal(len, 0); /* none of the data was written */
		assert_int_equal(blk_test_do(&t, SPEC_T_IN, BLK_TEST_SECTORS + 1, 0, 0, NULL),
				 SPEC_S_IOERR);
		/* No whole sectors. */
		assert_int_equal(blk_test_do(&t, SPEC_T_OUT, 0, 0, 511, NULL), SPEC_S_IOERR);
		assert_int_equal(blk_test_do(&t, SPEC_T_IN, 0, 0, 513, NULL), SPEC_S_IOERR);
		/* Types that are not there: obsolete, secure erase, lifetime, zones. */
		assert_int_equal(blk_test_do(&t, 2, 0, 0, 512, NULL), SPEC_S_UNSUPP);
		assert_int_equal(blk_test_do(&t, 10, 0, 0, 6, NULL), SPEC_S_UNSUPP);
		assert_int_equal(blk_test_do(&t, 14, 0, 0, 16, NULL), SPEC_S_UNSUPP);
		assert_int_equal(blk_test_do(&t, 15, 0, 0, 512, NULL), SPEC_S_UNSUPP);
		assert_int_equal(blk_test_do(&t, UINT32_MAX, 0, 0, 0, NULL), SPEC_S_UNSUPP);
		for (unsigned int s = 0; s < BLK_TEST_SECTORS; s++)
			assert_image(s, 1, blk_test_fill(s));
		/* It still works. */
		assert_int_equal(blk_test_do(&t, SPEC_T_OUT, 1, 0, 512, NULL), SPEC_S_OK);
		assert_image(1, 1, 0x11);
		blk_test_end(&t);
	}
}

/* 2.7.4.1: any cutting into descriptors means the same. */
static void test_framing(void **state _unused_)
{
	struct driver_seg segs[8];
	unsigned int slot;

	start_variant(&variants[0], ALL);
	memset(blk_test_data(&t, 0), 0x42, 1024);
	/* Write: the header in two, data behind the second half of it. */
	slot = blk_test_send(&t, 0, SPEC_T_OUT, 20, 0, 512);
	blk_test_used(&t, 0);
	memcpy(blk_test_data(&t, 2048), fake_ram(&t.machine, t.headers + slot * 16ULL), 16);
	memset(blk_test_data(&t, 2064), 0x43, 600);
	segs[0] = (struct driver_seg){t.data + 2048, 7, false};
	segs[1] = (struct driver_seg){t.data + 2055, 9 + 500, false};
	segs[2] = (struct driver_seg){t.data + 2564, 12, false};
	segs[3] = (struct driver_seg){t.statuses + slot, 1, true};
	driver_add(&t.d.queues[0], segs, 4, true);
	driver_kick(&t.d, 0);
	assert_int_equal(blk_test_used(&t, 0), 1);
	assert_int_equal(blk_test_status(&t, slot), SPEC_S_OK);
	assert_image(20, 1, 0x43);
	/* Read: the status behind the data in one descriptor, data in odd pieces. */
	memset(blk_test_data(&t, 4096), 0, 2048);
	memset(blk_test_data(&t, 2048), 0, 4);
	segs[0] = (struct driver_seg){t.data + 2048, 16, false};
	segs[1] = (struct driver_seg){t.data + 4097, 3, true};
	segs[2] = (struct driver_seg){t.data + 4100, 510, true};
	driver_add(&t.d.queues[0], segs, 3, false);
	driver_kick(&t.d, 0);
	assert_int_equal(blk_test_used(&t, 0), 513);
	assert_true(is_filled(blk_test_data(&t, 4097), 0x43, 512));
	assert_int_equal(*blk_test_data(&t, 4097 + 512), SPEC_S_OK);
	assert_int_equal(*blk_test_data(&t, 4097 + 513), 0);
	blk_test_end(&t);
}

static bool needs_reset(void)
{
	loop_settle(t.loop);
	return driver_common(&t.d, SPEC_C_STATUS, 1) & SPEC_S_NEEDS_RESET;
}

static void test_truncated(void **state _unused_)
{
	struct driver_seg segs[2];

	/* A short header: there is a place to say so. */
	for (uint32_t size = 1; size < 16; size++) {
		start_variant(&variants[2], ALL);
		segs[0] = (struct driver_seg){t.headers, size, false};
		segs[1] = (struct driver_seg){t.statuses, 1, true};
		*fake_ram(&t.machine, t.statuses) = BLK_TEST_NOTHING;
		driver_add(&t.d.queues[0], segs, 2, false);
		driver_kick(&t.d, 0);
		assert_int_equal(blk_test_used(&t, 0), 1);
		assert_int_equal(blk_test_status(&t, 0), SPEC_S_IOERR);
		blk_test_end(&t);
	}
	/* No header at all. */
	start_variant(&variants[0], ALL);
	driver_add(&t.d.queues[0], &segs[1], 1, false);
	driver_kick(&t.d, 0);
	blk_test_used(&t, 0);
	assert_int_equal(blk_test_status(&t, 0), SPEC_S_IOERR);
	assert_false(needs_reset());
	/* No status: nowhere to answer. */
	segs[0] = (struct driver_seg){t.headers, 16, false};
	driver_add(&t.d.queues[0], segs, 1, false);
	driver_kick(&t.d, 0);
	blk_test_none_used(&t, 0);
	assert_true(needs_reset());
	blk_test_end(&t);
}

static void test_read_only(void **state _unused_)
{
	struct blk_test_range range = {0, 8, 0};

	blk_test_image(&t);
	t.config.readonly = true;
	blk_test_device(&t, NULL);
	blk_test_drive(&t, ~0ULL);
	assert_true(t.d.features & SPEC_F_RO);
	assert_true(t.d.features & SPEC_F_FLUSH);
	assert_false(t.d.features & (SPEC_F_DISCARD | SPEC_F_WRITE_ZEROES));
	memset(blk_test_data(&t, 0), 0x11, 512);
	assert_int_equal(blk_test_do(&t, SPEC_T_OUT, 0, 0, 512, NULL), SPEC_S_IOERR);
	assert_int_equal(blk_test_ranges(&t, SPEC_T_DISCARD, &range, 1), SPEC_S_IOERR);
	assert_int_equal(blk_test_ranges(&t, SPEC_T_WRITE_ZEROES, &range, 1), SPEC_S_IOERR);
	assert_image(0, 1, blk_test_fill(0));
	assert_int_equal(blk_test_do(&t, SPEC_T_IN, 0, 0, 512, NULL), SPEC_S_OK);
	assert_int_equal(blk_test_do(&t, SPEC_T_FLUSH, 0, 0, 0, NULL), SPEC_S_OK);
	blk_test_end(&t);
}

static void test_discard_and_zeroes(void **state _unused_)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(variants); i++) {
		const struct blk_test_range two[] = {{8, 8, 0}, {32, 3, 0}};
		const struct blk_test_range unmap[] = {{64, 16, 1}, {81, 1, 0}, {200, 0, 1}};
		uint32_t len;

		start_variant(&variants[i], ALL);
		assert_int_equal(t.d.features & ALL, ALL);
		assert_int_equal(blk_test_ranges(&t, SPEC_T_WRITE_ZEROES, two, 2), SPEC_S_OK);
		assert_image(8, 8, 0);
		assert_image(32, 3, 0);
		assert_image(31, 1, blk_test_fill(31));
		assert_image(35, 1, blk_test_fill(35));
		assert_int_equal(blk_test_ranges(&t, SPEC_T_WRITE_ZEROES, unmap, 3), SPEC_S_OK);
		assert_image(64, 16, 0);
		assert_image(80, 1, blk_test_fill(80));
		assert_image(81, 1, 0);
		assert_int_equal(
			blk_test_ranges(&t, SPEC_T_DISCARD, &(struct blk_test_range){96, 8, 0}, 1),
			SPEC_S_OK);
		assert_image(95, 1, blk_test_fill(95));
		assert_image(104, 1, blk_test_fill(104));
		assert_int_equal(blk_test_do(&t, SPEC_T_DISCARD, 0, 0, 16, &len), SPEC_S_OK);
		assert_int_equal(len, 1);
		blk_test_end(&t);
	}
}

static void test_refused_ranges(void **state _unused_)
{
	static const uint32_t types[] = {SPEC_T_DISCARD, SPEC_T_WRITE_ZEROES};
	struct blk_test_range many[17] = {{0}};

	start_variant(&variants[0], ALL);
	for (unsigned int i = 0; i < 2; i++) {
		uint32_t type = types[i];
		const struct blk_test_range good_bad[] = {{0, 8, 0}, {250, 7, 0}};
		uint32_t max = blk_test_config(
			&t, type == SPEC_T_DISCARD ? SPEC_CFG_MAX_DISCARD : SPEC_CFG_MAX_ZEROES, 4);

		assert_true(max > 0);
		/* Nothing is done if any range is wrong. */
		assert_int_equal(blk_test_ranges(&t, type, good_bad, 2), SPEC_S_IOERR);
		assert_int_equal(
			blk_test_ranges(&t, type, &(struct blk_test_range){UINT64_MAX, 1, 0}, 1),
			SPEC_S_IOERR);
		assert_int_equal(
			blk_test_ranges(&t, type, &(struct blk_test_range){0, max + 1, 0}, 1),
			SPEC_S_IOERR);
		assert_int_equal(
			blk_test_ranges(&t, type, &(struct blk_test_range){0, UINT32_MAX, 0}, 1),
			SPEC_S_IOERR);
		assert_int_equal(blk_test_ranges(&t, type, &(struct blk_test_range){0, 8, 2}, 1),
				 SPEC_S_UNSUPP);
		assert_int_equal(
			blk_test_ranges(&t, type, &(struct blk_test_range){0, 8, 0x80000000}, 1),
			SPEC_S_UNSUPP);
		assert_int_equal(blk_test_ranges(&t, type, many, 17), SPEC_S_IOERR);
		assert_int_equal(blk_test_ranges(&t, type, many, 16), SPEC_S_OK);
		assert_int_equal(blk_test_do(&t, type, 0, 0, 15, NULL), SPEC_S_IOERR);
		assert_int_equal(blk_test_do(&t, type, 0, 0, 0, NULL), SPEC_S_IOERR);
	}
	/* 5.2.6.2: unmap says nothing in a discard. */
	assert_int_equal(blk_test_ranges(&t, SPEC_T_DISCARD, &(struct blk_test_range){0, 8, 1}, 1),
			 SPEC_S_UNSUPP);
	for (unsigned int s = 0; s < BLK_TEST_SECTORS; s++)
		assert_image(s, 1, blk_test_fill(s));
	blk_test_end(&t);
	/* Not negotiated: not there. */
	start_variant(&variants[0], 0);
	assert_int_equal(
		blk_test_ranges(&t, SPEC_T_WRITE_ZEROES, &(struct blk_test_range){0, 8, 0}, 1),
		SPEC_S_UNSUPP);
	assert_image(0, 1, blk_test_fill(0));
	blk_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_and_writes),   cmocka_unit_test(test_unaligned_buffers),
		cmocka_unit_test(test_unaligned_sectors),  cmocka_unit_test(test_get_id),
		cmocka_unit_test(test_refused_requests),   cmocka_unit_test(test_framing),
		cmocka_unit_test(test_truncated),	   cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_discard_and_zeroes), cmocka_unit_test(test_refused_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
