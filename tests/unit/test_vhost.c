/* SPDX-License-Identifier: Apache-2.0 */
/* devices/vhost on a kernel that is played by the test: what it is told of rings, and what is made
 * of what it says. The echo device's queue 1 is the one that the kernel gets. */
#include <fcntl.h>
#include <linux/vhost.h>
#include <poll.h>
#include <sys/stat.h>

#include "devices/vhost/vhost.h"
#include "tests/unit/vhost_fake.h"
#include "tests/unit/virtio_echo.h"

#define QUEUE 1U
#define RING  0U
/* linux/vhost_types.h */
#define SPEC_BACKEND_MSG_V2 (1ULL << 1)

struct vhost_test {
	struct vp_test vp;
	struct vhost *vhost;
	unsigned int errors, last_error;
};

static struct vhost_test t;

static void on_error(void *opaque, unsigned int ring)
{
	struct vhost_test *test = opaque;

	test->errors++;
	test->last_error = ring;
}

static struct vhost_params params(const char *path)
{
	return (struct vhost_params){.name = "echo",
				     .path = path,
				     .module = "vhost_echo",
				     .instead = "start the VM without --echo",
				     .on_error = on_error,
				     .opaque = &t};
}

static struct vhost_ram ram(void)
{
	return (struct vhost_ram){.count = 2,
				  .regions = {{FAKE_RAM_BASE, FAKE_RAM_SIZE / 2, t.vp.machine.ram},
					      {FAKE_RAM_BASE + FAKE_RAM_SIZE / 2, FAKE_RAM_SIZE / 2,
					       t.vp.machine.ram + FAKE_RAM_SIZE / 2}}};
}

static void begin(void)
{
	const struct vhost_params p = params("/dev/null");
	struct vhost_ram memory;
	struct error err = ERROR_INIT;

	vhost_fake_init();
	memset(&t, 0, sizeof(t));
	make(&t.vp);
	start(&t.vp, SPEC_F_EVENT_IDX);
	assert_int_equal(vhost_open(&p, &t.vhost, &err), 0);
	memory = ram();
	assert_int_equal(vhost_set_ram(t.vhost, &memory, &err), 0);
}

static void end(void)
{
	vhost_free(t.vhost);
	unmake(&t.vp);
}

static void start_ring(void)
{
	struct error err = ERROR_INIT;

	if (vhost_ring_start(t.vhost, RING, t.vp.v, QUEUE, &err) < 0)
		fail_msg("%s", error_message(&err));
}

static bool readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

static void test_cannot_open(void **state _unused_)
{
	struct vhost_params p = params("/nonexistent/vhost-echo");
	char path[] = "/tmp/holdfast-vhost-XXXXXX";
	struct error err = ERROR_INIT;
	struct vhost *vhost = NULL;

	vhost_fake_init();
	assert_int_equal(vhost_check(&p, &err), -ENOENT);
	assert_int_equal(vhost_open(&p, &vhost, &err), -ENOENT);
	assert_string_equal(err.message, "echo: /nonexistent/vhost-echo is not there: load the "
					 "kernel's module (modprobe vhost_echo), or start the VM "
					 "without --echo");
	/* A node of a module that is not loaded. */
	p.path = path;
	assert_int_equal(close(mkstemp(path)), 0);
	assert_int_equal(unlink(path), 0);
	if (mknod(path, S_IFCHR | 0600, (dev_t)0xfffff) == 0) {
		assert_int_equal(vhost_open(&p, &vhost, &err), -ENXIO);
		assert_non_null(strstr(err.message, "modprobe"));
		unlink(path);
	}
	/* What it refuses is said with the request's name, and nothing is left. */
	p.path = "/dev/null";
	assert_int_equal(vhost_check(&p, &err), 0);
	vhost_fake.refuse = VHOST_SET_OWNER;
	vhost_fake.refuse_errno = EBUSY;
	assert_int_equal(vhost_open(&p, &vhost, &err), -EBUSY);
	assert_non_null(strstr(err.message, "echo: /dev/null: VHOST_SET_OWNER"));
	vhost_fake.refuse = VHOST_GET_FEATURES;
	assert_int_equal(vhost_open(&p, &vhost, &err), -EBUSY);
	vhost_fake.refuse = VHOST_GET_BACKEND_FEATURES;
	assert_int_equal(vhost_open(&p, &vhost, &err), -EBUSY);
	assert_null(vhost);
	/* A kernel that does not know backend features has none. */
	vhost_fake.refuse_errno = ENOTTY;
	assert_int_equal(vhost_open(&p, &vhost, &err), 0);
	assert_true(vhost_backend_features(vhost) == 0);
	assert_int_equal(vhost_set_backend_features(vhost, SPEC_BACKEND_MSG_V2, &err), -EOPNOTSUPP);
	vhost_free(vhost);
	vhost_free(NULL);
}

