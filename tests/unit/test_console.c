/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/console: both directions, slow readers, missing buffers, drain and state. */
#include <fcntl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "devices/virtio/console.h"
#include "tests/unit/virtio_driver.h"

#define SPEC_CONSOLE_ID 3
#define SPEC_RX		0 /* receiveq(port0) */
#define SPEC_TX		1 /* transmitq(port0) */
#define BASE		0xc0000000ULL
#define PAGE		4096

struct console_test {
	struct fake_machine machine;
	struct loop *loop;
	struct virtio_pci *v;
	struct virtio_driver d;
	int peer; /* the host's end */
	uint64_t rx, tx;
};

static void make_device(struct console_test *t)
{
	struct virtio_console *console;
	struct chardev *backend;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	t->peer = fds[0];
	assert_int_equal(chardev_new_fds(t->loop, fds[1], fds[1], &backend, NULL), 0);
	assert_int_equal(virtio_console_new(backend, &console, NULL), 0);
	assert_int_equal(virtio_pci_new(&virtio_console_ops, console, t->loop, &t->machine.attach,
					&t->v, NULL),
			 0);
}

static void make(struct console_test *t, uint64_t features)
{
	memset(t, 0, sizeof(*t));
	fake_machine_init(&t->machine);
	assert_int_equal(loop_new(&t->loop, NULL), 0);
	make_device(t);
	driver_open(&t->d, &t->machine, virtio_pci_function(t->v), BASE);
	t->rx = driver_alloc(&t->machine, 8 * PAGE);
	t->tx = driver_alloc(&t->machine, PAGE);
	assert_int_equal(pci_config_read(t->d.pci, 2, 2), 0x1040 + SPEC_CONSOLE_ID);
	driver_start(&t->d, features, 2, 64);
	loop_settle(t->loop);
}

static void unmake(struct console_test *t)
{
	virtio_pci_free(t->v);
	fake_machine_check_empty(&t->machine);
	close(t->peer);
	loop_free(t->loop);
}

static void transmit(struct console_test *t, const void *data, uint32_t size)
{
	struct driver_seg seg = {t->tx, size, false};
	uint16_t id;
	uint32_t len;

	memcpy(fake_ram(&t->machine, t->tx), data, size);
	driver_add(&t->d.queues[SPEC_TX], &seg, 1, false);
	driver_kick(&t->d, SPEC_TX);
	loop_settle(t->loop);
	/* Back at once, whoever reads. */
	assert_true(driver_get_used(&t->d.queues[SPEC_TX], &id, &len));
	assert_int_equal(len, 0);
}

static void give_buffer(struct console_test *t, unsigned int page, uint32_t size)
{
	struct driver_seg seg = {t->rx + page * PAGE, size, true};

	driver_add(&t->d.queues[SPEC_RX], &seg, 1, false);
	driver_kick(&t->d, SPEC_RX);
}

static bool received(struct console_test *t, uint32_t *ret_len)
{
	uint16_t id;

	loop_settle(t->loop);
	return driver_get_used(&t->d.queues[SPEC_RX], &id, ret_len);
}

static void test_both_ways(void **state _unused_)
{
	static const uint64_t rings[] = {0, SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX};
	static struct console_test t;
	char buf[32];
	uint32_t len;

	for (unsigned int ring = 0; ring < 2; ring++) {
		make(&t, rings[ring]);
		transmit(&t, "hello\n", 6);
		assert_int_equal(read(t.peer, buf, sizeof(buf)), 6);
		assert_memory_equal(buf, "hello\n", 6);
		give_buffer(&t, 0, PAGE);
		assert_false(received(&t, &len));
		assert_int_equal(write(t.peer, "world", 5), 5);
		assert_true(received(&t, &len));
		assert_int_equal(len, 5);
		assert_memory_equal(fake_ram(&t.machine, t.rx), "world", 5);
		assert_int_equal(driver_interrupt_count(&t.d, SPEC_RX + 1), 1);
		unmake(&t);
	}
}

/* Input that came before the driver had room waits in the backend; none is lost or reordered. */
static void test_input_waits_for_buffers(void **state _unused_)
{
	static struct console_test t;
	uint32_t len;

	make(&t, 0);
	assert_int_equal(write(t.peer, "abcdefgh", 8), 8);
	assert_false(received(&t, &len));
	give_buffer(&t, 0, 3);
	assert_true(received(&t, &len));
	assert_int_equal(len, 3);
	assert_false(received(&t, &len));
	give_buffer(&t, 1, 3);
	give_buffer(&t, 2, 3);
	assert_true(received(&t, &len));
	assert_true(received(&t, &len));
	assert_int_equal(len, 2);
	assert_memory_equal(fake_ram(&t.machine, t.rx), "abc", 3);
	assert_memory_equal(fake_ram(&t.machine, t.rx + PAGE), "def", 3);
	assert_memory_equal(fake_ram(&t.machine, t.rx + 2 * PAGE), "gh", 2);
	unmake(&t);
}

