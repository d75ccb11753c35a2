/* SPDX-License-Identifier: Apache-2.0 */
/* devices/chardev: standard input and output, in every form a shell can give them. */
#include "tests/unit/chardev_test.h"

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
		assert_int_equal(close(in[i]) | close(out[i]), 0);
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
	const struct CMUnitTest tests[] = {
		T(test_stdio_terminal),	     T(test_stdio_pipes_are_transparent),
		T(test_stdio_regular_files), T(test_stdio_sockets_get_their_flags_back),
		T(test_stdio_dev_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