static void test_features_and_memory(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vhost_ram memory;

	begin();
	assert_true(vhost_features(t.vhost) == vhost_fake.features);
	assert_int_equal(VHOST_TRANSPORT_FEATURES & (SPEC_F_RING_PACKED | SPEC_F_RING_RESET), 0);
	/* The kernel hears of nothing that it did not offer. */
	assert_int_equal(vhost_set_features(t.vhost,
					    SPEC_F_VERSION_1 | SPEC_F_EVENT_IDX |
						    SPEC_F_RING_RESET | 1ULL << 5,
					    &err),
			 0);
	assert_true(vhost_fake.acked == (SPEC_F_VERSION_1 | SPEC_F_EVENT_IDX));
	assert_true(vhost_backend_features(t.vhost) == vhost_fake.backend_features);
	assert_int_equal(vhost_set_backend_features(t.vhost, SPEC_BACKEND_MSG_V2 << 1, &err),
			 -EOPNOTSUPP);
	assert_int_equal(vhost_set_backend_features(t.vhost, SPEC_BACKEND_MSG_V2, &err), 0);
	assert_true(vhost_fake.backend_acked == SPEC_BACKEND_MSG_V2);
	assert_int_equal(vhost_fake.regions, 2);
	assert_true(vhost_fake.region[1].gpa == FAKE_RAM_BASE + FAKE_RAM_SIZE / 2);
	assert_true(vhost_fake.region[1].size == FAKE_RAM_SIZE / 2);
	assert_true(vhost_fake.region[1].hva == (uintptr_t)t.vp.machine.ram + FAKE_RAM_SIZE / 2);
	memory = ram();
	memory.count = VHOST_REGIONS_MAX + 1;
	assert_int_equal(vhost_set_ram(t.vhost, &memory, &err), -E2BIG);
	assert_int_equal(vhost_fake.regions, 2);
	end();
}

static void test_ring_is_told(void **state _unused_)
{
	const struct driver_queue *q = &t.vp.d.queues[QUEUE];
	const struct vhost_fake_ring *r = &vhost_fake.rings[RING];

	begin();
	start_ring();
	assert_int_equal(r->num, 16);
	assert_int_equal(r->base, 0);
	assert_true(r->desc == (uintptr_t)fake_ram(&t.vp.machine, q->desc));
	assert_true(r->avail == (uintptr_t)fake_ram(&t.vp.machine, q->driver));
	assert_true(r->used == (uintptr_t)fake_ram(&t.vp.machine, q->device));
	assert_int_equal(r->call, pci_msix_eventfd(t.vp.d.pci, QUEUE + 1, NULL));
	/* The doorbell is the kernel's alone: the loop leaves it what the driver rings. */
	send(&t.vp, QUEUE, 1);
	loop_settle(t.vp.loop);
	assert_false(t.vp.echo->has_kept);
	assert_true(vhost_fake_kicked(RING));
	vhost_ring_kick(t.vhost, RING);
	assert_true(vhost_fake_kicked(RING));
	end();
}

