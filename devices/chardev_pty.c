/* SPDX-License-Identifier: Apache-2.0 */
/* A new pseudo-terminal: a user opens its other side with any terminal program. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>

#include "base/util.h"
#include "devices/chardev_impl.h"

struct pty {
	/*
	 * Owned: the user's side, held open. Else the master reports a hang-up whenever no program
	 * has it open, and what was written then is lost.
	 */
	int slave_fd;
};

static void pty_close(struct chardev *c)
{
	struct pty *pty = c->priv;

	close_fdp(&pty->slave_fd);
	free(pty);
}

static const struct chardev_ops pty_ops = {.close = pty_close};

static int open_pair(struct chardev *c, struct pty *pty)
{
	char name[64];
	struct termios raw;

	c->in.fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (c->in.fd < 0 || grantpt(c->in.fd) < 0 || unlockpt(c->in.fd) < 0 ||
	    ptsname_r(c->in.fd, name, sizeof(name)) != 0)
		return -errno;
	pty->slave_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty->slave_fd < 0 || tcgetattr(pty->slave_fd, &raw) < 0)
		return -errno;
	/* No echo: what the guest prints must not come back as its input. */
	cfmakeraw(&raw);
	if (tcsetattr(pty->slave_fd, TCSANOW, &raw) < 0)
		return -errno;
	free(c->path);
	c->path = strdup(name);
	return c->path ? 0 : -ENOMEM;
}

int chardev_open_pty(struct chardev *c, struct error *err)
{
	struct pty *pty = calloc(1, sizeof(*pty));
	int r;

	if (!pty)
		return error_set(err, -ENOMEM, "console pty: out of memory");
	pty->slave_fd = FD_NONE;
	c->priv = pty;
	c->ops = &pty_ops;
	c->duplex = true;
	r = open_pair(c, pty);
	if (r < 0)
		return error_sys(
			err, r, "console pty: cannot make a pseudo-terminal: is /dev/pts mounted?");
	return 0;
}
