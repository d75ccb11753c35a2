/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/balloon: pages go and come, free ones are reported, statistics are told; nothing
 * that is not RAM, and nothing while memory is kept. */
#include "tests/unit/balloon_test.h"

#define FIRST  BALLOON_TEST_FIRST
#define EVERY  (SPEC_F_MUST_TELL_HOST | SPEC_F_STATS_VQ | SPEC_F_PAGE_POISON | SPEC_F_REPORTING)
#define QUEUES 5

static struct balloon_test t;

static const uint64_t rings[] = {0, SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX};

static void start(uint64_t features)
{
	t.config = (struct virtio_balloon_config){
		.on = true, .free_page_reporting = true, .stats_interval = 3600};
	balloon_test_start(&t, features, QUEUES);
}

static struct virtio_balloon_counters counters(void)
{
	struct virtio_balloon_counters c;

	virtio_balloon_get_counters(t.balloon, &c);
	return c;
}

static void send_and_wait(unsigned int queue, const uint32_t *pages, unsigned int count)
{
	uint32_t len = 1;

	balloon_test_send(&t, queue, pages, count, 0);
	assert_true(balloon_test_used(&t, queue, &len));
	assert_int_equal(len, 0);
}

/* Exactly the pages from FIRST + first on, count of them. */
static void assert_gone(unsigned int first, unsigned int count)
{
	unsigned int begin = FIRST - FAKE_RAM_BASE / SPEC_PAGE + first;

	for (unsigned int i = 0; i < BALLOON_TEST_PAGES; i++)
		assert_int_equal(t.gone[i], i >= begin && i < begin + count);
}

static void forget(void)
{
	memset(t.gone, 0, sizeof(t.gone));
	t.calls = 0;
}

static uint8_t status(void)
{
	loop_settle(t.loop);
	return (uint8_t)driver_common(&t.d, SPEC_C_STATUS, 1);
}

static uint32_t config(unsigned int offset)
{
	return (uint32_t)fake_mmio_read(&t.machine, t.d.config + offset, 4);
}

static void set_config(unsigned int offset, uint32_t value, unsigned int size)
{
	fake_mmio_write(&t.machine, t.d.config + offset, value, size);
}

/* ---- What it is. ---- */

static void test_features(void **state _unused_)
{
	static const struct {
		struct virtio_balloon_config config;
		uint64_t features;
		unsigned int queues;
	} cases[] = {
		{{.on = true}, 0, 2},
		{{.stats_interval = 1}, SPEC_F_STATS_VQ, 3},
		{{.deflate_on_oom = true}, SPEC_F_DEFLATE_ON_OOM, 2},
		{{.free_page_reporting = true}, SPEC_F_REPORTING, 5},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		t.config = cases[i].config;
		balloon_test_start(&t, 0, 2);
		assert_int_equal(pci_config_read(t.d.pci, 2, 2), 0x1040 + SPEC_BALLOON_ID);
		assert_int_equal(driver_offered(&t.d) & 0xffffff,
				 cases[i].features | SPEC_F_MUST_TELL_HOST | SPEC_F_PAGE_POISON);
		assert_int_equal(driver_common(&t.d, SPEC_C_NUM_QUEUES, 2), cases[i].queues);
		balloon_test_end(&t);
	}
}

