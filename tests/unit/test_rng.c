/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/rng: buffers are filled, a slow source is waited for, an empty one stops the
 * device. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "devices/virtio/rng.h"
#include "tests/unit/virtio_driver.h"

#define SPEC_RNG_ID 4
#define BASE	    0xc0000000ULL

struct rng_test {
	struct fake_machine machine;
	struct loop *loop;
	struct virtio_pci *v;
	struct virtio_driver d;
	uint64_t data;
};

static void make_device(struct rng_test *t, const char *source)
{
	struct virtio_rng *rng;

	assert_int_equal(virtio_rng_new(source, &rng, NULL), 0);
	assert_int_equal(
		virtio_pci_new(&virtio_rng_ops, rng, t->loop, &t->machine.attach, &t->v, NULL), 0);
}

static void make(struct rng_test *t, const char *source, uint64_t features)
{
	memset(t, 0, sizeof(*t));
	fake_machine_init(&t->machine);
	assert_int_equal(loop_new(&t->loop, NULL), 0);
	make_device(t, source);
	driver_open(&t->d, &t->machine, virtio_pci_function(t->v), BASE);
	t->data = driver_alloc(&t->machine, 0x10000);
	assert_int_equal(pci_config_read(t->d.pci, 2, 2), 0x1040 + SPEC_RNG_ID);
	driver_start(&t->d, features, 1, 64);
	loop_settle(t->loop);
}

static void unmake(struct rng_test *t)
{
	virtio_pci_free(t->v);
	fake_machine_check_empty(&t->machine);
	loop_free(t->loop);
}

static void ask(struct rng_test *t, uint32_t size)
{
	struct driver_seg seg = {t->data, size, true};

	driver_add(&t->d.queues[0], &seg, 1, false);
	driver_kick(&t->d, 0);
}

static bool answered(struct rng_test *t, uint32_t *ret_len)
{
	uint16_t id;

	loop_settle(t->loop);
	return driver_get_used(&t->d.queues[0], &id, ret_len);
}

static void test_random_bytes(void **state _unused_)
{
	static struct rng_test t;
	static const uint64_t rings[] = {0, SPEC_F_RING_PACKED | SPEC_F_EVENT_IDX};
	uint32_t len;

	for (unsigned int ring = 0; ring < 2; ring++) {
		unsigned int same = 0;
		uint8_t first[64];

		make(&t, VIRTIO_RNG_SOURCE_DEFAULT, rings[ring]);
		ask(&t, 64);
		assert_true(answered(&t, &len));
		assert_int_equal(len, 64);
		memcpy(first, fake_ram(&t.machine, t.data), 64);
		ask(&t, 64);
		assert_true(answered(&t, &len));
		for (unsigned int i = 0; i < 64; i++)
			same += first[i] == fake_ram(&t.machine, t.data)[i];
		assert_true(same < 32);
		assert_int_equal(fake_ram(&t.machine, t.data)[64], 0);
		/* A large buffer gets some. */
		ask(&t, 0x10000);
		assert_true(answered(&t, &len));
		assert_in_range(len, 1, 0x10000);
		unmake(&t);
	}
}

/* More buffers than one turn of the loop serves: all come back. */
static void test_many_buffers(void **state _unused_)
{
	static struct rng_test t;
	uint32_t len;

	make(&t, VIRTIO_RNG_SOURCE_DEFAULT, 0);
	for (unsigned int i = 0; i < 64; i++)
		ask(&t, 8);
	for (unsigned int i = 0; i < 64; i++)
		assert_true(answered(&t, &len));
	assert_false(answered(&t, &len));
	unmake(&t);
}

static void test_slow_source(void **state _unused_)
{
	static struct rng_test t;
	char path[] = "/tmp/holdfast-rng-XXXXXX/source";
	char *slash = strrchr(path, '/');
	uint32_t len;
	int fd;

	*slash = '\0';
	assert_non_null(mkdtemp(path));
	*slash = '/';
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	make(&t, path, 0);
	ask(&t, 16);
	assert_false(answered(&t, &len));
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	virtio_pci_thaw(t.v);
	assert_false(answered(&t, &len));
	assert_int_equal(write(fd, "0123456789abcdef", 5), 5);
	assert_true(answered(&t, &len));
	assert_int_equal(len, 5);
	assert_memory_equal(fake_ram(&t.machine, t.data), "01234", 5);
	ask(&t, 16);
	assert_false(answered(&t, &len)); /* freed while it waits */
	unmake(&t);
	close(fd);
	unlink(path);
	*slash = '\0';
	rmdir(path);
}

static uint8_t status(struct rng_test *t)
{
	loop_settle(t->loop);
	return (uint8_t)driver_common(&t->d, SPEC_C_STATUS, 1);
}

static void test_bad_sources_and_buffers(void **state _unused_)
{
	static struct rng_test t;
	struct virtio_rng *rng;
	struct error err = ERROR_INIT;
	struct driver_seg seg;

	assert_int_equal(virtio_rng_new("/nonexistent/rng", &rng, &err), -ENOENT);
	assert_non_null(strstr(err.message, "/nonexistent/rng"));
	make(&t, "/dev/null", 0);
	ask(&t, 16);
	assert_true(status(&t) & SPEC_S_NEEDS_RESET);
	unmake(&t);
	make(&t, VIRTIO_RNG_SOURCE_DEFAULT, 0);
	seg = (struct driver_seg){t.data, 16, false};
	driver_add(&t.d.queues[0], &seg, 1, false);
	driver_kick(&t.d, 0);
	assert_true(status(&t) & SPEC_S_NEEDS_RESET);
	unmake(&t);
}

static void test_state(void **state _unused_)
{
	static struct rng_test t;
	struct virtio_pci *first;
	const struct state_ops *ops;
	struct saved s;
	uint32_t len;

	make(&t, VIRTIO_RNG_SOURCE_DEFAULT, SPEC_F_RING_PACKED);
	ask(&t, 16);
	assert_true(answered(&t, &len));
	assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
	ask(&t, 24); /* not looked at any more */
	ops = virtio_pci_state_ops(t.v);
	s = device_save(ops, t.v);
	first = t.v;
	make_device(&t, VIRTIO_RNG_SOURCE_DEFAULT);
	virtio_pci_free(first);
	assert_round_trip(virtio_pci_state_ops(t.v), t.v, t.v);
	assert_int_equal(device_load(virtio_pci_state_ops(t.v), t.v, &s, STATE_APPLY, NULL), 0);
	saved_free(&s);
	driver_torture_state(virtio_pci_state_ops(t.v), t.v);
	virtio_pci_resumed(t.v);
	assert_true(answered(&t, &len));
	assert_int_equal(len, 24);
	unmake(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_bytes), cmocka_unit_test(test_many_buffers),
		cmocka_unit_test(test_slow_source),  cmocka_unit_test(test_bad_sources_and_buffers),
		cmocka_unit_test(test_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
