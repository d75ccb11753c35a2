// SPDX-License-Identifier: Apache-2.0
/* Timers that must lose no expiration, and the gaps between two of them: the pauses that the guest
 * sees. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define FAST_NS	 UINT64_C(10000000)
#define SLOW_NS	 UINT64_C(1000000000)
#define GAP_NS	 UINT64_C(100000000)
#define PRIORITY 10
/* Where a line takes longer than a gap, each would bring the next one about, at this priority. */
#define SAID_NS UINT64_C(5000000000)

static struct {
	pthread_mutex_t lock;
	struct timers_view view;
	struct clocks start, previous;
	int fast, slow;
	uint64_t fast_ns, gap_ns, said_ns;
} timers = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / SLOW_NS), .tv_nsec = (long)(ns % SLOW_NS)};
}

/* From the start on by the clock, however long it takes to set it. */
static int timer_every(uint64_t period)
{
	struct itimerspec spec = {.it_interval = timespec_of(period),
				  .it_value = timespec_of(timers.start.mono_ns + period)};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

	timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL);
	return fd;
}

static uint64_t expired(int fd)
{
	uint64_t times;

	return read(fd, &times, sizeof(times)) == sizeof(times) ? times : 0;
}

static struct clocks difference(const struct clocks *now, const struct clocks *then)
{
	return (struct clocks){
		.tsc = now->tsc - then->tsc,
		.mono_ns = now->mono_ns - then->mono_ns,
		.boot_ns = now->boot_ns - then->boot_ns,
		.real_ns = now->real_ns - then->real_ns,
	};
}

static uint64_t tsc_to_ns(uint64_t tsc, uint64_t khz)
{
	return khz ? (uint64_t)((unsigned __int128)tsc * 1000000 / khz) : 0;
}

/* Between the reading of a clock and of a timer any time may pass: what was due is known from two
 * sides. */
static void count(struct timer_count *count, int fd, uint64_t period)
{
	struct clocks before, after;
	uint64_t times;

	clocks_read(&before);
	times = expired(fd);
	clocks_read(&after);
	/* A timer whose interrupt is still on its way reads as nothing: only a reading that brought
	 * something says how many there were. */
	if (times == 0)
		return;
	count->seen += times;
	count->late += times > 1;
	count->at_mono_ns = after.mono_ns;
	count->due_before = (before.mono_ns - timers.start.mono_ns) / period;
	count->due_after = (after.mono_ns - timers.start.mono_ns) / period;
}

/* Under the lock. True: the gap is worth a line. */
static bool account(struct clocks *now, struct clocks *gap)
{
	struct timers_view *view = &timers.view;
	struct clocks since;

	count(&view->fast, timers.fast, timers.fast_ns);
	count(&view->slow, timers.slow, SLOW_NS);
	clocks_read(now);
	since = difference(now, &timers.start);
	if (!view->tsc_khz && since.mono_ns > SLOW_NS)
		view->tsc_khz = (uint64_t)((unsigned __int128)since.tsc * 1000000 / since.mono_ns);
	*gap = difference(now, &timers.previous);
	timers.previous = *now;
	if (gap->tsc > view->longest.tsc)
		view->longest = *gap;
	if (gap->mono_ns <= timers.gap_ns && tsc_to_ns(gap->tsc, view->tsc_khz) <= timers.gap_ns)
		return false;
	view->last = *gap;
	view->gaps++;
	if (timers.said_ns && now->mono_ns - timers.said_ns < SAID_NS)
		return false;
	timers.said_ns = now->mono_ns;
	return true;
}

/* Time that an emulated CPU is not given is charged to whoever ran on it: this thread, which does
 * next to nothing, would be held back for using too much (sched(7)). */
static void allow_real_time(void)
{
	int fd = open("/proc/sys/kernel/sched_rt_runtime_us", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1", 2) < 0)
		say("fault kind=scheduler");
	if (fd >= 0)
		close(fd);
}

static void *tick(void *arg)
{
	struct sched_param priority = {.sched_priority = PRIORITY};
	struct pollfd fds[] = {{.fd = timers.fast, .events = POLLIN},
			       {.fd = timers.slow, .events = POLLIN}};

	(void)arg;
	allow_real_time();
	/* Ahead of the spinning processes, so that a gap is the host's and not theirs. */
	if (sched_setscheduler(0, SCHED_FIFO, &priority) < 0)
		say("fault kind=scheduler");
	for (;;) {
		struct clocks now, gap;
		bool worth;

		poll(fds, 2, -1);
		clocks_compare();
		pthread_mutex_lock(&timers.lock);
		worth = account(&now, &gap);
		pthread_mutex_unlock(&timers.lock);
		if (worth)
			say("gap tsc=%lu tsc_ns=%lu mono_ns=%lu boot_ns=%lu real_ns=%ld "
			    "at_mono=%lu",
			    gap.tsc, tsc_to_ns(gap.tsc, timers.view.tsc_khz), gap.mono_ns,
			    gap.boot_ns, (long)gap.real_ns, now.mono_ns);
	}
	return NULL;
}

void timers_start(unsigned int calm)
{
	pthread_t thread;

	timers.fast_ns = FAST_NS * calm;
	timers.gap_ns = GAP_NS * calm;
	clocks_read(&timers.start);
	timers.previous = timers.start;
	/* One that is not due yet does not stand still. */
	timers.view.fast.at_mono_ns = timers.view.slow.at_mono_ns = timers.start.mono_ns;
	timers.fast = timer_every(timers.fast_ns);
	timers.slow = timer_every(SLOW_NS);
	pthread_create(&thread, NULL, tick, NULL);
}

void timers_view(struct timers_view *ret)
{
	pthread_mutex_lock(&timers.lock);
	*ret = timers.view;
	pthread_mutex_unlock(&timers.lock);
}

void timers_forget_longest(void)
{
	pthread_mutex_lock(&timers.lock);
	timers.view.longest = (struct clocks){0};
	timers.view.gaps = 0;
	pthread_mutex_unlock(&timers.lock);
}