static void test_config_space(void **state _unused_)
{
	struct error err = ERROR_INIT;
	unsigned int interrupts;
	uint8_t generation;

	t.config = (struct virtio_balloon_config){.size = 3 * SPEC_PAGE};
	balloon_test_start(&t, SPEC_F_PAGE_POISON, 2);
	assert_int_equal(config(SPEC_CFG_NUM_PAGES), 3);
	assert_int_equal(config(SPEC_CFG_ACTUAL), 0);
	interrupts = driver_interrupt_count(&t.d, 0);
	generation = (uint8_t)driver_common(&t.d, SPEC_C_GENERATION, 1);
	assert_int_equal(virtio_balloon_resize(t.balloon, 8 * SPEC_PAGE, &err), 0);
	assert_int_equal(config(SPEC_CFG_NUM_PAGES), 8);
	assert_int_equal(driver_interrupt_count(&t.d, 0), interrupts + 1);
	assert_int_not_equal(driver_common(&t.d, SPEC_C_GENERATION, 1), generation);
	assert_int_equal(virtio_balloon_resize(t.balloon, FAKE_RAM_SIZE, &err), 0);
	assert_int_equal(virtio_balloon_resize(t.balloon, FAKE_RAM_SIZE + SPEC_PAGE, &err),
			 -EINVAL);
	assert_int_equal(virtio_balloon_resize(t.balloon, SPEC_PAGE + 1, &err), -EINVAL);
	assert_int_equal(config(SPEC_CFG_NUM_PAGES), BALLOON_TEST_PAGES);
	/* The driver's two fields, whole and in pieces, and the ones that are not its own. */
	set_config(SPEC_CFG_ACTUAL, 0x11223344, 4);
	set_config(SPEC_CFG_ACTUAL + 1, 0xaa, 1);
	assert_int_equal(config(SPEC_CFG_ACTUAL), 0x1122aa44);
	set_config(SPEC_CFG_POISON, 0xaaaaaaaa, 4);
	assert_int_equal(config(SPEC_CFG_POISON), 0xaaaaaaaa);
	set_config(SPEC_CFG_NUM_PAGES, 1, 4);
	set_config(8, 1, 4);
	assert_int_equal(config(SPEC_CFG_NUM_PAGES), BALLOON_TEST_PAGES);
	assert_int_equal(config(8), 0);
	balloon_test_end(&t);
	/* poison_val belongs to a driver that negotiated it. */
	balloon_test_start(&t, 0, 2);
	set_config(SPEC_CFG_POISON, 1, 4);
	assert_int_equal(config(SPEC_CFG_POISON), 0);
	balloon_test_end(&t);
}

/* ---- Inflate and deflate. ---- */

static void test_inflate(void **state _unused_)
{
	/* In no order, one of them twice. */
	static const uint32_t pages[] = {FIRST + 3, FIRST, FIRST + 1, FIRST + 2, FIRST + 1};

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		start(EVERY | rings[i]);
		memset(fake_ram(&t.machine, FIRST * 4096ULL), 0x77, 5 * 4096);
		send_and_wait(SPEC_Q_INFLATE, pages, ARRAY_SIZE(pages));
		assert_gone(0, 4);
		assert_int_equal(t.calls, 1); /* neighbours in one piece */
		assert_int_equal(*fake_ram(&t.machine, FIRST * 4096ULL), 0);
		assert_int_equal(*fake_ram(&t.machine, (FIRST + 4) * 4096ULL), 0x77);
		assert_int_equal(counters().inflated_bytes, 4 * 4096);
		assert_int_equal(counters().given_back_bytes, 4 * 4096);
		assert_int_equal(balloon_ranges_pages(&t.balloon->ranges), 4);
		forget();
		send_and_wait(SPEC_Q_DEFLATE, pages + 1, 2);
		assert_int_equal(t.calls, 0);
		assert_int_equal(balloon_ranges_pages(&t.balloon->ranges), 2);
		assert_int_equal(counters().deflated_bytes, 2 * 4096);
		/* Nothing, and less than one page number. */
		send_and_wait(SPEC_Q_DEFLATE, pages, 0);
		send_and_wait(SPEC_Q_INFLATE, pages, 0);
		assert_int_equal(t.calls, 0);
		balloon_test_end(&t);
	}
}

