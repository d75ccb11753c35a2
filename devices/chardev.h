/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes of a serial port or console come from and go to: the host's side. Never blocks.
 * All functions belong to the loop's thread, and all callbacks come there.
 *
 * A resumed VM opens its backend again from the same configuration: a socket path is bound again, a
 * file is appended to, a pty has a new path.
 *
 * Writing to a pipe whose reader is gone raises SIGPIPE: the program must ignore it.
 */
#ifndef HOLDFAST_DEVICES_CHARDEV_H
#define HOLDFAST_DEVICES_CHARDEV_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"

struct chardev;

enum chardev_kind {
	CHARDEV_OFF,	/* output is discarded, there is no input */
	CHARDEV_STDIO,	/* the program's standard input and output */
	CHARDEV_PTY,	/* a new pseudo-terminal: chardev_path() names it */
	CHARDEV_FILE,	/* output is appended (made with mode 0600), there is no input */
	CHARDEV_SOCKET, /* UNIX stream socket, mode 0600: listens, serves one client at a time */
};

struct chardev_params {
	enum chardev_kind kind;
	const char *path; /* file and socket; borrowed for the call */
	struct loop *loop;
	/* Ctrl-A x was typed (stdio on a terminal). May be NULL. */
	void (*quit)(void *opaque);
	void *opaque;
};

/* The device at the front. Callbacks may call every function here but chardev_free(). */
struct chardev_client {
	void (*readable)(void *opaque); /* there may be input */
	void (*writable)(void *opaque); /* output may be taken again */
	void *opaque;
};

/*
 * Opens the backend. Errors name the path and the way out: -EADDRINUSE (another process listens on
 * the socket), -ENXIO (a FIFO without a reader), -EACCES, -ENOENT, ...
 *
 * Stdio: a terminal is put into raw mode (output processing stays on) until chardev_free(), and
 * Ctrl-A is an escape: Ctrl-A x quits, Ctrl-A b sends a break, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-A h
 * shows this. In a background job the terminal is left alone and nothing is read. Input that is no
 * terminal is passed as it is; at its end the guest goes on.
 */
int chardev_new(const struct chardev_params *params, struct chardev **ret, struct error *err);

/*
 * A backend on descriptors that are open already, e.g. passed in by another program. Takes both,
 * even on failure; FD_NONE for a direction that is not there; they may be the same descriptor. Sets
 * O_NONBLOCK.
 */
int chardev_new_fds(struct loop *loop, int in_fd, int out_fd, struct chardev **ret,
		    struct error *err);

/* Restores the terminal, removes the socket file if it is still ours. NULL is fine. */
void chardev_free(struct chardev *c);

/* "/dev/pts/7", the path of file or socket, "stdio", "off"; never NULL, valid until chardev_free().
 */
const char *chardev_path(const struct chardev *c);

/* Who is told; copied. One client; NULL takes it off. Nothing is watched until chardev_watch(). */
void chardev_set_client(struct chardev *c, const struct chardev_client *client);

/* Which callbacks are wanted from now on. They come again and again as long as the state lasts. */
void chardev_watch(struct chardev *c, bool readable, bool writable);

/*
 * Reads at most size bytes and returns their number. *ret_break: a break came after these bytes, of
 * which there may be none. -EAGAIN: nothing there now, or nobody connected; -EPIPE: no input will
 * come any more.
 */
ssize_t chardev_read(struct chardev *c, void *buf, size_t size, bool *ret_break);

/*
 * Writes at most size bytes. Returns the number taken; -EAGAIN: none now (slow reader, or nobody
 * connected to the socket): wait for writable. Any other error: these bytes cannot be written (full
 * disk, reader gone): the caller drops them.
 */
ssize_t chardev_write(struct chardev *c, const void *data, size_t size);

/* False only for a socket that nobody is connected to. */
bool chardev_connected(const struct chardev *c);

/*
 * Waits until output is taken. 0, -ETIMEDOUT, or -ENOTCONN: nobody is connected. For draining
 * before a freeze.
 */
int chardev_wait_writable(struct chardev *c, int timeout_ms);

#endif
