/* SPDX-License-Identifier: Apache-2.0 */
/* devices/uart16550: output and input between a guest's thread and the loop's. */
#include "tests/unit/uart_test.h"

static unsigned int messages(struct fixture *f, char *text, size_t size)
{
	unsigned int count = 0;
	size_t used = 0;
	ssize_t n;

	while ((n = recv(f->peer, text + used, size - used - 1, MSG_DONTWAIT)) > 0) {
		used += (size_t)n;
		count++;
	}
	text[used] = '\0';
	return count;
}

static void test_a_line_is_one_write(void **state)
{
	struct fixture *f = *state;
	char text[512];

	print(f->u, "a line of output that a kernel prints, one character at a time\r\n");
	loop_settle(f->loop);
	assert_int_equal(messages(f, text, sizeof(text)), 1);
	assert_string_equal(text,
			    "a line of output that a kernel prints, one character at a time\r\n");
}

/* The loop that wakes at a line's first character leaves it for the rest. */
static void test_a_started_line_waits_for_its_end(void **state)
{
	struct fixture *f = *state;
	char text[64];

	print(f->u, "first half, ");
	assert_int_equal(loop_run_once(f->loop, 1000), 0);
	print(f->u, "second half\n");
	loop_settle(f->loop);
	assert_int_equal(messages(f, text, sizeof(text)), 1);
	assert_string_equal(text, "first half, second half\n");
}

static void test_a_heartbeat_without_newline_comes_by_itself(void **state)
{
	struct fixture *f = *state;
	struct pollfd p = {.fd = f->peer, .events = POLLIN};
	char text[16];

	print(f->u, "tick");
	loop_until(f->loop, poll(&p, 1, 0) == 1);
	assert_int_equal(messages(f, text, sizeof(text)), 1);
	assert_string_equal(text, "tick");
	print(f->u, "tock");
	loop_until(f->loop, poll(&p, 1, 0) == 1);
	assert_int_equal(messages(f, text, sizeof(text)), 1);
	assert_string_equal(text, "tock");
}

static void read_all(int fd, uint8_t *data, size_t max, size_t *ret_size, struct loop *loop)
{
	unsigned int idle = 0;

	*ret_size = 0;
	while (idle < 3) {
		ssize_t n = recv(fd, data + *ret_size, max - *ret_size, MSG_DONTWAIT);

		idle = n > 0 ? 0 : idle + 1;
		*ret_size += n > 0 ? (size_t)n : 0;
		loop_run_once(loop, 5);
	}
}

static void test_slow_reader_costs_the_oldest_output(void **state)
{
	struct fixture *f = *state;
	const uint32_t words = 200000;
	size_t size, max = words * sizeof(uint32_t);
	uint8_t *got = malloc(max);
	uint32_t last, expected = words - OUTPUT_KEPT / 4;

	/* The guest is never held up: this would hang if it were. */
	for (uint32_t w = 0; w < words; w++) {
		for (unsigned int i = 0; i < 4; i++)
			wr(f->u, SPEC_THR, (uint8_t)(w >> (8 * i)));
		if (w % 1000 == 0)
			loop_run_once(f->loop, 0);
	}
	loop_settle(f->loop);
	assert_int_equal(uart16550_stop(f->u, 10), -ETIMEDOUT);
	read_all(f->peer, got, max, &size, f->loop);
	assert_true(size < max);
	assert_true(size > OUTPUT_KEPT);
	/* The newest are all there. */
	for (size_t at = size - OUTPUT_KEPT; at < size; at += 4) {
		memcpy(&last, got + at, 4);
		assert_int_equal(last, expected++);
	}
	assert_int_equal(uart16550_stop(f->u, 1000), 0);
	/* And it goes on. */
	print(f->u, "back\n");
	read_all(f->peer, got, max, &size, f->loop);
	assert_int_equal(size, 5);
	assert_memory_equal(got, "back\n", 5);
	free(got);
}

/* A socket that nobody is connected to: who comes reads the newest bytes, exactly as many as
 * promised. */
static void test_late_client_reads_what_was_kept(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/holdfast-test-XXXXXX", path[64];
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct chardev_params params = {.kind = CHARDEV_SOCKET, .path = path, .loop = f->loop};
	struct fake_line line = {0};
	uint8_t *got = malloc(2 * OUTPUT_KEPT);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct chardev *backend;
	struct uart16550 *u;
	size_t size;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/c", dir);
	strcpy(addr.sun_path, path);
	assert_int_equal(chardev_new(&params, &backend, NULL), 0);
	u = new_uart(f->loop, backend, &line);
	uart16550_start(u);
	for (unsigned int i = 0; i < OUTPUT_KEPT + 777; i++)
		wr(u, SPEC_THR, (uint8_t)(i % 251));
	loop_settle(f->loop);
	assert_int_equal(uart16550_stop(u, 0), -ENOTCONN);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	loop_settle(f->loop);
	read_all(fd, got, 2 * OUTPUT_KEPT, &size, f->loop);
	assert_int_equal(size, OUTPUT_KEPT);
	for (unsigned int i = 0; i < OUTPUT_KEPT; i++)
		assert_int_equal(got[i], (i + 777) % 251);
	uart16550_free(u);
	chardev_free(backend);
	close(fd);
	rmdir(dir);
	free(got);
}