static void test_what_is_not_ram(void **state _unused_)
{
	const uint32_t end = (uint32_t)((FAKE_RAM_BASE + FAKE_RAM_SIZE) / SPEC_PAGE);
	const uint32_t pages[] = {
		0, FAKE_RAM_BASE / SPEC_PAGE - 1, end, UINT32_MAX, end - 1, end + 1, 0x80000000U};

	start(EVERY);
	send_and_wait(SPEC_Q_INFLATE, pages, ARRAY_SIZE(pages));
	assert_gone(end - 1 - FIRST, 1);
	assert_int_equal(counters().refused, ARRAY_SIZE(pages) - 1);
	send_and_wait(SPEC_Q_DEFLATE, pages, ARRAY_SIZE(pages));
	assert_int_equal(counters().refused, 2 * (ARRAY_SIZE(pages) - 1));
	assert_int_equal(t.balloon->ranges.count, 0);
	assert_false(status() & SPEC_S_NEEDS_RESET);
	balloon_test_end(&t);
}

static void test_host_refuses(void **state _unused_)
{
	static const uint32_t page = FIRST;

	start(EVERY);
	t.refuses = -ENOMEM;
	send_and_wait(SPEC_Q_INFLATE, &page, 1);
	assert_int_equal(counters().failed, 1);
	assert_int_equal(counters().given_back_bytes, 0);
	assert_false(status() & SPEC_S_NEEDS_RESET);
	balloon_test_end(&t);
}

/* A buffer that is more than a turn's work: others are served meanwhile. */
static void test_large_buffer(void **state _unused_)
{
	const struct driver_seg part = {0, 0x8000, false};
	struct driver_seg segs[32];
	static const uint32_t page = FIRST + 7;
	uint32_t len;
	uint16_t id;

	start(EVERY | SPEC_F_INDIRECT);
	for (unsigned int i = 0; i < 0x8000 / 4; i++) {
		uint32_t le = htole32(FIRST + i % 4);

		memcpy(fake_ram(&t.machine, t.data + 4ULL * i), &le, 4);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(segs); i++) {
		segs[i] = part;
		segs[i].gpa = t.data;
	}
	driver_add(&t.d.queues[SPEC_Q_INFLATE], segs, ARRAY_SIZE(segs), true);
	driver_kick(&t.d, SPEC_Q_INFLATE);
	assert_int_equal(loop_run_once(t.loop, 0), 0);
	assert_false(driver_get_used(&t.d.queues[SPEC_Q_INFLATE], &id, &len));
	assert_true(t.balloon->work[SPEC_Q_INFLATE].taken);
	/* Frozen in its midst, it goes back into the queue, and is done anew. */
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	assert_int_equal(virtqueue_in_flight(virtio_queue(t.v, SPEC_Q_INFLATE)), 0);
	virtio_pci_thaw(t.v);
	/* Its memory is used for another buffer, whose numbers it would take: any will do. */
	balloon_test_send(&t, SPEC_Q_DEFLATE, &page, 1, 0x7ffc);
	assert_true(balloon_test_used(&t, SPEC_Q_DEFLATE, &len));
	loop_until(t.loop, driver_get_used(&t.d.queues[SPEC_Q_INFLATE], &id, &len));
	assert_int_equal(balloon_ranges_pages(&t.balloon->ranges), 5);
	balloon_test_end(&t);
}

static void test_many_buffers(void **state _unused_)
{
	uint32_t len;
	uint16_t id;

	start(EVERY);
	for (uint32_t i = 0; i < BALLOON_TEST_RING; i++) {
		uint32_t page = FIRST + 2 * i;

		balloon_test_send(&t, SPEC_Q_INFLATE, &page, 1, 4 * i);
	}
	for (unsigned int i = 0; i < BALLOON_TEST_RING; i++)
		loop_until(t.loop, driver_get_used(&t.d.queues[SPEC_Q_INFLATE], &id, &len));
	assert_int_equal(balloon_test_gone(&t), BALLOON_TEST_RING);
	assert_int_equal(t.balloon->ranges.count, BALLOON_TEST_RING);
	balloon_test_end(&t);
}

/* ---- Free page reporting. ---- */

