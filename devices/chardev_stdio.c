/* SPDX-License-Identifier: Apache-2.0 */
/* Standard input and output, with the terminal in raw mode and an escape key. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/log.h"
#include "base/util.h"
#include "devices/chardev_impl.h"

#define ESCAPE_KEY 0x01 /* Ctrl-A */

static const char help_text[] = "\r\nCtrl-A x  quit\r\n"
				"Ctrl-A b  send a break\r\n"
				"Ctrl-A Ctrl-A  send Ctrl-A\r\n"
				"Ctrl-A h  this help\r\n";

/* A descriptor shared with other programs whose flags we had to change. */
struct borrowed_flags {
	int fd; /* borrowed: the program's own 0 or 1; FD_NONE: nothing to restore */
	int flags;
};

struct stdio {
	bool terminal;
	bool escaped; /* the escape key was the last one */
	struct termios saved;
	struct borrowed_flags flags[2];
};

/*
 * A non-blocking descriptor for what fd is. O_NONBLOCK belongs to the open file, which the shell
 * and others share: so it is opened anew where that is possible. A regular file must keep its
 * offset and never blocks; a socket cannot be opened: its flag is changed and restored at the end.
 */
static int open_again(int fd, int flags, struct borrowed_flags *borrowed)
{
	char path[32];
	struct stat st;
	int copy, old;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode)) {
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		return copy < 0 ? -errno : copy;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (copy >= 0)
		return copy;
	old = fcntl(fd, F_GETFL);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (old < 0 || copy < 0 || fcntl(copy, F_SETFL, old | O_NONBLOCK) < 0) {
		int r = -errno;

		close_fdp(&copy);
		return r;
	}
	*borrowed = (struct borrowed_flags){.fd = fd, .flags = old};
	return copy;
}

static ssize_t escape_command(struct chardev *c, uint8_t key, bool *ret_break)
{
	switch (key) {
	case ESCAPE_KEY:
		return 1;
	case 'x':
		if (c->quit)
			c->quit(c->opaque);
		return 0;
	case 'b':
		*ret_break = true;
		return 0;
	case 'h':
	case '?':
		/* A terminal that takes no help takes none. */
		if (chardev_write(c, help_text, sizeof(help_text) - 1) < 0)
			return 0;
		return 0;
	default:
		return 0;
	}
}

/* Byte by byte, so that a break stands where it was typed. A person types, so this costs nothing.
 */
static ssize_t stdio_read(struct chardev *c, void *buf, size_t size, bool *ret_break)
{
	struct stdio *s = c->priv;
	uint8_t *bytes = buf;
	size_t n = 0;

	if (!s->terminal)
		return chardev_raw_read(c, buf, size);
	while (n < size && !*ret_break) {
		ssize_t r = chardev_raw_read(c, bytes + n, 1);

		if (r < 0)
			return n > 0 ? (ssize_t)n : r;
		if (s->escaped) {
			s->escaped = false;
			n += (size_t)escape_command(c, bytes[n], ret_break);
		} else if (bytes[n] == ESCAPE_KEY) {
			s->escaped = true;
		} else {
			n++;
		}
	}
	return (ssize_t)n;
}

static void stdio_close(struct chardev *c)
{
	struct stdio *s = c->priv;

	if (s->terminal)
		tcsetattr(c->in.fd, TCSANOW, &s->saved);
	for (unsigned int i = 0; i < ARRAY_SIZE(s->flags); i++) {
		if (s->flags[i].fd >= 0)
			fcntl(s->flags[i].fd, F_SETFL, s->flags[i].flags);
	}
	free(s);
}

static const struct chardev_ops stdio_ops = {.read = stdio_read, .close = stdio_close};

static int set_raw(struct chardev *c, struct stdio *s, struct error *err)
{
	pid_t foreground = tcgetpgrp(c->in.fd);
	struct termios raw;

	/* The kernel would stop us. Another process owns the terminal now: leave it alone. */
	if (foreground > 0 && foreground != getpgrp()) {
		log_info("console stdio: in the background: no input is read from the terminal");
		close_fdp(&c->in.fd);
		return 0;
	}
	if (tcgetattr(c->in.fd, &s->saved) < 0)
		return error_sys(err, -errno, "console stdio: cannot read the terminal's settings");
	raw = s->saved;
	cfmakeraw(&raw);
	/* Our own log goes to the same screen with bare newlines. */
	raw.c_oflag |= OPOST;
	if (tcsetattr(c->in.fd, TCSANOW, &raw) < 0)
		return error_sys(err, -errno,
				 "console stdio: cannot put the terminal into raw mode");
	s->terminal = true;
	return 0;
}

int chardev_open_stdio(struct chardev *c, struct error *err)
{
	struct stdio *s = calloc(1, sizeof(*s));

	if (!s)
		return error_set(err, -ENOMEM, "console stdio: out of memory");
	s->flags[0].fd = s->flags[1].fd = FD_NONE;
	c->priv = s;
	c->ops = &stdio_ops;
	c->out.fd = open_again(STDOUT_FILENO, O_WRONLY, &s->flags[1]);
	if (c->out.fd < 0)
		return error_sys(err, c->out.fd, "console stdio: cannot use the standard output");
	/* A program started without standard input has no input: nothing wrong with that. */
	c->in.fd = open_again(STDIN_FILENO, O_RDONLY, &s->flags[0]);
	if (c->in.fd >= 0 && isatty(c->in.fd))
		return set_raw(c, s, err);
	return 0;
}
