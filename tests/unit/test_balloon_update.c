/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/balloon across an update: what was given away stays away, the statistics' buffer
 * is still the driver's to get back, and a state is what it should be or is refused. */
#include <sched.h>

#include "base/loop_thread.h"
#include "tests/unit/balloon_test.h"

#define FIRST  BALLOON_TEST_FIRST
#define EVERY  (SPEC_F_MUST_TELL_HOST | SPEC_F_STATS_VQ | SPEC_F_PAGE_POISON | SPEC_F_REPORTING)
#define QUEUES 5

static struct balloon_test t;

static const uint64_t rings[] = {0, SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX};

static const struct state_ops *ops(void)
{
	return virtio_pci_state_ops(t.v);
}

static void start(uint64_t features)
{
	t.config = (struct virtio_balloon_config){.on = true,
						  .size = 8 * SPEC_PAGE,
						  .free_page_reporting = true,
						  .stats_interval = 3600};
	balloon_test_start(&t, features, QUEUES);
}

/* The first process is gone, a second one has the state; as the machine does, with memory kept. */
static void move_to_new_process(void)
{
	struct saved s = device_save(ops(), t.v);
	struct error err = ERROR_INIT;

	virtio_pci_free(t.v);
	balloon_test_device(&t);
	if (device_load(ops(), t.v, &s, STATE_APPLY, &err) < 0)
		fail_msg("%s", error_message(&err));
	t.d.pci = virtio_pci_function(t.v);
	virtio_balloon_keep(t.balloon, true);
	assert_round_trip(ops(), t.v, t.v);
	saved_free(&s);
}

static void send_and_wait(unsigned int queue, const uint32_t *pages, unsigned int count)
{
	uint32_t len;

	balloon_test_send(&t, queue, pages, count, 0);
	assert_true(balloon_test_used(&t, queue, &len));
}

static uint16_t send_stats(uint64_t value)
{
	struct driver_seg seg = {t.data + 0x1000, 10, false};
	uint16_t tag = htole16(5), id;
	uint64_t le = htole64(value);

	memcpy(fake_ram(&t.machine, seg.gpa), &tag, 2);
	memcpy(fake_ram(&t.machine, seg.gpa + 2), &le, 8);
	id = driver_add(&t.d.queues[SPEC_Q_STATS], &seg, 1, false);
	driver_kick(&t.d, SPEC_Q_STATS);
	loop_settle(t.loop);
	return id;
}

static json_int_t member(const char *object, const char *name)
{
	json_t *all = virtio_balloon_statistics(t.balloon);
	json_t *from = object ? json_object_get(all, object) : all;
	json_t *value = json_object_get(from, name);
	json_int_t number = value ? json_integer_value(value) : -1;

	json_decref(all);
	return number;
}

static void test_stays_inflated(void **state _unused_)
{
	static const uint32_t pages[] = {FIRST, FIRST + 1, FIRST + 4, FIRST + 6};

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		start(EVERY | rings[i]);
		send_and_wait(SPEC_Q_INFLATE, pages, 3);
		fake_mmio_write(&t.machine, t.d.config + SPEC_CFG_ACTUAL, 3, 4);
		fake_mmio_write(&t.machine, t.d.config + SPEC_CFG_POISON, 0x55, 4);
		assert_int_equal(virtio_balloon_resize(t.balloon, 4 * SPEC_PAGE, NULL), 0);
		virtio_balloon_keep(t.balloon, true);
		send_and_wait(SPEC_Q_INFLATE, pages + 3, 1);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		/* Preserving takes memory for all of it again. */
		memset(t.gone, 0, sizeof(t.gone));
		move_to_new_process();
		virtio_pci_resumed(t.v);
		assert_int_equal(member(NULL, "size"), 4 * SPEC_PAGE);
		assert_int_equal(member(NULL, "actual"), 3 * SPEC_PAGE);
		assert_int_equal(fake_mmio_read(&t.machine, t.d.config + SPEC_CFG_POISON, 4), 0x55);
		loop_settle(t.loop);
		assert_int_equal(balloon_test_gone(&t), 0);
		/* The guest takes one back before the update is finished. */
		send_and_wait(SPEC_Q_DEFLATE, pages + 1, 1);
		virtio_balloon_keep(t.balloon, false);
		loop_settle(t.loop);
		assert_int_equal(balloon_test_gone(&t), 3);
		assert_false(t.gone[FIRST + 1 - FAKE_RAM_BASE / SPEC_PAGE]);
		balloon_test_end(&t);
	}
}

