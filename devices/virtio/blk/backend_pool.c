/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "base/util.h"
#include "devices/virtio/blk/backend.h"

/* A list with its end, linked by blk_io.next. */
struct io_list {
	struct blk_io *first, **last;
};

struct blk_pool {
	const struct blk_image *image;
	int fd; /* owned eventfd: something is in `over` */
	pthread_mutex_t lock;
	pthread_cond_t work;
	/* Under the lock. */
	struct io_list todo, over;
	unsigned int queued, idle;
	bool ending;
	/* The submitter's. */
	unsigned int thread_count;
	pthread_t threads[BLK_POOL_THREADS_MAX];
};

static void list_init(struct io_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_append(struct io_list *list, struct blk_io *io)
{
	io->next = NULL;
	*list->last = io;
	list->last = &io->next;
}

static struct blk_io *list_take_first(struct io_list *list)
{
	struct blk_io *io = list->first;

	list->first = io->next;
	if (!list->first)
		list->last = &list->first;
	return io;
}

/* Lock held. */
static void tell_over(struct blk_pool *pool, struct blk_io *io)
{
	uint64_t one = 1;
	bool was_empty = !pool->over.first;

	list_append(&pool->over, io);
	/* Read before the list is taken, so one write per list is enough; it cannot be full. */
	if (was_empty && write(pool->fd, &one, sizeof(one)) < 0)
		return;
}

static void *worker(void *opaque)
{
	struct blk_pool *pool = opaque;

	pthread_setname_np(pthread_self(), "blk-worker");
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct blk_io *io;

		pool->idle++;
		while (!pool->todo.first && !pool->ending)
			pthread_cond_wait(&pool->work, &pool->lock);
		pool->idle--;
		if (!pool->todo.first)
			break;
		io = list_take_first(&pool->todo);
		pool->queued--;
		pthread_mutex_unlock(&pool->lock);
		io->result = blk_image_do(pool->image, io);
		pthread_mutex_lock(&pool->lock);
		tell_over(pool, io);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

int blk_pool_new(const struct blk_image *image, struct blk_pool **ret, struct error *err)
{
	struct blk_pool *pool = calloc(1, sizeof(*pool));
	int r;

	if (!pool)
		return error_set(err, -ENOMEM, "disk %s: out of memory", image->path);
	pool->image = image;
	pool->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->fd < 0) {
		r = error_sys(err, -errno, "disk %s: cannot create an eventfd", image->path);
		free(pool);
		return r;
	}
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	list_init(&pool->todo);
	list_init(&pool->over);
	*ret = pool;
	return 0;
}

void blk_pool_free(struct blk_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->ending = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned int i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	close_fdp(&pool->fd);
	free(pool);
}

static int add_thread(struct blk_pool *pool)
{
	sigset_t all, old;
	int r;

	/* Signals belong to the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&pool->threads[pool->thread_count], NULL, worker, pool);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		pool->thread_count++;
	return r;
}

void blk_pool_submit(struct blk_pool *pool, struct blk_io *io)
{
	bool more;

	pthread_mutex_lock(&pool->lock);
	list_append(&pool->todo, io);
	pool->queued++;
	more = pool->queued > pool->idle && pool->thread_count < BLK_POOL_THREADS_MAX;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	/* Fewer threads than wished for are slower; without any nothing would ever end. */
	if (!more || add_thread(pool) == 0 || pool->thread_count > 0)
		return;
	pthread_mutex_lock(&pool->lock);
	io = list_take_first(&pool->todo);
	pool->queued--;
	io->result = -EAGAIN;
	tell_over(pool, io);
	pthread_mutex_unlock(&pool->lock);
}

int blk_pool_fd(const struct blk_pool *pool)
{
	return pool->fd;
}

struct blk_io *blk_pool_reap(struct blk_pool *pool)
{
	struct blk_io *first;
	uint64_t value;

	/* Before the list, so that what comes meanwhile makes it readable again. */
	if (read(pool->fd, &value, sizeof(value)) < 0 && errno != EAGAIN)
		return NULL;
	pthread_mutex_lock(&pool->lock);
	first = pool->over.first;
	list_init(&pool->over);
	pthread_mutex_unlock(&pool->lock);
	return first;
}
