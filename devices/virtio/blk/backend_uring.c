/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads, writes and flushes go through one ring; what io_uring knows no operation for, or would
 * hand to a thread of its own anyway, goes to worker threads. The image is not registered with the
 * ring: that would keep it open, and locked, for a while after this process is killed.
 */
#include <liburing.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "devices/virtio/blk/backend.h"

#define REAP_MAX     64
#define RETRY_AFTER  NSEC_PER_MSEC
#define SUBMIT_TRIES 8

struct uring {
	struct blk_backend b;
	struct io_uring ring;
	struct blk_pool *pool; /* owned */
	struct loop_source *ring_source, *pool_source;
	struct loop_timer *retry;
	/* In the submission queue and not taken by the kernel yet, oldest first. */
	struct blk_io *unsent, **unsent_last;
	bool broken; /* the kernel takes no more: everything goes to the threads */
};

static void reap_ring(struct uring *u)
{
	struct io_uring_cqe *cqes[REAP_MAX];
	unsigned int n;

	do {
		n = io_uring_peek_batch_cqe(&u->ring, cqes, REAP_MAX);
		for (unsigned int i = 0; i < n; i++) {
			struct blk_io *io = io_uring_cqe_get_data(cqes[i]);

			io->result = cqes[i]->res;
			io_uring_cqe_seen(&u->ring, cqes[i]);
			u->b.client.done(u->b.client.opaque, io);
		}
	} while (n == REAP_MAX);
}

static void reap_pool(struct uring *u)
{
	struct blk_io *io = blk_pool_reap(u->pool);

	while (io) {
		struct blk_io *next = io->next;

		u->b.client.done(u->b.client.opaque, io);
		io = next;
	}
}

static void on_ring(void *opaque, uint32_t events _unused_)
{
	struct uring *u = opaque;

	reap_ring(u);
	u->b.client.batch_done(u->b.client.opaque);
}

static void on_pool(void *opaque, uint32_t events _unused_)
{
	struct uring *u = opaque;

	reap_pool(u);
	u->b.client.batch_done(u->b.client.opaque);
}

/* Reads from the page cache are over when io_uring_enter(2) returns. */
static void uring_peek(struct blk_backend *b)
{
	struct uring *u = (struct uring *)b;

	if (io_uring_cq_ready(&u->ring))
		on_ring(u, 0);
}

static void send_to_kernel(struct uring *u);

static void on_retry(void *opaque)
{
	send_to_kernel(opaque);
}

static void uring_stop(struct blk_backend *b)
{
	struct uring *u = (struct uring *)b;

	loop_remove_fd(STEAL_PTR(u->ring_source));
	loop_remove_fd(STEAL_PTR(u->pool_source));
	loop_timer_free(STEAL_PTR(u->retry));
}

static int uring_start(struct blk_backend *b, struct loop *loop, struct error *err)
{
	struct uring *u = (struct uring *)b;
	int r = 0;

	if (!u->ring_source)
		r = loop_add_fd(loop, u->ring.ring_fd, EPOLLIN, on_ring, u, &u->ring_source, err);
	if (r == 0 && !u->pool_source)
		r = loop_add_fd(loop, blk_pool_fd(u->pool), EPOLLIN, on_pool, u, &u->pool_source,
				err);
	if (r == 0 && !u->retry)
		r = loop_timer_new(loop, on_retry, u, &u->retry, err);
	if (r < 0)
		uring_stop(b);
	else if (u->unsent)
		loop_timer_arm(u->retry, 0, 0);
	return r;
}

static bool is_for_ring(const struct uring *u, const struct blk_io *io)
{
	return !u->broken &&
	       (io->op == BLK_IO_READ || io->op == BLK_IO_WRITE || io->op == BLK_IO_FLUSH);
}

static void prepare(struct uring *u, struct io_uring_sqe *sqe, struct blk_io *io)
{
	int fd = u->b.image->fd;

	if (io->op == BLK_IO_FLUSH) {
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	} else if (io->op == BLK_IO_READ) {
		io_uring_prep_readv(sqe, fd, io->iov, io->iov_count, io->offset);
	} else {
		io_uring_prep_writev(sqe, fd, io->iov, io->iov_count, io->offset);
		sqe->rw_flags = io->through ? RWF_DSYNC : 0;
	}
	io_uring_sqe_set_data(sqe, io);
}

static void uring_submit(struct blk_backend *b, struct blk_io *io)
{
	struct uring *u = (struct uring *)b;
	struct io_uring_sqe *sqe = is_for_ring(u, io) ? io_uring_get_sqe(&u->ring) : NULL;

	/* The ring has room for all that may be in flight; a caller with more is served too. */
	if (!sqe) {
		blk_pool_submit(u->pool, io);
		return;
	}
	prepare(u, sqe, io);
	io->next = NULL;
	*u->unsent_last = io;
	u->unsent_last = &io->next;
}

