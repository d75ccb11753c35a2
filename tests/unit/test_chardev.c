/* SPDX-License-Identifier: Apache-2.0 */
/* devices/chardev: every kind of backend against the real thing: pipes, sockets, files, terminals.
 */
#include "tests/unit/device_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#include "devices/chardev.h"

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

static void on_readable(void *opaque)
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

static void on_writable(void *opaque)
{
	struct fixture *f = opaque;

	f->writable++;
	chardev_watch(f->c, true, false);
}

static void on_quit(void *opaque)
{
	((struct fixture *)opaque)->quits++;
}

static int setup(void **state)
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

static int teardown(void **state)
{
	struct fixture *f = *state;

	chardev_free(f->c);
	loop_free(f->loop);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void take_client(struct fixture *f)
{
	struct chardev_client client = {
		.readable = on_readable, .writable = on_writable, .opaque = f};

	chardev_set_client(f->c, &client);
	chardev_watch(f->c, true, false);
}

static int open_kind(struct fixture *f, enum chardev_kind kind, struct error *err)
{
	struct chardev_params params = {
		.kind = kind, .path = f->path, .loop = f->loop, .quit = on_quit, .opaque = f};
	int r = chardev_new(&params, &f->c, err);

	if (r == 0)
		take_client(f);
	return r;
}

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

/* Standard input and output are replaced while `run` runs. */
static void with_stdio(int in, int out, void (*run)(struct fixture *f, int peer), struct fixture *f,
		       int peer)
{
	int saved_in = dup(STDIN_FILENO), saved_out;

	fflush(stdout);
	saved_out = dup(STDOUT_FILENO);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	run(f, peer);
	dup2(saved_in, STDIN_FILENO);
	dup2(saved_out, STDOUT_FILENO);
	close(saved_in);
	close(saved_out);
}

/* Collected here, asserted after stdout is back. */
struct seen {
	bool raw, opost, restored, shared_blocks;
	int opened;
	unsigned int output;
	char text[512];
};

static struct seen seen;

/* Asserting here would end up in the replaced stdout: a wait ends after ten seconds, and the checks
 * after it fail. */
#define run_until(f, condition)                                            \
	do {                                                               \
		for (unsigned int i_ = 0; i_ < 1000 && !(condition); i_++) \
			loop_run_once((f)->loop, 10);                      \
	} while (0)

static void type(int peer, const char *keys)
{
	if (write(peer, keys, strlen(keys)) < 0)
		abort();
}

static void run_terminal(struct fixture *f, int peer)
{
	struct termios before, during, after;
	unsigned int calls;
	ssize_t n;

	tcgetattr(STDIN_FILENO, &before);
	seen.opened = open_kind(f, CHARDEV_STDIO, NULL);
	if (seen.opened < 0)
		return;
	tcgetattr(STDIN_FILENO, &during);
	seen.raw = !(during.c_lflag & (ICANON | ECHO | ISIG)) && !(during.c_iflag & ICRNL);
	seen.opost = during.c_oflag & OPOST;
	seen.shared_blocks = !(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK) &&
			     !(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK);
	type(peer, "ab" CTRL_A "b"
		   "cd");
	run_until(f, f->input_size == 4);
	type(peer, CTRL_A CTRL_A "e\x03" CTRL_A "q");
	run_until(f, f->input_size == 7);
	calls = f->readable;
	type(peer, CTRL_A);
	run_until(f, f->readable > calls);
	type(peer, "h");
	run_until(f, (n = read(peer, seen.text, sizeof(seen.text) - 1)) > 0);
	type(peer, CTRL_A "x");
	run_until(f, f->quits == 1);
	chardev_free(f->c);
	f->c = NULL;
	tcgetattr(STDIN_FILENO, &after);
	seen.restored = before.c_lflag == after.c_lflag && before.c_iflag == after.c_iflag;
}

static void test_stdio_terminal(void **state)
{
	struct fixture *f = *state;
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	fcntl(master, F_SETFL, O_NONBLOCK);
	with_stdio(slave, slave, run_terminal, f, master);
	assert_int_equal(seen.opened, 0);
	assert_true(seen.raw);
	assert_true(seen.opost);
	assert_true(seen.shared_blocks);
	assert_true(seen.restored);
	/* ^C is the guest's; Ctrl-A q is nothing. */
	assert_int_equal(f->input_size, 7);
	assert_memory_equal(f->input,
			    "abcd\x01"
			    "e\x03",
			    7);
	assert_int_equal(f->breaks, 1);
	assert_int_equal(f->break_at, 2);
	assert_non_null(strstr(seen.text, "Ctrl-A x"));
	assert_int_equal(f->quits, 1);
	close(master);
	close(slave);
}

static void run_piped(struct fixture *f, int peer)
{
	seen.opened = open_kind(f, CHARDEV_STDIO, NULL);
	seen.shared_blocks = !(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK);
	type(peer, CTRL_A "x");
	run_until(f, f->input_size == 2);
	if (chardev_write(f->c, "out", 3) == 3)
		seen.output = 3;
	chardev_free(f->c);
	f->c = NULL;
}

static void test_stdio_pipes_are_transparent(void **state)
{
	struct fixture *f = *state;
	int in[2], out[2];

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(pipe(in) | pipe(out), 0);
	with_stdio(in[0], out[1], run_piped, f, in[1]);
	assert_int_equal(seen.opened, 0);
	assert_true(seen.shared_blocks);
	assert_int_equal(f->input_size, 2);
	assert_memory_equal(f->input, CTRL_A "x", 2);
	assert_int_equal(f->quits, 0);
	assert_int_equal(read(out[0], f->input, 8), 3);
	for (unsigned int i = 0; i < 2; i++)
		close(in[i]) || close(out[i]);
}

static void run_files(struct fixture *f, int peer _unused_)
{
	seen.opened = open_kind(f, CHARDEV_STDIO, NULL);
	run_until(f, f->ended);
	if (chardev_write(f->c, "new", 3) == 3)
		seen.output = 3;
	chardev_free(f->c);
	f->c = NULL;
}

/* epoll cannot watch regular files; their offsets are shared with the shell. */
static void test_stdio_regular_files(void **state)
{
	struct fixture *f = *state;
	int in = open(f->path, O_CREAT | O_RDWR, 0600), out;
	char buf[32] = {0};

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(write(in, "skipped taken", 13), 13);
	assert_int_equal(lseek(in, 8, SEEK_SET), 8);
	out = open(f->path, O_RDWR);
	assert_int_equal(lseek(out, 13, SEEK_SET), 13);
	with_stdio(in, out, run_files, f, 0);
	assert_int_equal(seen.output, 3);
	assert_memory_equal(f->input, "taken", 5);
	assert_int_equal(f->input_size, 5);
	assert_true(f->ended);
	assert_int_equal(pread(in, buf, sizeof(buf), 0), 16);
	assert_string_equal(buf, "skipped takennew");
	close(in);
	close(out);
}

static void test_stdio_sockets_get_their_flags_back(void **state)
{
	struct fixture *f = *state;
	int pair[2];

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	with_stdio(pair[0], pair[0], run_piped, f, pair[1]);
	assert_int_equal(seen.opened, 0);
	assert_int_equal(seen.output, 3);
	assert_memory_equal(f->input, CTRL_A "x", 2);
	assert_int_equal(fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
	close(pair[0]);
	close(pair[1]);
}

static void test_stdio_dev_null(void **state)
{
	struct fixture *f = *state;
	int null = open("/dev/null", O_RDWR);

	memset(&seen, 0, sizeof(seen));
	with_stdio(null, null, run_files, f, 0);
	assert_int_equal(seen.opened, 0);
	assert_true(f->ended);
	assert_int_equal(seen.output, 3);
	close(null);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
		T(test_stdio_terminal),
		T(test_stdio_pipes_are_transparent),
		T(test_stdio_regular_files),
		T(test_stdio_sockets_get_their_flags_back),
		T(test_stdio_dev_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
