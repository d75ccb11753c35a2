/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/chardev.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "base/util.h"
#include "devices/chardev_impl.h"

int chardev_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static void on_end(struct chardev *c, const struct chardev_end *end, uint32_t events)
{
	const uint32_t gone = EPOLLHUP | EPOLLERR;

	if (c->input_ended && end == &c->in && (events & gone) && c->ops->hangup) {
		c->ops->hangup(c);
		return;
	}
	if (end == &c->in && (events & (EPOLLIN | gone)) && c->want_read && !c->input_ended)
		c->client.readable(c->client.opaque);
	if ((end == &c->out || c->duplex) && (events & (EPOLLOUT | gone)) && c->want_write)
		c->client.writable(c->client.opaque);
}

static void on_in(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;

	on_end(c, &c->in, events);
}

static void on_out(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;

	on_end(c, &c->out, events);
}

static int end_add(struct chardev *c, struct chardev_end *end, uint32_t events)
{
	loop_fd_fn *fn = end == &c->in ? on_in : on_out;
	int fd = end->ready_fd >= 0 ? end->ready_fd : end->fd;
	int r = loop_add_fd(c->loop, fd, events, fn, c, &end->source, NULL);

	if (r != -EPERM || end->ready_fd >= 0)
		return r;
	/* Nobody reads it, so it stays readable and writable. */
	end->ready_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (end->ready_fd < 0)
		return -errno;
	return loop_add_fd(c->loop, end->ready_fd, events, fn, c, &end->source, NULL);
}

/* A hang-up is reported even where nothing is asked for, so an idle end is not in the loop at all.
 */
static void end_watch(struct chardev *c, struct chardev_end *end, bool wanted, uint32_t events)
{
	int r = 0;

	if (end->fd < 0 || !wanted) {
		loop_remove_fd(end->source);
		end->source = NULL;
	} else if (!end->source) {
		r = end_add(c, end, events);
	} else if (end->events != events) {
		r = loop_modify_fd(end->source, events);
	}
	end->events = events;
	if (r < 0)
		log_error("%s: cannot be watched any more: %s", c->path, strerror(-r));
}

void chardev_update(struct chardev *c)
{
	uint32_t in = c->want_read && !c->input_ended ? EPOLLIN : 0;
	uint32_t out = c->want_write && !c->output_ended ? EPOLLOUT : 0;
	/* After the end of its input a socket is kept only to see the peer go. */
	bool hangup = c->input_ended && c->ops->hangup;

	if (c->duplex) {
		end_watch(c, &c->in, in || out || hangup, in | out);
		return;
	}
	end_watch(c, &c->in, in != 0, in);
	end_watch(c, &c->out, out != 0, out);
}

void chardev_end_close(struct chardev_end *end)
{
	loop_remove_fd(end->source);
	end->source = NULL;
	close_fdp(&end->fd);
	close_fdp(&end->ready_fd);
}

