/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who does a disk's operations: io_uring, or worker threads. A backend does them in any order and
 * any number at once, and tells each one's end on the device's loop.
 *
 * All functions belong to the thread of the device's loop, new and free excepted (nothing runs
 * then).
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_BLK_BACKEND_H
#define HOLDFAST_DEVICES_VIRTIO_BLK_BACKEND_H

#include "base/loop.h"
#include "devices/virtio/blk/image.h"

/* Operations at once; the caller keeps to it. */
#define BLK_IN_FLIGHT_MAX 256

struct blk_backend_client {
	/* One operation is over: io->result says how. New ones may be submitted in it. */
	void (*done)(void *opaque, struct blk_io *io);
	/* After all that were found over at once. */
	void (*batch_done)(void *opaque);
	void *opaque;
};

struct blk_backend;

struct blk_backend_ops {
	const char *name;
	/* Begins to tell ends on this loop. */
	int (*start)(struct blk_backend *b, struct loop *loop, struct error *err);
	/* Tells none any more but in wait(). Operations go on. Also when it was not started. */
	void (*stop)(struct blk_backend *b);
	/* Takes an operation; one that cannot be begun ends with an error like any other. It need
	 * not begin before commit(). io is the backend's until it is done. */
	void (*submit)(struct blk_backend *b, struct blk_io *io);
	void (*commit)(struct blk_backend *b);
	/* Tells what is over already where that costs no system call. May be NULL. */
	void (*peek)(struct blk_backend *b);
	/* Tells what is over, after waiting for one end at most until deadline_ns (CLOCK_MONOTONIC;
	 * 0: not at all, UINT64_MAX: for ever). Also while stopped. */
	void (*wait)(struct blk_backend *b, uint64_t deadline_ns);
	/* Nothing is in flight. */
	void (*free)(struct blk_backend *b);
};

/* First member of each implementation. */
struct blk_backend {
	const struct blk_backend_ops *ops;
	const struct blk_image *image; /* borrowed */
	struct blk_backend_client client;
};

typedef int blk_backend_new_fn(const struct blk_image *image,
			       const struct blk_backend_client *client, struct blk_backend **ret,
			       struct error *err);

/* -EPERM, -ENOSYS: the kernel has no io_uring, or does not let us use it. */
blk_backend_new_fn blk_uring_new;
blk_backend_new_fn blk_threads_new;
/* io_uring, or where that is missing or forbidden worker threads, which is told once. */
blk_backend_new_fn blk_backend_new_best;

/*
 * Worker threads: as many as there is to do, up to BLK_POOL_THREADS_MAX, none before the first
 * operation. For the backends.
 */
#define BLK_POOL_THREADS_MAX 16

struct blk_pool;

int blk_pool_new(const struct blk_image *image, struct blk_pool **ret, struct error *err);
void blk_pool_free(struct blk_pool *pool); /* nothing is in flight; NULL is fine */
void blk_pool_submit(struct blk_pool *pool, struct blk_io *io);
/* Readable while something is over. Borrowed. */
int blk_pool_fd(const struct blk_pool *pool);
/* What is over, linked by next, oldest first. NULL: nothing. */
struct blk_io *blk_pool_reap(struct blk_pool *pool);

/* backend.c: poll(2) of up to two descriptors until the deadline; true: one is readable. */
bool blk_poll(const int *fds, unsigned int count, uint64_t deadline_ns);

#endif