static bool report(unsigned int queue, const struct driver_seg *segs, unsigned int count)
{
	uint32_t len = 0;

	driver_add(&t.d.queues[queue], segs, count, false);
	driver_kick(&t.d, queue);
	if (!balloon_test_used(&t, queue, &len))
		return false;
	assert_int_equal(len, 0);
	return true;
}

static void test_reporting(void **state _unused_)
{
	/* Whole pages, one that begins in the midst of one, one that is less than a page. */
	static const struct driver_seg segs[] = {{FIRST * 4096ULL, 2 * 4096, true},
						 {(FIRST + 2) * 4096ULL - 8, 4096 + 16, true},
						 {(FIRST + 3) * 4096ULL + 8, 4096, true}};

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		start(EVERY | rings[i]);
		assert_true(report(SPEC_Q_REPORTING, segs, ARRAY_SIZE(segs)));
		assert_gone(0, 3);
		assert_int_equal(counters().reported_bytes, 3 * 4096);
		assert_int_equal(t.balloon->ranges.count, 0);
		/* Readable ones are no pages. */
		forget();
		assert_true(report(SPEC_Q_REPORTING,
				   &(struct driver_seg){FIRST * 4096ULL, 4096, false}, 1));
		assert_gone(0, 0);
		balloon_test_end(&t);
	}
}

/* 5.5.6.7.2: its content may become the poison value and no other. */
static void test_poison(void **state _unused_)
{
	static const struct driver_seg seg = {FIRST * 4096ULL, 4096, true};

	start(EVERY);
	set_config(SPEC_CFG_POISON, 0xaaaaaaaa, 4);
	assert_true(report(SPEC_Q_REPORTING, &seg, 1));
	assert_gone(0, 0);
	set_config(SPEC_CFG_POISON, 0, 4);
	assert_true(report(SPEC_Q_REPORTING, &seg, 1));
	assert_gone(0, 1);
	balloon_test_end(&t);
}

/* The queue's number by the specification, and as Linux counts. */
static void test_which_queue_reports(void **state _unused_)
{
	static const struct driver_seg seg = {FIRST * 4096ULL, 4096, true};

	for (unsigned int queue = 2; queue < QUEUES; queue++) {
		uint64_t stats = queue == 2 ? 0 : SPEC_F_STATS_VQ;

		start(SPEC_F_MUST_TELL_HOST | SPEC_F_REPORTING | stats);
		assert_true(report(queue, &seg, 1));
		assert_gone(0, 1);
		balloon_test_end(&t);
		/* One that was not negotiated is no queue at all. */
		start(SPEC_F_MUST_TELL_HOST | stats);
		assert_false(status() & SPEC_S_NEEDS_RESET);
		assert_false(report(queue, &seg, 1));
		assert_gone(0, 0);
		assert_true(status() & SPEC_S_NEEDS_RESET);
		balloon_test_end(&t);
	}
}

static void test_report_of_what_is_not_ram(void **state _unused_)
{
	static const struct driver_seg seg = {FAKE_RAM_BASE + FAKE_RAM_SIZE - 4096, 8192, true};

	start(EVERY);
	assert_false(report(SPEC_Q_REPORTING, &seg, 1));
	assert_gone(0, 0);
	assert_true(status() & SPEC_S_NEEDS_RESET);
	balloon_test_end(&t);
}

/* ---- Memory that is kept. ---- */