ssize_t chardev_raw_read(struct chardev *c, void *buf, size_t size)
{
	ssize_t n;

	if (c->in.fd < 0 || c->input_ended)
		return c->waits_for_peer ? -EAGAIN : -EPIPE;
	do {
		n = read(c->in.fd, buf, size);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	/* Zero, a reset connection, a terminal that went away: all are the end. */
	c->input_ended = true;
	chardev_update(c);
	return c->waits_for_peer ? -EAGAIN : -EPIPE;
}

ssize_t chardev_read(struct chardev *c, void *buf, size_t size, bool *ret_break)
{
	*ret_break = false;
	if (size == 0)
		return -EAGAIN;
	if (c->ops->read)
		return c->ops->read(c, buf, size, ret_break);
	return chardev_raw_read(c, buf, size);
}

static int out_fd(const struct chardev *c)
{
	return c->duplex ? c->in.fd : c->out.fd;
}

ssize_t chardev_write(struct chardev *c, const void *data, size_t size)
{
	ssize_t n;

	if (!chardev_connected(c))
		return -EAGAIN;
	if (out_fd(c) < 0)
		return (ssize_t)size;
	do {
		n = write(out_fd(c), data, size);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN)
		return -EAGAIN;
	if (!c->waits_for_peer)
		return -errno;
	/* What the peer sent before it went is still to be read; the output waits for the next. */
	c->output_ended = true;
	chardev_update(c);
	return -EAGAIN;
}

bool chardev_connected(const struct chardev *c)
{
	return !c->waits_for_peer || (out_fd(c) >= 0 && !c->output_ended);
}

int chardev_wait_writable(struct chardev *c, int timeout_ms)
{
	struct pollfd p = {.fd = out_fd(c), .events = POLLOUT};
	int r;

	if (!chardev_connected(c))
		return -ENOTCONN;
	if (p.fd < 0)
		return 0;
	r = poll(&p, 1, timeout_ms);
	if (r < 0 && errno != EINTR)
		return -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

void chardev_watch(struct chardev *c, bool readable, bool writable)
{
	c->want_read = readable && c->client.readable;
	c->want_write = writable && c->client.writable;
	chardev_update(c);
}

void chardev_set_client(struct chardev *c, const struct chardev_client *client)
{
	c->client = client ? *client : (struct chardev_client){0};
	chardev_watch(c, false, false);
}

const char *chardev_path(const struct chardev *c)
{
	return c->path;
}

static const struct chardev_ops plain_ops = {0};

static int chardev_alloc(struct loop *loop, const char *path, struct chardev **ret,
			 struct error *err)
{
	struct chardev *c = calloc(1, sizeof(*c));

	if (c)
		c->path = strdup(path);
	if (!c || !c->path) {
		free(c);
		error_set(err, -ENOMEM, "%s: out of memory", path);
		return -ENOMEM;
	}
	c->ops = &plain_ops;
	c->loop = loop;
	c->in = c->out = (struct chardev_end){.fd = FD_NONE, .ready_fd = FD_NONE};
	*ret = c;
	return 0;
}

static int open_file(struct chardev *c, struct error *err)
{
	/* Non-blocking matters for a FIFO or a terminal at that path; a file does not mind. */
	c->out.fd = open(c->path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
			 0600);
	if (c->out.fd >= 0)
		return 0;
	if (errno == ENXIO)
		return error_set(err, -ENXIO,
				 "console %s: nobody reads this FIFO: start its reader first",
				 c->path);
	return error_sys(err, -errno, "console %s: cannot open the file for appending", c->path);
}

int chardev_new(const struct chardev_params *params, struct chardev **ret, struct error *err)
{
	static const char *const names[] = {
		[CHARDEV_OFF] = "off", [CHARDEV_STDIO] = "stdio", [CHARDEV_PTY] = "pty"};
	bool named = params->kind == CHARDEV_FILE || params->kind == CHARDEV_SOCKET;
	struct chardev *c;
	int r = chardev_alloc(params->loop, named ? params->path : names[params->kind], &c, err);

	if (r < 0)
		return r;
	c->quit = params->quit;
	c->opaque = params->opaque;
	switch (params->kind) {
	case CHARDEV_OFF:
		break;
	case CHARDEV_STDIO:
		r = chardev_open_stdio(c, err);
		break;
	case CHARDEV_PTY:
		r = chardev_open_pty(c, err);
		break;
	case CHARDEV_FILE:
		r = open_file(c, err);
		break;
	case CHARDEV_SOCKET:
		r = chardev_open_socket(c, err);
		break;
	}
	if (r < 0) {
		chardev_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int chardev_new_fds(struct loop *loop, int in_fd, int out_fd, struct chardev **ret,
		    struct error *err)
{
	_cleanup_fd_ int in = in_fd, out = in_fd == out_fd ? FD_NONE : out_fd;
	struct chardev *c;
	int r = chardev_alloc(loop, "descriptor", &c, err);

	if (r < 0)
		return r;
	c->duplex = in_fd == out_fd;
	r = in < 0 ? 0 : chardev_set_nonblock(in);
	if (r == 0 && out >= 0)
		r = chardev_set_nonblock(out);
	c->in.fd = steal_fd(&in);
	c->out.fd = steal_fd(&out);
	if (r < 0) {
		chardev_free(c);
		return error_sys(err, r, "console: cannot use descriptors %d and %d", in_fd,
				 out_fd);
	}
	*ret = c;
	return 0;
}

void chardev_free(struct chardev *c)
{
	if (!c)
		return;
	if (c->ops->close)
		c->ops->close(c);
	chardev_end_close(&c->in);
	chardev_end_close(&c->out);
	free(c->path);
	free(c);
}