static void test_statistics_buffer_is_carried_over(void **state _unused_)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		json_int_t updated;
		uint32_t len;
		uint16_t id, got;

		start(EVERY | rings[i]);
		id = send_stats(77);
		updated = member(NULL, "updated");
		assert_true(updated > 0);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		move_to_new_process();
		virtio_pci_resumed(t.v);
		assert_true(t.balloon->stats_held);
		assert_int_equal(member("statistics", "total-memory"), 77);
		assert_int_equal(member(NULL, "updated"), updated);
		balloon_ask_stats(t.balloon);
		assert_true(driver_get_used(&t.d.queues[SPEC_Q_STATS], &got, &len));
		assert_int_equal(got, id);
		send_stats(78);
		assert_int_equal(member("statistics", "total-memory"), 78);
		balloon_test_end(&t);
	}
}

/* Page numbers that nobody has looked at yet are looked at by the next process. */
static void test_buffers_in_the_queue(void **state _unused_)
{
	static const uint32_t page = FIRST + 3;
	uint32_t len;

	start(EVERY);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	balloon_test_send(&t, SPEC_Q_INFLATE, &page, 1, 0);
	assert_false(balloon_test_used(&t, SPEC_Q_INFLATE, &len));
	move_to_new_process();
	virtio_pci_resumed(t.v);
	assert_true(balloon_test_used(&t, SPEC_Q_INFLATE, &len));
	assert_int_equal(balloon_test_gone(&t), 0);
	virtio_balloon_keep(t.balloon, false);
	loop_settle(t.loop);
	assert_int_equal(balloon_test_gone(&t), 1);
	balloon_test_end(&t);
}

/* Given up, while the device of the same process goes on. */
static void test_thawed(void **state _unused_)
{
	static const uint32_t pages[] = {FIRST, FIRST + 2};
	struct saved s;

	start(EVERY);
	send_and_wait(SPEC_Q_INFLATE, pages, 1);
	send_stats(5);
	virtio_balloon_keep(t.balloon, true);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	s = device_save(ops(), t.v);
	saved_free(&s);
	virtio_pci_thaw(t.v);
	assert_true(t.balloon->stats_held);
	memset(t.gone, 0, sizeof(t.gone));
	virtio_balloon_keep(t.balloon, false);
	loop_settle(t.loop);
	assert_int_equal(balloon_test_gone(&t), 1);
	send_and_wait(SPEC_Q_INFLATE, pages + 1, 1);
	assert_int_equal(balloon_test_gone(&t), 2);
	balloon_test_end(&t);
}

static void test_state_is_checked(void **state _unused_)
{
	static const uint32_t pages[] = {FIRST, FIRST + 1, FIRST + 4,
					 FAKE_RAM_BASE / SPEC_PAGE + 255};

	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		/* Before anything was done; then with pages and a buffer. */
		start(EVERY | rings[i]);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		assert_round_trip(ops(), t.v, t.v);
		if (i == 0)
			driver_torture_state(ops(), t.v);
		virtio_pci_resumed(t.v);
		send_and_wait(SPEC_Q_INFLATE, pages, ARRAY_SIZE(pages));
		send_stats(3);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		move_to_new_process();
		driver_torture_state(ops(), t.v);
		virtio_pci_resumed(t.v);
		assert_int_equal(member("statistics", "total-memory"), 3);
		send_and_wait(SPEC_Q_DEFLATE, pages, ARRAY_SIZE(pages));
		assert_int_equal(t.balloon->ranges.count, 0);
		balloon_test_end(&t);
	}
}

