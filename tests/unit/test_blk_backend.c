/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/blk/backend: an io_uring that is missing, forbidden, full, or gives up. The kernel
 * answers what the test says. */
#include <liburing.h>

#include "base/clock.h"
#include "tests/unit/blk_test.h"

int __real_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

static int init_result; /* negative: what every io_uring_queue_init() gives */
static unsigned int refused_flags;
static int submit_result;	  /* negative: what io_uring_submit() gives ... */
static unsigned int submit_fails; /* ... so often */

int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
	if (init_result < 0)
		return init_result;
	if (flags & refused_flags)
		return -EINVAL;
	return __real_io_uring_queue_init(entries, ring, flags);
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
	if (submit_fails == 0)
		return __real_io_uring_submit(ring);
	submit_fails--;
	return submit_result;
}

static struct blk_test t;

static void reset_kernel(void)
{
	init_result = submit_result = 0;
	refused_flags = submit_fails = 0;
}

static void assert_serves(void)
{
	memset(blk_test_data(&t, 0), 0x21, 512);
	assert_int_equal(blk_test_do(&t, SPEC_T_OUT, 4, 0, 512, NULL), SPEC_S_OK);
	assert_int_equal(blk_test_do(&t, SPEC_T_IN, 4, 4096, 512, NULL), SPEC_S_OK);
	assert_int_equal(*blk_test_data(&t, 4096), 0x21);
	assert_int_equal(blk_test_do(&t, SPEC_T_FLUSH, 0, 0, 0, NULL), SPEC_S_OK);
}

static void test_fallback(void **state _unused_)
{
	static const int reasons[] = {-EPERM, -ENOSYS, -EACCES, -ENOMEM};

	for (unsigned int i = 0; i < ARRAY_SIZE(reasons); i++) {
		reset_kernel();
		init_result = reasons[i];
		blk_test_start(&t, NULL, SPEC_F_FLUSH);
		assert_string_equal(virtio_blk_backend_name(t.blk), "threads");
		assert_serves();
		blk_test_end(&t);
	}
	reset_kernel();
}

static void test_no_fallback(void **state _unused_)
{
	struct virtio_blk *blk;
	struct error err = ERROR_INIT;

	reset_kernel();
	blk_test_start(&t, NULL, SPEC_F_FLUSH);
	assert_string_equal(virtio_blk_backend_name(t.blk), "io_uring");
	t.config.lock = false;
	/* No descriptors left is no reason to be slow for ever after. */
	init_result = -EMFILE;
	assert_int_equal(virtio_blk_new(&t.config, &blk, &err), -EMFILE);
	assert_non_null(strstr(err.message, t.config.path));
	init_result = -EPERM;
	assert_int_equal(blk_new_with_backend(&t.config, blk_uring_new, &blk, &err), -EPERM);
	reset_kernel();
	t.config.disable_io_uring = true;
	assert_int_equal(virtio_blk_new(&t.config, &blk, &err), 0);
	assert_string_equal(virtio_blk_backend_name(blk), "threads");
	virtio_blk_free(blk);
	blk_test_end(&t);
}

static void test_older_kernel(void **state _unused_)
{
	reset_kernel();
	refused_flags = IORING_SETUP_COOP_TASKRUN;
	blk_test_start(&t, blk_uring_new, SPEC_F_FLUSH);
	assert_serves();
	blk_test_end(&t);
	reset_kernel();
}

/* Refused for now: tried again, also while a freeze or a reset waits. */
static void test_busy(void **state _unused_)
{
	static const int reasons[] = {-EAGAIN, -EBUSY, -EINTR};

	for (unsigned int i = 0; i < ARRAY_SIZE(reasons); i++) {
		reset_kernel();
		blk_test_start(&t, blk_uring_new, SPEC_F_FLUSH);
		submit_result = reasons[i];
		submit_fails = 30;
		assert_serves();
		submit_fails = 30;
		blk_test_send(&t, 0, SPEC_T_IN, 3, 0, 512);
		loop_run_once(t.loop, 100);
		assert_int_equal(
			virtio_pci_drain(t.v, clock_monotonic_ns() + 30 * NSEC_PER_SEC, NULL), 0);
		assert_int_equal(blk_test_status(&t, t.next - 1), SPEC_S_OK);
		virtio_pci_thaw(t.v);
		blk_test_used(&t, 0);
		/* Not begun when the deadline comes: begun after the thaw. */
		submit_fails = 30;
		blk_test_send(&t, 0, SPEC_T_IN, 3, 0, 512);
		loop_run_once(t.loop, 100);
		assert_int_equal(virtio_pci_drain(t.v, 0, NULL), 0);
		virtio_pci_thaw(t.v);
		assert_int_equal(blk_test_used(&t, 0), 513);
		submit_fails = 30;
		blk_test_send(&t, 0, SPEC_T_IN, 3, 0, 512);
		loop_run_once(t.loop, 100);
		blk_test_end(&t);
	}
	reset_kernel();
}

/* Forbidden in mid-life: what was not begun and what comes goes to the threads, all of it once. */
static void test_gives_up(void **state _unused_)
{
	reset_kernel();
	blk_test_start(&t, blk_uring_new, SPEC_F_FLUSH);
	submit_result = -EPERM;
	submit_fails = 1;
	for (unsigned int i = 0; i < 8; i++)
		blk_test_send(&t, 0, SPEC_T_IN, i, 4096 * i, 512);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(blk_test_used(&t, 0), 513);
	blk_test_none_used(&t, 0);
	assert_serves();
	blk_test_end(&t);
	reset_kernel();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fallback),     cmocka_unit_test(test_no_fallback),
		cmocka_unit_test(test_older_kernel), cmocka_unit_test(test_busy),
		cmocka_unit_test(test_gives_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
