/* SPDX-License-Identifier: Apache-2.0 */
/* The side of the loop's thread: output, input, and the receiver's time-out. */
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "devices/uart16550_impl.h"

#define FLUSH_CHUNK    4096
#define FLUSH_CHUNKS   32 /* in one go: other devices want the loop, too */
#define FLUSH_DELAY_NS (2 * NSEC_PER_MSEC)
#define BASE_BAUD      115200ULL /* 1.8432 MHz / 16 */

static void report_drops(struct uart16550 *u, uint64_t dropped)
{
	/* That nobody is connected is no fault: the newest output is kept for who comes. */
	if (dropped == 0 || !chardev_connected(u->backend))
		return;
	log_ratelimited(&u->drop_log, LOG_LEVEL_WARNING,
			"console %s: its reader does not keep up: %llu bytes of output dropped",
			chardev_path(u->backend), (unsigned long long)dropped);
}

/* What the backend did with the chunk at `position`. False: no more for now. */
static bool chunk_written(struct uart16550 *u, uint64_t position, size_t size, ssize_t result)
{
	bool go_on = result != -EAGAIN;

	if (go_on && result < 0)
		log_ratelimited(&u->error_log, LOG_LEVEL_WARNING,
				"console %s: cannot be written, output is lost: %s",
				chardev_path(u->backend), strerror((int)-result));
	pthread_mutex_lock(&u->lock);
	u->blocked = !go_on;
	if (go_on)
		output_ring_take_to(&u->output, position + (result < 0 ? size : (uint64_t)result));
	pthread_mutex_unlock(&u->lock);
	return go_on;
}

/* Writes what is there, or until the backend takes no more. */
static void flush(struct uart16550 *u)
{
	uint8_t chunk[FLUSH_CHUNK];
	uint64_t position, dropped = 0;
	size_t size;

	for (unsigned int i = 0; i < FLUSH_CHUNKS; i++) {
		pthread_mutex_lock(&u->lock);
		size = output_ring_peek(&u->output, chunk, sizeof(chunk), &position);
		if (size == 0) {
			u->flush_now = false;
			dropped = u->dropped;
			u->dropped = 0;
		}
		pthread_mutex_unlock(&u->lock);
		if (size == 0) {
			report_drops(u, dropped);
			return;
		}
		if (!chunk_written(u, position, size, chardev_write(u->backend, chunk, size)))
			return;
	}
	pthread_mutex_lock(&u->lock);
	uart16550_kick(u);
	pthread_mutex_unlock(&u->lock);
}

/* Data sheet, "FIFO interrupt mode operation": four character times. */
static uint64_t timeout_ns(const struct uart16550_regs *regs)
{
	uint64_t bits = 1 + 5 + (regs->lcr & LCR_WORD) + (regs->lcr & LCR_PARITY ? 1 : 0) +
			(regs->lcr & LCR_STOP ? 2 : 1);
	uint64_t divisor = MAX_OF(regs->divisor, 1);

	return 4 * bits * divisor * NSEC_PER_SEC / BASE_BAUD;
}

static void check_timeout(struct uart16550 *u)
{
	struct uart16550_regs *regs = &u->regs;
	uint64_t now = clock_monotonic_ns(), due;
	bool arm = false;

	pthread_mutex_lock(&u->lock);
	due = u->last_rx_ns + timeout_ns(regs);
	if ((regs->fcr & FCR_ENABLE) && regs->fifo.count > 0 && !regs->timeout_pending) {
		arm = now < due;
		if (!arm) {
			regs->timeout_pending = true;
			uart16550_update_irq(u);
		}
	}
	u->timeout_armed = arm;
	pthread_mutex_unlock(&u->lock);
	if (arm)
		loop_timer_arm(u->timeout_timer, due - now, 0);
}

static void update_watch(struct uart16550 *u)
{
	bool input;

	if (!u->backend)
		return;
	pthread_mutex_lock(&u->lock);
	input = u->started && !u->input_ended && uart16550_room(u) > 0;
	u->input_off = u->started && !u->input_ended && !input;
	pthread_mutex_unlock(&u->lock);
	chardev_watch(u->backend, input, u->blocked);
}