/* What fits each field, and not the others. */
static void test_what_cannot_be(void **state _unused_)
{
	static const uint32_t page = FIRST;
	struct error err = ERROR_INIT;
	struct saved s;

	/* A guest that uses statistics, in a process that was started without. */
	start(EVERY);
	send_and_wait(SPEC_Q_INFLATE, &page, 1);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	s = device_save(ops(), t.v);
	virtio_pci_free(t.v);
	t.config.stats_interval = 0;
	balloon_test_device(&t);
	assert_true(device_load(ops(), t.v, &s, STATE_CHECK, &err) < 0);
	assert_non_null(strstr(err.message, "does not offer"));
	saved_free(&s);
	balloon_test_end(&t);
	/* Ranges of a driver that never said that it would tell. */
	start(SPEC_F_STATS_VQ);
	t.balloon->ranges.all[0] = (struct balloon_range){FIRST, 1};
	t.balloon->ranges.count = 1;
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	s = device_save(ops(), t.v);
	t.balloon->ranges.count = 0;
	assert_true(device_load(ops(), t.v, &s, STATE_CHECK, &err) < 0);
	assert_non_null(strstr(err.message, "MUST_TELL_HOST"));
	saved_free(&s);
	balloon_test_end(&t);
}

/* As many ranges as fit travel in a state of the size that was told before. */
static void test_largest_state(void **state _unused_)
{
	struct state_object object;
	struct state_writer *w;
	const void *blob;
	size_t size;

	start(EVERY);
	send_stats(3);
	for (unsigned int i = 0; i < BALLOON_RANGES_MAX; i++)
		t.balloon->ranges.all[i] = (struct balloon_range){2ULL * i, 1};
	t.balloon->ranges.count = BALLOON_RANGES_MAX;
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	object = (struct state_object){.ops = ops(), .obj = t.v};
	assert_int_equal(state_writer_new(virtio_pci_state_size_max(t.v) + 1024, &w, NULL), 0);
	assert_int_equal(state_save_objects(&object, 1, w, NULL), 0);
	assert_int_equal(state_writer_finish(w, &blob, &size, NULL), 0);
	assert_true(size > BALLOON_RANGES_MAX * 16);
	state_writer_free(w);
	balloon_test_end(&t);
}

static void wait_used(unsigned int queue)
{
	uint32_t len;
	uint16_t id;

	while (!driver_get_used(&t.d.queues[queue], &id, &len))
		sched_yield();
}

/* The device on a thread of its own, as in a VM; the driver on another, and here and there the main
 * thread asks something. What was told to keep memory has it kept when it returns. */
static void test_on_a_thread(void **state _unused_)
{
	struct loop_thread *thread;

	memset(&t, 0, sizeof(t));
	t.config = (struct virtio_balloon_config){
		.on = true, .free_page_reporting = true, .stats_interval = 3600};
	fake_machine_init(&t.machine);
	assert_int_equal(loop_thread_new("balloon", &thread, NULL), 0);
	t.loop = loop_thread_loop(thread);
	balloon_test_device(&t);
	t.data = driver_alloc(&t.machine, 0x8000);
	driver_open(&t.d, &t.machine, virtio_pci_function(t.v), BALLOON_TEST_BASE);
	driver_start(&t.d, EVERY, QUEUES, BALLOON_TEST_RING);
	for (uint32_t i = 0; i < 100; i++) {
		uint32_t pages[2] = {FIRST + i, FIRST + 1 + i};
		bool kept = i & 1;
		unsigned int calls;

		balloon_test_send(&t, SPEC_Q_INFLATE, pages, 2, 0);
		virtio_balloon_keep(t.balloon, kept);
		calls = kept ? t.calls : 0;
		fake_mmio_write(&t.machine, t.d.config + SPEC_CFG_ACTUAL, i, 4);
		wait_used(SPEC_Q_INFLATE);
		if (kept)
			assert_int_equal(t.calls, calls);
		assert_int_equal(virtio_balloon_resize(t.balloon, (i & 7) * SPEC_PAGE, NULL), 0);
		assert_int_equal(member(NULL, "actual"), i * SPEC_PAGE);
		balloon_test_send(&t, SPEC_Q_DEFLATE, pages, 1, 64);
		wait_used(SPEC_Q_DEFLATE);
	}
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	assert_round_trip(ops(), t.v, t.v);
	virtio_pci_resumed(t.v);
	virtio_balloon_keep(t.balloon, false);
	virtio_pci_free(t.v);
	fake_machine_check_empty(&t.machine);
	loop_thread_free(thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stays_inflated),
		cmocka_unit_test(test_statistics_buffer_is_carried_over),
		cmocka_unit_test(test_buffers_in_the_queue),
		cmocka_unit_test(test_thawed),
		cmocka_unit_test(test_state_is_checked),
		cmocka_unit_test(test_what_cannot_be),
		cmocka_unit_test(test_largest_state),
		cmocka_unit_test(test_on_a_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