static void drop_sent(struct uring *u, int count)
{
	while (count-- > 0 && u->unsent)
		u->unsent = u->unsent->next;
	if (!u->unsent)
		u->unsent_last = &u->unsent;
}

/* What the kernel does not take now it may take later; what it never will take the threads do. */
static void send_to_kernel(struct uring *u)
{
	int r = 0;

	for (unsigned int i = 0; i < SUBMIT_TRIES && u->unsent && !u->broken; i++) {
		r = io_uring_submit(&u->ring);
		if (r > 0)
			drop_sent(u, r);
		else if (r != -EINTR)
			break;
	}
	if (!u->unsent)
		return;
	if (r >= 0 || r == -EAGAIN || r == -EBUSY || r == -EINTR || r == -ENOMEM) {
		if (u->retry)
			loop_timer_arm(u->retry, RETRY_AFTER, 0);
		return;
	}
	log_warning("disk %s: io_uring gave up (%s); worker threads go on", u->b.image->path,
		    strerror(-r));
	u->broken = true;
	while (u->unsent) {
		struct blk_io *io = u->unsent;

		drop_sent(u, 1);
		blk_pool_submit(u->pool, io);
	}
}

static void uring_commit(struct blk_backend *b)
{
	struct uring *u = (struct uring *)b;

	if (u->unsent)
		send_to_kernel(u);
}

static void uring_wait(struct blk_backend *b, uint64_t deadline_ns)
{
	struct uring *u = (struct uring *)b;
	const int fds[] = {u->ring.ring_fd, blk_pool_fd(u->pool)};

	uring_commit(b);
	/* The retry's timer does not run in here. */
	if (u->unsent)
		deadline_ns = MIN_OF(deadline_ns, clock_monotonic_ns() + RETRY_AFTER);
	blk_poll(fds, ARRAY_SIZE(fds), deadline_ns);
	reap_ring(u);
	reap_pool(u);
	u->b.client.batch_done(u->b.client.opaque);
}

static void uring_free(struct blk_backend *b)
{
	struct uring *u = (struct uring *)b;

	uring_stop(b);
	io_uring_queue_exit(&u->ring);
	blk_pool_free(u->pool);
	free(u);
}

static const struct blk_backend_ops uring_ops = {
	.name = "io_uring",
	.start = uring_start,
	.stop = uring_stop,
	.submit = uring_submit,
	.commit = uring_commit,
	.peek = uring_peek,
	.wait = uring_wait,
	.free = uring_free,
};

/*
 * io_uring does what seccomp is not asked for: a ring takes these operations and no others, whoever
 * writes to it (io_uring_register(2), IORING_REGISTER_RESTRICTIONS).
 */
static int restrict_ring(struct io_uring *ring)
{
	static const uint8_t allowed[] = {IORING_OP_FSYNC, IORING_OP_READV, IORING_OP_WRITEV};
	struct io_uring_restriction rules[ARRAY_SIZE(allowed)] = {0};
	int r;

	for (unsigned int i = 0; i < ARRAY_SIZE(allowed); i++) {
		rules[i].opcode = IORING_RESTRICTION_SQE_OP;
		rules[i].sqe_op = allowed[i];
	}
	/* Debian's liburing has no functions for these two. */
	r = (int)syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, rules,
			 ARRAY_SIZE(rules));
	if (r == 0)
		r = (int)syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS,
				 NULL, 0);
	return r < 0 ? -errno : 0;
}

static int make_ring(struct io_uring *ring)
{
	int r = io_uring_queue_init(BLK_IN_FLIGHT_MAX, ring,
				    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_R_DISABLED);

	if (r == -EINVAL) /* before Linux 5.19 */
		r = io_uring_queue_init(BLK_IN_FLIGHT_MAX, ring, IORING_SETUP_R_DISABLED);
	if (r < 0)
		return r;
	r = restrict_ring(ring);
	if (r < 0)
		io_uring_queue_exit(ring);
	return r;
}

int blk_uring_new(const struct blk_image *image, const struct blk_backend_client *client,
		  struct blk_backend **ret, struct error *err)
{
	struct uring *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return error_set(err, -ENOMEM, "disk %s: out of memory", image->path);
	u->b = (struct blk_backend){&uring_ops, image, *client};
	u->unsent_last = &u->unsent;
	r = make_ring(&u->ring);
	if (r < 0) {
		error_sys(err, r, "disk %s: io_uring cannot be used", image->path);
		goto out_free;
	}
	r = blk_pool_new(image, &u->pool, err);
	if (r < 0)
		goto out_ring;
	*ret = &u->b;
	return 0;

out_ring:
	io_uring_queue_exit(&u->ring);
out_free:
	free(u);
	return r;
}
