/* SPDX-License-Identifier: Apache-2.0 */
/* Inside devices/chardev*.c only: what the kinds of backend share. */
#ifndef HOLDFAST_DEVICES_CHARDEV_IMPL_H
#define HOLDFAST_DEVICES_CHARDEV_IMPL_H

#include <stdint.h>

#include "devices/chardev.h"

struct chardev;

/* What differs between the kinds. Members may be NULL. */
struct chardev_ops {
	/* Instead of read(2): returns as chardev_read() does. */
	ssize_t (*read)(struct chardev *c, void *buf, size_t size, bool *ret_break);
	/* The peer is gone for good: makes place for the next. */
	void (*hangup)(struct chardev *c);
	/* Before the descriptors are closed; frees c->priv. */
	void (*close)(struct chardev *c);
};

/*
 * One direction of a stream. A descriptor that epoll cannot watch (a regular file, /dev/null) is
 * always ready: an eventfd that is never drained stands in for it.
 */
struct chardev_end {
	int fd;	      /* owned, or FD_NONE */
	int ready_fd; /* owned: what is watched in its place, or FD_NONE */
	struct loop_source *source;
	uint32_t events; /* what source watches */
};

struct chardev {
	const struct chardev_ops *ops;
	void *priv;
	struct loop *loop;
	struct chardev_client client;
	char *path; /* owned */
	/* A descriptor for both directions is in `in` only and out.fd is FD_NONE: see duplex. */
	struct chardev_end in, out;
	bool duplex;
	bool want_read, want_write;
	bool input_ended;    /* end of file, or the peer writes no more */
	bool output_ended;   /* socket: the peer reads no more; output waits for the next one */
	bool waits_for_peer; /* socket: descriptors come and go */
	void (*quit)(void *opaque);
	void *opaque;
};

int chardev_open_stdio(struct chardev *c, struct error *err);
int chardev_open_pty(struct chardev *c, struct error *err);
int chardev_open_socket(struct chardev *c, struct error *err);

/* Sets O_NONBLOCK. */
int chardev_set_nonblock(int fd);
/* Makes the watches fit what is wanted and open. */
void chardev_update(struct chardev *c);
/* Stops watching the end and closes it. */
void chardev_end_close(struct chardev_end *end);
/* read(2) with the results of chardev_read(). */
ssize_t chardev_raw_read(struct chardev *c, void *buf, size_t size);

#endif
