/* SPDX-License-Identifier: Apache-2.0 */
/* A listening UNIX socket with at most one client; its descriptor comes and goes in c->in. */
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/util.h"
#include "devices/chardev_impl.h"

struct listener {
	int fd; /* owned */
	struct loop_source *source;
	/* Which file we made: by the time we end, another process may have put its own there. */
	dev_t dev;
	ino_t ino;
	struct log_ratelimit refused;
};

static void drop_peer(struct chardev *c)
{
	chardev_end_close(&c->in);
	c->input_ended = false;
	c->output_ended = false;
}

static void socket_hangup(struct chardev *c)
{
	log_debug("console %s: client disconnected", c->path);
	drop_peer(c);
}

/* A peer that is gone may still have input here which the guest does not take: it makes place. */
static bool peer_is_gone(const struct chardev *c)
{
	struct pollfd p = {.fd = c->in.fd, .events = 0};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static void on_connection(void *opaque, uint32_t events _unused_)
{
	struct chardev *c = opaque;
	struct listener *l = c->priv;
	_cleanup_fd_ int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (c->in.fd >= 0 && !peer_is_gone(c)) {
		log_ratelimited(&l->refused, LOG_LEVEL_INFO,
				"console %s: in use: another client was refused", c->path);
		return;
	}
	drop_peer(c);
	c->in.fd = steal_fd(&fd);
	chardev_update(c);
	log_debug("console %s: client connected", c->path);
}

static void socket_close(struct chardev *c)
{
	struct listener *l = c->priv;
	struct stat st;

	if (l->ino && lstat(c->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(c->path);
	loop_remove_fd(l->source);
	close_fdp(&l->fd);
	free(l);
}

static const struct chardev_ops socket_ops = {.hangup = socket_hangup, .close = socket_close};

int chardev_open_socket(struct chardev *c, struct error *err)
{
	struct listener *l = calloc(1, sizeof(*l));
	struct stat st;
	int r;

	if (!l)
		return error_set(err, -ENOMEM, "console %s: out of memory", c->path);
	l->fd = FD_NONE;
	c->priv = l;
	c->ops = &socket_ops;
	c->duplex = true;
	c->waits_for_peer = true;
	r = sock_listen(c->path, SOCK_STREAM, &l->fd, err);
	if (r < 0)
		return error_prefix(err, "console: ");
	if (lstat(c->path, &st) < 0)
		return error_sys(err, -errno, "console %s: the new socket is gone", c->path);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return loop_add_fd(c->loop, l->fd, EPOLLIN, on_connection, c, &l->source, err);
}