static void test_kept(void **state _unused_)
{
	static const uint32_t before[] = {FIRST, FIRST + 1}, within[] = {FIRST + 2, FIRST + 3};
	static const struct driver_seg seg = {(FIRST + 20) * 4096ULL, 4096, true};

	start(EVERY);
	send_and_wait(SPEC_Q_INFLATE, before, 2);
	virtio_balloon_keep(t.balloon, true);
	forget();
	/* Answered as ever, and nothing happens. */
	send_and_wait(SPEC_Q_INFLATE, within, 2);
	send_and_wait(SPEC_Q_DEFLATE, before, 1);
	assert_true(report(SPEC_Q_REPORTING, &seg, 1));
	assert_int_equal(t.calls, 0);
	/* A pause of the guest in between changes nothing. */
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	virtio_balloon_keep(t.balloon, false);
	loop_settle(t.loop);
	assert_int_equal(t.calls, 0);
	virtio_pci_thaw(t.v);
	loop_settle(t.loop);
	assert_gone(1, 3);
	/* And what comes now is done at once. */
	forget();
	assert_true(report(SPEC_Q_REPORTING, &seg, 1));
	assert_gone(20, 1);
	balloon_test_end(&t);
}

/* It may use pages before it says so: what was not given back at once never is. */
static void test_kept_without_must_tell_host(void **state _unused_)
{
	static const uint32_t pages[] = {FIRST, FIRST + 1};

	start(SPEC_F_REPORTING);
	send_and_wait(SPEC_Q_INFLATE, pages, 1);
	assert_gone(0, 1);
	forget();
	virtio_balloon_keep(t.balloon, true);
	send_and_wait(SPEC_Q_INFLATE, pages + 1, 1);
	virtio_balloon_keep(t.balloon, false);
	loop_settle(t.loop);
	assert_int_equal(t.calls, 0);
	balloon_test_end(&t);
}

/* The kernel still has the memory preserved, through a descriptor that is not ours. */
static void test_preserved_a_little_longer(void **state _unused_)
{
	static const uint32_t pages[] = {FIRST, FIRST + 9};

	start(EVERY);
	send_and_wait(SPEC_Q_INFLATE, pages, 1);
	virtio_balloon_keep(t.balloon, true);
	forget();
	t.refuses = -EPERM;
	virtio_balloon_keep(t.balloon, false);
	loop_settle(t.loop);
	assert_int_equal(t.calls, 1);
	send_and_wait(SPEC_Q_INFLATE, pages + 1, 1);
	assert_gone(0, 0);
	t.refuses = 0;
	loop_until(t.loop, balloon_test_gone(&t) == 2);
	assert_false(t.balloon->again);
	balloon_test_end(&t);
}

/* ---- Statistics. ---- */

static void send_stats(const uint16_t *tags, unsigned int count, uint64_t value)
{
	uint8_t *at = fake_ram(&t.machine, t.data);
	struct driver_seg seg = {t.data, count * 10, false};

	for (unsigned int i = 0; i < count; i++) {
		uint16_t tag = htole16(tags[i]);
		uint64_t le = htole64(value + tags[i]);

		memcpy(at + 10 * (size_t)i, &tag, 2);
		memcpy(at + 10 * (size_t)i + 2, &le, 8);
	}
	driver_add(&t.d.queues[SPEC_Q_STATS], &seg, 1, false);
	driver_kick(&t.d, SPEC_Q_STATS);
	loop_settle(t.loop);
}

static json_int_t statistic(const char *name)
{
	json_t *all = virtio_balloon_statistics(t.balloon);
	json_t *value = json_object_get(json_object_get(all, "statistics"), name);
	json_int_t number = value ? json_integer_value(value) : -1;

	json_decref(all);
	return number;
}