static void fill_peer(struct console_test *t, char letter)
{
	char page[PAGE];

	memset(page, letter, sizeof(page));
	for (unsigned int i = 0; i < 128; i++)
		transmit(t, page, sizeof(page));
}

static size_t read_peer(struct console_test *t, char *last)
{
	char buf[PAGE];
	size_t total = 0;
	ssize_t n;

	for (;;) {
		loop_settle(t->loop);
		n = read(t->peer, buf, sizeof(buf));
		if (n <= 0)
			return total;
		total += (size_t)n;
		*last = buf[n - 1];
	}
}

/* A reader that does not read: the guest goes on, the newest output is kept. */
static void test_slow_reader(void **state _unused_)
{
	static struct console_test t;
	char last = 0;
	size_t total;

	make(&t, 0);
	fill_peer(&t, 'x');
	transmit(&t, "!", 1);
	total = read_peer(&t, &last);
	assert_int_equal(last, '!');
	assert_in_range(total, VIRTIO_CONSOLE_OUTPUT_MAX, 128 * PAGE);
	unmake(&t);
}

static void test_rules(void **state _unused_)
{
	static struct console_test t;
	struct driver_seg seg;

	make(&t, 0);
	seg = (struct driver_seg){t.rx, 16, false};
	driver_add(&t.d.queues[SPEC_RX], &seg, 1, false);
	driver_kick(&t.d, SPEC_RX);
	loop_settle(t.loop);
	assert_true(driver_common(&t.d, SPEC_C_STATUS, 1) & SPEC_S_NEEDS_RESET);
	/* It can still be saved, and says so again afterwards. */
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	{
		struct saved s = device_save(virtio_pci_state_ops(t.v), t.v);

		assert_int_equal(device_load(virtio_pci_state_ops(t.v), t.v, &s, STATE_APPLY, NULL),
				 0);
		saved_free(&s);
	}
	assert_true(driver_common(&t.d, SPEC_C_STATUS, 1) & SPEC_S_NEEDS_RESET);
	unmake(&t);
}

static void test_many_buffers(void **state _unused_)
{
	static struct console_test t;
	struct driver_seg seg;
	uint16_t id;
	uint32_t len;
	unsigned int back = 0;

	make(&t, 0);
	seg = (struct driver_seg){t.tx, 1, false};
	fake_ram(&t.machine, t.tx)[0] = 'z';
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < 64; i++)
			driver_add(&t.d.queues[SPEC_TX], &seg, 1, false);
		driver_kick(&t.d, SPEC_TX);
		loop_settle(t.loop);
		while (driver_get_used(&t.d.queues[SPEC_TX], &id, &len))
			back++;
	}
	assert_int_equal(back, 192);
	unmake(&t);
}

static void move_to_new_device(struct console_test *t)
{
	struct saved s = device_save(virtio_pci_state_ops(t->v), t->v);
	struct virtio_pci *first = t->v;
	int peer = t->peer;

	make_device(t);

	virtio_pci_free(first); /* writes none of it: that is the new one's */
	close(peer);
	assert_int_equal(device_load(virtio_pci_state_ops(t->v), t->v, &s, STATE_APPLY, NULL), 0);
	t->d.pci = virtio_pci_function(t->v);
	saved_free(&s);
}

/* What the old host's reader did not take comes out of the new one; input goes on. */
static void test_update(void **state _unused_)
{
	static struct console_test t;
	char last = 0;
	uint32_t len;

	make(&t, SPEC_F_RING_PACKED);
	give_buffer(&t, 0, PAGE);
	fill_peer(&t, 'x');
	transmit(&t, "!", 1);
	assert_int_equal(virtio_pci_drain(t.v, clock_monotonic_ns() + NSEC_PER_MSEC, NULL), 0);
	assert_int_equal(write(t.peer, "lost", 4), 4); /* with the socket: not taken any more */
	assert_false(received(&t, &len));
	move_to_new_device(&t);
	driver_torture_state(virtio_pci_state_ops(t.v), t.v);
	virtio_pci_resumed(t.v);
	assert_int_equal(read_peer(&t, &last), VIRTIO_CONSOLE_OUTPUT_MAX);
	assert_int_equal(last, '!');
	assert_int_equal(write(t.peer, "still here", 10), 10);
	assert_true(received(&t, &len));
	assert_int_equal(len, 10);
	transmit(&t, "too\n", 4);
	assert_int_equal(read_peer(&t, &last), 4);
	unmake(&t);
}

static void test_thaw(void **state _unused_)
{
	static struct console_test t;
	uint32_t len;

	make(&t, 0);
	give_buffer(&t, 0, PAGE);
	loop_settle(t.loop);
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	assert_int_equal(write(t.peer, "a", 1), 1);
	assert_false(received(&t, &len));
	virtio_pci_thaw(t.v);
	assert_true(received(&t, &len));
	unmake(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),    cmocka_unit_test(test_input_waits_for_buffers),
		cmocka_unit_test(test_slow_reader),  cmocka_unit_test(test_rules),
		cmocka_unit_test(test_many_buffers), cmocka_unit_test(test_update),
		cmocka_unit_test(test_thaw),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