static void on_readable(void *opaque)
{
	struct uart16550 *u = opaque;
	uint8_t buf[UART_FIFO_SIZE];
	bool line_break = false;
	unsigned int room;
	ssize_t n = 0;

	pthread_mutex_lock(&u->lock);
	room = uart16550_room(u);
	pthread_mutex_unlock(&u->lock);
	if (room > 0)
		n = chardev_read(u->backend, buf, room, &line_break);
	if (n == -EPIPE)
		u->input_ended = true;
	pthread_mutex_lock(&u->lock);
	for (ssize_t i = 0; i < n; i++)
		uart16550_receive(u, buf[i], 0);
	/* Line Status Register: a break is one zero character. */
	if (line_break)
		uart16550_receive(u, 0, LSR_BREAK);
	uart16550_update_irq(u);
	pthread_mutex_unlock(&u->lock);
	check_timeout(u);
	update_watch(u);
}

static void on_writable(void *opaque)
{
	struct uart16550 *u = opaque;

	flush(u);
	update_watch(u);
}

static void on_flush_timer(void *opaque)
{
	on_writable(opaque);
}

static void on_timeout_timer(void *opaque)
{
	check_timeout(opaque);
}

/* A vCPU did something that is for the loop to go on with. */
static void on_kick(void *opaque)
{
	struct uart16550 *u = opaque;
	uint64_t dropped;
	bool now;
	size_t used;

	pthread_mutex_lock(&u->lock);
	u->kicked = false;
	now = u->flush_now;
	used = output_ring_used(&u->output);
	dropped = u->dropped;
	pthread_mutex_unlock(&u->lock);
	if (u->backend && u->blocked)
		report_drops(u, dropped);
	else if (u->backend && now)
		flush(u);
	else if (u->backend && used > 0)
		loop_timer_arm(u->flush_timer, FLUSH_DELAY_NS, 0);
	check_timeout(u);
	update_watch(u);
}

void uart16550_start(struct uart16550 *u)
{
	u->started = true;
	update_watch(u);
}

static bool output_is_empty(struct uart16550 *u)
{
	bool empty;

	pthread_mutex_lock(&u->lock);
	empty = output_ring_used(&u->output) == 0;
	pthread_mutex_unlock(&u->lock);
	return empty;
}

int uart16550_stop(struct uart16550 *u, int timeout_ms)
{
	uint64_t start = clock_monotonic_ns();
	int r = 0;

	u->started = false;
	while (u->backend && r == 0) {
		uint64_t spent_ms = (clock_monotonic_ns() - start) / NSEC_PER_MSEC;

		flush(u);
		if (output_is_empty(u))
			break;
		if (timeout_ms < 0)
			r = chardev_wait_writable(u->backend, -1);
		else if (spent_ms >= (uint64_t)timeout_ms)
			r = chardev_connected(u->backend) ? -ETIMEDOUT : -ENOTCONN;
		else
			r = chardev_wait_writable(u->backend, timeout_ms - (int)spent_ms);
	}
	update_watch(u);
	return r;
}

static int make_parts(struct uart16550 *u, struct error *err)
{
	int r;

	u->linear = malloc(UART16550_OUTPUT_MAX);
	if (output_ring_init(&u->output, UART16550_OUTPUT_MAX) < 0 || !u->linear)
		return error_set(err, -ENOMEM, "serial port: out of memory");
	r = wakeup_new(u->loop, on_kick, u, &u->wakeup, err);
	if (r == 0)
		r = loop_timer_new(u->loop, on_flush_timer, u, &u->flush_timer, err);
	if (r == 0)
		r = loop_timer_new(u->loop, on_timeout_timer, u, &u->timeout_timer, err);
	return r;
}

int uart16550_new(const struct uart16550_params *params, struct uart16550 **ret, struct error *err)
{
	struct uart16550 *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return error_set(err, -ENOMEM, "serial port: out of memory");
	u->self = u;
	pthread_mutex_init(&u->lock, NULL);
	u->loop = params->loop;
	u->backend = params->backend;
	u->irq = params->irq;
	/* Undefined after a reset (table III): 9600 baud, as firmware leaves it. */
	u->regs.divisor = 12;
	r = make_parts(u, err);
	if (r < 0) {
		uart16550_free(u);
		return r;
	}
	if (u->backend)
		chardev_set_client(u->backend, &(struct chardev_client){.readable = on_readable,
									.writable = on_writable,
									.opaque = u});
	*ret = u;
	return 0;
}

void uart16550_free(struct uart16550 *u)
{
	if (!u)
		return;
	if (u->backend && u->output.data) {
		flush(u);
		chardev_set_client(u->backend, NULL);
	}
	wakeup_free(u->wakeup);
	loop_timer_free(u->flush_timer);
	loop_timer_free(u->timeout_timer);
	output_ring_destroy(&u->output);
	free(u->linear);
	pthread_mutex_destroy(&u->lock);
	free(u);
}