static void test_stop_keeps_the_position(void **state _unused_)
{
	struct virtqueue *vq;
	struct error err = ERROR_INIT;

	begin();
	assert_int_equal(vhost_ring_stop(t.vhost, RING, &err), 0); /* nothing to stop */
	start_ring();
	vhost_fake.rings[RING].base = 7;
	assert_int_equal(vhost_ring_stop(t.vhost, RING, &err), 0);
	vq = virtio_queue(t.vp.v, QUEUE);
	assert_int_equal(virtqueue_position(vq), 7);
	assert_int_equal(virtqueue_in_flight(vq), 0);
	assert_int_equal(vhost_fake.rings[RING].kick, -1);
	assert_int_equal(vhost_fake.rings[RING].call, -1);
	vhost_ring_kick(t.vhost, RING); /* no ring */
	start_ring();
	assert_int_equal(vhost_fake.rings[RING].base, 7);
	/* Not what it says after a failure: the position stays. */
	vhost_fake.rings[RING].base = 9;
	vhost_fake.refuse = VHOST_GET_VRING_BASE;
	vhost_fake.refuse_errno = EIO;
	assert_int_equal(vhost_ring_stop(t.vhost, RING, &err), -EIO);
	assert_non_null(strstr(err.message, "VHOST_GET_VRING_BASE"));
	assert_int_equal(virtqueue_position(vq), 7);
	end();
}

static void test_interrupt_moves(void **state _unused_)
{
	struct error err = ERROR_INIT;
	const struct vhost_fake_ring *r = &vhost_fake.rings[RING];

	begin();
	assert_int_equal(vhost_ring_move_interrupt(t.vhost, RING, &err), 0); /* not started */
	assert_int_equal(r->call, -1);
	start_ring();
	driver_set_common(&t.vp.d, SPEC_C_QUEUE_SELECT, QUEUE, 2);
	driver_set_common(&t.vp.d, SPEC_C_QUEUE_VECTOR, SPEC_NO_VECTOR, 2);
	loop_settle(t.vp.loop);
	assert_int_equal(vhost_ring_move_interrupt(t.vhost, RING, &err), 0);
	assert_int_not_equal(r->call, pci_msix_eventfd(t.vp.d.pci, QUEUE + 1, NULL));
	assert_true(r->call >= 0);
	end();
}

static void test_errors_of_a_ring(void **state _unused_)
{
	struct error err = ERROR_INIT;
	int fd;

	begin();
	start_ring();
	vhost_fake_fail(RING);
	assert_int_equal(t.errors, 0);
	loop_settle(t.vp.loop);
	assert_int_equal(t.errors, 1);
	assert_int_equal(t.last_error, RING);
	/* One that came when nobody listened any more is not the next start's. */
	fd = vhost_fake.rings[RING].err;
	assert_int_equal(vhost_ring_stop(t.vhost, RING, &err), 0);
	vhost_fake_fail(RING);
	assert_true(readable(fd));
	loop_settle(t.vp.loop);
	start_ring();
	loop_settle(t.vp.loop);
	assert_int_equal(t.errors, 1);
	end();
}

/* Whatever the kernel refuses: the loop has the doorbell again, and a later start works. */
static void test_start_fails(void **state _unused_)
{
	static const struct {
		unsigned long request;
		const char *name;
	} refused[] = {
		{VHOST_SET_VRING_NUM, "VHOST_SET_VRING_NUM"},
		{VHOST_SET_VRING_BASE, "VHOST_SET_VRING_BASE"},
		{VHOST_SET_VRING_ADDR, "VHOST_SET_VRING_ADDR"},
		{VHOST_SET_VRING_ERR, "VHOST_SET_VRING_ERR"},
		{VHOST_SET_VRING_CALL, "VHOST_SET_VRING_CALL"},
		{VHOST_SET_VRING_KICK, "VHOST_SET_VRING_KICK"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++) {
		struct error err = ERROR_INIT;

		begin();
		vhost_fake.refuse = refused[i].request;
		vhost_fake.refuse_errno = ENOMEM;
		assert_int_equal(vhost_ring_start(t.vhost, RING, t.vp.v, QUEUE, &err), -ENOMEM);
		assert_non_null(strstr(err.message, refused[i].name));
		send(&t.vp, QUEUE, 1);
		loop_settle(t.vp.loop);
		assert_true(t.vp.echo->has_kept);
		vhost_fake_fail(RING);
		loop_settle(t.vp.loop);
		assert_int_equal(t.errors, 0);
		vhost_fake.refuse = 0;
		start_ring();
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cannot_open),
		cmocka_unit_test(test_features_and_memory),
		cmocka_unit_test(test_ring_is_told),
		cmocka_unit_test(test_stop_keeps_the_position),
		cmocka_unit_test(test_interrupt_moves),
		cmocka_unit_test(test_errors_of_a_ring),
		cmocka_unit_test(test_start_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