static void test_stop_hands_everything_over(void **state)
{
	struct fixture *f = *state;
	char text[64];

	print(f->u, "last words");
	assert_int_equal(uart16550_stop(f->u, 1000), 0);
	messages(f, text, sizeof(text));
	assert_string_equal(text, "last words");
	/* Stopped: input stays where it is; output still works. */
	type(f, "in", 2);
	print(f->u, "more\n");
	loop_settle(f->loop);
	assert_int_equal(rd(f->u, SPEC_LSR), SPEC_LSR_IDLE);
	messages(f, text, sizeof(text));
	assert_string_equal(text, "more\n");
	uart16550_start(f->u);
	loop_until(f->loop, rd(f->u, SPEC_LSR) & SPEC_LSR_DR);
	assert_int_equal(rd(f->u, SPEC_RBR), 'i');
}

static void test_reader_that_is_gone(void **state)
{
	struct fixture *f = *state;

	close(f->peer);
	f->peer = FD_NONE;
	for (unsigned int i = 0; i < 100; i++)
		print(f->u, "nobody reads this\n");
	loop_settle(f->loop);
	assert_int_equal(uart16550_stop(f->u, -1), 0);
}

static void test_no_backend(void **state)
{
	struct fixture *f = *state;
	struct fake_line line = {0};
	struct uart16550 *u = new_uart(f->loop, NULL, &line);

	uart16550_start(u);
	for (unsigned int i = 0; i < 100000; i++)
		wr(u, SPEC_THR, '\n');
	assert_int_equal(uart16550_stop(u, -1), 0);
	assert_int_equal(rd(u, SPEC_LSR), SPEC_LSR_IDLE);
	uart16550_free(u);
}

/* A break typed at a terminal: one zero character with BI when it comes to the top. */
static void test_break(void **state)
{
	struct fixture *f = *state;
	struct chardev_params params = {.kind = CHARDEV_STDIO, .loop = f->loop};
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave, saved = dup(STDIN_FILENO);
	struct fake_line line = {0};
	struct chardev *tty;
	struct uart16550 *u;
	uint8_t lsr;

	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	dup2(slave, STDIN_FILENO);
	assert_int_equal(chardev_new(&params, &tty, NULL), 0);
	dup2(saved, STDIN_FILENO);
	u = new_uart(f->loop, tty, &line);
	bring_up(u, SPEC_FCR_AT_4, SPEC_IER_LINE | SPEC_IER_RX);
	uart16550_start(u);
	assert_int_equal(write(master,
			       "a\x01"
			       "bc",
			       4),
			 4);
	/* In the FIFO, not at the top yet. */
	loop_until(f->loop, (lsr = rd(u, SPEC_LSR)) & SPEC_LSR_FIFOERR);
	assert_int_equal(lsr, SPEC_LSR_IDLE | SPEC_LSR_DR | SPEC_LSR_FIFOERR);
	assert_int_equal(rd(u, SPEC_RBR), 'a');
	assert_int_equal(rd(u, SPEC_IIR), SPEC_IIR_FIFOS | SPEC_IIR_LINE);
	lsr = rd(u, SPEC_LSR);
	assert_int_equal(lsr, SPEC_LSR_IDLE | SPEC_LSR_DR | SPEC_LSR_BI | SPEC_LSR_FIFOERR);
	assert_int_equal(rd(u, SPEC_LSR), SPEC_LSR_IDLE | SPEC_LSR_DR);
	assert_int_equal(rd(u, SPEC_RBR), 0);
	loop_until(f->loop, rd(u, SPEC_LSR) & SPEC_LSR_DR);
	assert_int_equal(rd(u, SPEC_RBR), 'c');
	uart16550_free(u);
	chardev_free(tty);
	close(master);
	close(slave);
	close(saved);
}

#define CHATTER 60000U

static void *chatter(void *opaque)
{
	struct uart16550 *u = opaque;

	for (unsigned int i = 0; i < CHATTER; i++) {
		wr(u, SPEC_THR, i % 61 == 60 ? '\n' : (uint8_t)('a' + i % 61));
		/* What is received is sent back, and the driver's usual reads. */
		rd(u, SPEC_IIR);
		if (rd(u, SPEC_LSR) & SPEC_LSR_DR)
			rd(u, SPEC_RBR);
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct fixture *f = *state;
	uint8_t *got = malloc(CHATTER);
	unsigned int used = 0;
	pthread_t thread;

	bring_up(f->u, SPEC_FCR_AT_8, 0x0f);
	assert_int_equal(pthread_create(&thread, NULL, chatter, f->u), 0);
	while (used < CHATTER) {
		ssize_t n = recv(f->peer, got + used, CHATTER - used, MSG_DONTWAIT);

		used += n > 0 ? (unsigned int)n : 0;
		/* A full socket here would only mean that the guest reads slowly. */
		if (send(f->peer, "typed", 5, MSG_DONTWAIT) < 0 && errno != EAGAIN)
			fail();
		assert_int_equal(loop_run_once(f->loop, 1), 0);
	}
	pthread_join(thread, NULL);
	/* Fewer than the buffer holds, so none may be lost. */
	for (unsigned int i = 0; i < CHATTER; i++)
		assert_int_equal(got[i], i % 61 == 60 ? '\n' : (uint8_t)('a' + i % 61));
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TM(test_a_line_is_one_write),
		TM(test_a_started_line_waits_for_its_end),
		TM(test_a_heartbeat_without_newline_comes_by_itself),
		T(test_slow_reader_costs_the_oldest_output),
		T(test_late_client_reads_what_was_kept),
		T(test_stop_hands_everything_over),
		T(test_reader_that_is_gone),
		T(test_no_backend),
		T(test_break),
		T(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
