/* SPDX-License-Identifier: Apache-2.0 */
/* devices/chardev: off, files, pipes, sockets and pseudo-terminals, each the real thing. */
#include "tests/unit/chardev_test.h"

static void test_off(void **state)
{
	struct fixture *f = *state;
	bool line_break;
	char c;

	assert_int_equal(open_kind(f, CHARDEV_OFF, NULL), 0);
	assert_int_equal(chardev_write(f->c, "abc", 3), 3);
	assert_int_equal(chardev_read(f->c, &c, 1, &line_break), -EPIPE);
	assert_int_equal(chardev_wait_writable(f->c, 0), 0);
	assert_string_equal(chardev_path(f->c), "off");
}

static void test_file_is_appended_to(void **state)
{
	struct fixture *f = *state;
	char buf[16] = {0};
	struct stat st;
	int fd;

	assert_int_equal(open_kind(f, CHARDEV_FILE, NULL), 0);
	assert_int_equal(chardev_write(f->c, "one", 3), 3);
	chardev_free(f->c);
	assert_int_equal(open_kind(f, CHARDEV_FILE, NULL), 0);
	assert_int_equal(chardev_write(f->c, "two", 3), 3);
	loop_settle(f->loop);
	assert_false(f->ended); /* no input at all, so nothing to end */
	fd = open(f->path, O_RDONLY);
	assert_int_equal(read(fd, buf, sizeof(buf)), 6);
	assert_string_equal(buf, "onetwo");
	fstat(fd, &st);
	assert_int_equal(st.st_mode & 0777, 0600);
	close(fd);
	/* A file is always ready to be written. */
	chardev_watch(f->c, false, true);
	loop_until(f->loop, f->writable > 0);
}

static void test_file_errors_name_the_path(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	char good[96];

	strcpy(good, f->path);
	snprintf(f->path, sizeof(f->path), "%s/missing/c", f->dir);
	assert_int_equal(open_kind(f, CHARDEV_FILE, &err), -ENOENT);
	assert_non_null(strstr(err.message, f->path));
	strcpy(f->path, good);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_int_equal(open_kind(f, CHARDEV_FILE, &err), -ENXIO);
	assert_non_null(strstr(err.message, f->path));
	f->c = NULL;
}

static void test_full_disk_is_an_error_for_the_caller(void **state)
{
	struct fixture *f = *state;
	int fd = open("/dev/full", O_WRONLY);

	assert_int_equal(chardev_new_fds(f->loop, FD_NONE, fd, &f->c, NULL), 0);
	assert_int_equal(chardev_write(f->c, "x", 1), -ENOSPC);
}

