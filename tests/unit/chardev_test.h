/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of devices/chardev share: a client that notes what it is told. */
#ifndef HOLDFAST_TESTS_UNIT_CHARDEV_TEST_H
#define HOLDFAST_TESTS_UNIT_CHARDEV_TEST_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#include "devices/chardev.h"
#include "tests/unit/device_test.h"

#define CTRL_A "\x01"

struct fixture {
	struct loop *loop;
	struct chardev *c;
	char dir[64], path[96];
	unsigned int readable, writable, quits;
	char input[4096];
	size_t input_size;
	unsigned int breaks;
	size_t break_at; /* bytes of input before the last break */
	bool ended;
};

static inline void on_readable(void *opaque)
{
	struct fixture *f = opaque;
	bool line_break;
	ssize_t n = chardev_read(f->c, f->input + f->input_size, 16, &line_break);

	f->readable++;
	if (n > 0)
		f->input_size += (size_t)n;
	if (line_break) {
		f->breaks++;
		f->break_at = f->input_size;
	}
	if (n == -EPIPE) {
		f->ended = true;
		chardev_watch(f->c, false, false);
	}
}

static inline void on_writable(void *opaque)
{
	struct fixture *f = opaque;

	f->writable++;
	chardev_watch(f->c, true, false);
}

static inline void on_quit(void *opaque)
{
	((struct fixture *)opaque)->quits++;
}

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_new(&f->loop, NULL), 0);
	strcpy(f->dir, "/tmp/holdfast-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/c", f->dir);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	chardev_free(f->c);
	loop_free(f->loop);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static inline void take_client(struct fixture *f)
{
	struct chardev_client client = {
		.readable = on_readable, .writable = on_writable, .opaque = f};

	chardev_set_client(f->c, &client);
	chardev_watch(f->c, true, false);
}

static inline int open_kind(struct fixture *f, enum chardev_kind kind, struct error *err)
{
	struct chardev_params params = {
		.kind = kind, .path = f->path, .loop = f->loop, .quit = on_quit, .opaque = f};
	int r = chardev_new(&params, &f->c, err);

	if (r == 0)
		take_client(f);
	return r;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
