/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/epoll.h>

#include "base/util.h"
#include "devices/virtio/blk/backend.h"

struct threads {
	struct blk_backend b;
	struct blk_pool *pool; /* owned */
	struct loop_source *source;
};

static void deliver(struct threads *t)
{
	struct blk_io *io = blk_pool_reap(t->pool);

	if (!io)
		return;
	while (io) {
		struct blk_io *next = io->next;

		t->b.client.done(t->b.client.opaque, io);
		io = next;
	}
	t->b.client.batch_done(t->b.client.opaque);
}

static void on_over(void *opaque, uint32_t events _unused_)
{
	deliver(opaque);
}

static int threads_start(struct blk_backend *b, struct loop *loop, struct error *err)
{
	struct threads *t = (struct threads *)b;

	if (t->source)
		return 0;
	return loop_add_fd(loop, blk_pool_fd(t->pool), EPOLLIN, on_over, t, &t->source, err);
}

static void threads_stop(struct blk_backend *b)
{
	struct threads *t = (struct threads *)b;

	loop_remove_fd(STEAL_PTR(t->source));
}

static void threads_submit(struct blk_backend *b, struct blk_io *io)
{
	blk_pool_submit(((struct threads *)b)->pool, io);
}

static void threads_commit(struct blk_backend *b _unused_)
{
}

static void threads_wait(struct blk_backend *b, uint64_t deadline_ns)
{
	struct threads *t = (struct threads *)b;
	int fd = blk_pool_fd(t->pool);

	blk_poll(&fd, 1, deadline_ns);
	deliver(t);
}

static void threads_free(struct blk_backend *b)
{
	struct threads *t = (struct threads *)b;

	threads_stop(b);
	blk_pool_free(t->pool);
	free(t);
}

static const struct blk_backend_ops threads_ops = {
	.name = "threads",
	.start = threads_start,
	.stop = threads_stop,
	.submit = threads_submit,
	.commit = threads_commit,
	.wait = threads_wait,
	.free = threads_free,
};

int blk_threads_new(const struct blk_image *image, const struct blk_backend_client *client,
		    struct blk_backend **ret, struct error *err)
{
	struct threads *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return error_set(err, -ENOMEM, "disk %s: out of memory", image->path);
	t->b = (struct blk_backend){&threads_ops, image, *client};
	r = blk_pool_new(image, &t->pool, err);
	if (r < 0) {
		free(t);
		return r;
	}
	*ret = &t->b;
	return 0;
}