static void test_pipes_never_block(void **state)
{
	struct fixture *f = *state;
	int in[2], out[2];
	char block[4096] = {0};
	ssize_t n, total = 0;

	assert_int_equal(pipe(in) | pipe(out), 0);
	assert_int_equal(chardev_new_fds(f->loop, in[0], out[1], &f->c, NULL), 0);
	take_client(f);
	while ((n = chardev_write(f->c, block, sizeof(block))) > 0)
		total += n;
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(chardev_wait_writable(f->c, 0), -ETIMEDOUT);
	chardev_watch(f->c, true, true);
	loop_settle(f->loop);
	assert_int_equal(f->writable, 0);
	while (total > 0)
		total -= read(out[0], block, sizeof(block));
	assert_int_equal(chardev_wait_writable(f->c, 1000), 0);
	loop_until(f->loop, f->writable == 1);

	/* Not wanted: stays in the pipe. */
	chardev_watch(f->c, false, false);
	assert_int_equal(write(in[1], "hello", 5), 5);
	loop_settle(f->loop);
	assert_int_equal(f->readable, 0);
	chardev_watch(f->c, true, false);
	loop_until(f->loop, f->input_size == 5);
	close(in[1]);
	loop_until(f->loop, f->ended);
	/* The reader goes: an error, and no signal. */
	close(out[0]);
	assert_int_equal(chardev_write(f->c, "x", 1), -EPIPE);
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void test_socket_serves_one_client_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char buf[16] = {0};
	int first, second;

	assert_int_equal(open_kind(f, CHARDEV_SOCKET, NULL), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_false(chardev_connected(f->c));
	assert_int_equal(chardev_write(f->c, "x", 1), -EAGAIN);
	assert_int_equal(chardev_wait_writable(f->c, 0), -ENOTCONN);
	chardev_watch(f->c, true, true);

	first = connect_to(f->path);
	loop_until(f->loop, f->writable == 1);
	assert_true(chardev_connected(f->c));
	second = connect_to(f->path);
	loop_settle(f->loop);
	/* Refused: closed by us. */
	assert_int_equal(read(second, buf, 1), 0);
	close(second);
	assert_int_equal(chardev_write(f->c, "out", 3), 3);
	assert_int_equal(read(first, buf, sizeof(buf)), 3);
	assert_int_equal(write(first, "in", 2), 2);
	loop_until(f->loop, f->input_size == 2);
	close(first);
	loop_until(f->loop, !chardev_connected(f->c));

	first = connect_to(f->path);
	loop_until(f->loop, chardev_connected(f->c));
	assert_int_equal(write(first, "!", 1), 1);
	loop_until(f->loop, f->input_size == 3);
	assert_memory_equal(f->input, "in!", 3);
	assert_false(f->ended);
	close(first);
}

/* `printf ... | socat - UNIX:c`: the client ends its input and goes on reading. */
static void test_socket_half_closed(void **state)
{
	struct fixture *f = *state;
	char buf[16];
	int fd;

	assert_int_equal(open_kind(f, CHARDEV_SOCKET, NULL), 0);
	fd = connect_to(f->path);
	loop_until(f->loop, chardev_connected(f->c));
	assert_int_equal(write(fd, "bye", 3), 3);
	shutdown(fd, SHUT_WR);
	loop_until(f->loop, f->input_size == 3);
	loop_settle(f->loop);
	assert_true(chardev_connected(f->c));
	assert_int_equal(chardev_write(f->c, "answer", 6), 6);
	assert_int_equal(read(fd, buf, sizeof(buf)), 6);
	close(fd);
	loop_until(f->loop, !chardev_connected(f->c));
}

/* A client that is gone, with input that the guest never took, does not keep others out. */
static void test_socket_dead_client_makes_place(void **state)
{
	struct fixture *f = *state;
	int fd, next;

	assert_int_equal(open_kind(f, CHARDEV_SOCKET, NULL), 0);
	fd = connect_to(f->path);
	loop_until(f->loop, chardev_connected(f->c));
	chardev_watch(f->c, false, false);
	assert_int_equal(write(fd, "old", 3), 3);
	close(fd);
	loop_settle(f->loop);
	next = connect_to(f->path);
	loop_settle(f->loop);
	assert_int_equal(write(next, "new", 3), 3);
	chardev_watch(f->c, true, false);
	loop_until(f->loop, f->input_size == 3);
	assert_memory_equal(f->input, "new", 3);
	close(next);
}

static void test_socket_path_is_bound_again(void **state)
{
	struct fixture *f = *state, other = *f;
	struct error err = ERROR_INIT;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	/* Left by a process that died: taken over. */
	strcpy(addr.sun_path, f->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(open_kind(f, CHARDEV_SOCKET, NULL), 0);
	/* In use: refused, and still there afterwards. */
	assert_int_equal(open_kind(&other, CHARDEV_SOCKET, &err), -EADDRINUSE);
	assert_non_null(strstr(err.message, f->path));
	assert_int_equal(stat(f->path, &st), 0);
	/* Somebody else's file at our path is not ours to remove. */
	assert_int_equal(unlink(f->path), 0);
	fd = open(f->path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	chardev_free(f->c);
	assert_int_equal(stat(f->path, &st), 0);
	unlink(f->path);
	/* Our own is. */
	assert_int_equal(open_kind(f, CHARDEV_SOCKET, NULL), 0);
	chardev_free(f->c);
	f->c = NULL;
	assert_int_equal(stat(f->path, &st), -1);
}

static void test_pty(void **state)
{
	struct fixture *f = *state;
	char buf[16] = {0};
	int fd;

	assert_int_equal(open_kind(f, CHARDEV_PTY, NULL), 0);
	assert_int_equal(strncmp(chardev_path(f->c), "/dev/pts/", 9), 0);
	/* Before anybody opens it: kept, and no hang-up that spins the loop. */
	assert_int_equal(chardev_write(f->c, "login\n", 6), 6);
	loop_settle(f->loop);
	assert_int_equal(f->readable, 0);
	for (unsigned int i = 1; i <= 2; i++) {
		fd = open(chardev_path(f->c), O_RDWR | O_NOCTTY);
		assert_true(fd >= 0);
		if (i == 1)
			assert_int_equal(read(fd, buf, sizeof(buf)), 6);
		assert_int_equal(write(fd, "me\r", 3), 3);
		loop_until(f->loop, f->input_size == 3 * i);
		close(fd);
		loop_settle(f->loop);
		assert_false(f->ended);
	}
	/* No echo, no translation. */
	assert_memory_equal(f->input, "me\rme\r", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_off),
		T(test_file_is_appended_to),
		T(test_file_errors_name_the_path),
		T(test_full_disk_is_an_error_for_the_caller),
		T(test_pipes_never_block),
		T(test_socket_serves_one_client_at_a_time),
		T(test_socket_half_closed),
		T(test_socket_dead_client_makes_place),
		T(test_socket_path_is_bound_again),
		T(test_pty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