static void test_statistics(void **state _unused_)
{
	static const uint16_t all[] = {15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
	static const uint16_t some[] = {4, 99, 5, 65535, 4};
	uint32_t len;

	start(EVERY);
	assert_int_equal(statistic("swap-in"), -1);
	/* The first one, which is empty. */
	send_stats(all, 0, 0);
	assert_true(t.balloon->stats_held);
	assert_int_equal(statistic("swap-in"), -1);
	balloon_ask_stats(t.balloon);
	assert_true(balloon_test_used(&t, SPEC_Q_STATS, &len));
	assert_false(t.balloon->stats_held);
	/* Asked while nothing is there to ask with. */
	balloon_ask_stats(t.balloon);
	assert_false(balloon_test_used(&t, SPEC_Q_STATS, &len));
	send_stats(all, ARRAY_SIZE(all), 1000);
	assert_false(balloon_test_used(&t, SPEC_Q_STATS, &len));
	assert_int_equal(statistic("swap-in"), 1000);
	assert_int_equal(statistic("minor-faults"), 1003);
	assert_int_equal(statistic("hugetlb-failures"), 1009);
	assert_int_equal(statistic("oom-kills"), 1010);
	assert_int_equal(statistic("direct-reclaims"), 1015);
	/* Others than before, unknown ones, one twice, without being asked: the older buffer comes
	 * back. */
	send_stats(some, ARRAY_SIZE(some), 1ULL << 63);
	assert_true(balloon_test_used(&t, SPEC_Q_STATS, &len));
	assert_false(balloon_test_used(&t, SPEC_Q_STATS, &len));
	assert_int_equal(statistic("free-memory"), INT64_MAX);
	assert_int_equal(statistic("swap-in"), -1);
	balloon_test_end(&t);
}

static void test_statistics_by_the_clock(void **state _unused_)
{
	static const uint16_t tag = 5;
	uint32_t len;
	uint16_t id;

	t.config = (struct virtio_balloon_config){.stats_interval = 1};
	balloon_test_start(&t, SPEC_F_STATS_VQ, 3);
	for (unsigned int i = 0; i < 2; i++) {
		send_stats(&tag, 1, i);
		loop_until(t.loop, driver_get_used(&t.d.queues[SPEC_Q_STATS], &id, &len));
	}
	assert_int_equal(statistic("total-memory"), 6);
	balloon_test_end(&t);
}

/* ---- Reset. ---- */

static void test_reset(void **state _unused_)
{
	static const uint32_t page = FIRST;
	static const uint16_t tag = 5;
	uint32_t len;

	start(EVERY | SPEC_F_RING_RESET);
	send_and_wait(SPEC_Q_INFLATE, &page, 1);
	send_stats(&tag, 1, 0);
	/* One queue: the driver has its buffer again. */
	driver_set_common(&t.d, SPEC_C_QUEUE_SELECT, SPEC_Q_STATS, 2);
	driver_set_common(&t.d, SPEC_C_QUEUE_RESET, 1, 2);
	loop_settle(t.loop);
	assert_false(t.balloon->stats_held);
	driver_enable_queue(&t.d, SPEC_Q_STATS, BALLOON_TEST_RING);
	loop_settle(t.loop);
	send_stats(&tag, 1, 10);
	assert_int_equal(statistic("total-memory"), 15);
	assert_int_equal(t.balloon->ranges.count, 1);
	/* All of it: the pages are the guest's. */
	set_config(SPEC_CFG_ACTUAL, 1, 4);
	forget();
	driver_set_common(&t.d, SPEC_C_STATUS, 0, 1);
	loop_settle(t.loop);
	assert_int_equal(config(SPEC_CFG_ACTUAL), 0);
	assert_int_equal(statistic("total-memory"), -1);
	virtio_balloon_keep(t.balloon, true);
	virtio_balloon_keep(t.balloon, false);
	balloon_test_drive(&t, EVERY, QUEUES);
	assert_int_equal(t.calls, 0);
	assert_false(balloon_test_used(&t, SPEC_Q_STATS, &len));
	balloon_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_config_space),
		cmocka_unit_test(test_inflate),
		cmocka_unit_test(test_what_is_not_ram),
		cmocka_unit_test(test_host_refuses),
		cmocka_unit_test(test_large_buffer),
		cmocka_unit_test(test_many_buffers),
		cmocka_unit_test(test_reporting),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_which_queue_reports),
		cmocka_unit_test(test_report_of_what_is_not_ram),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_kept_without_must_tell_host),
		cmocka_unit_test(test_preserved_a_little_longer),
		cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_statistics_by_the_clock),
		cmocka_unit_test(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
