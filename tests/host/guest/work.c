// SPDX-License-Identifier: Apache-2.0
/* What goes on in the guest: a counting thread, and a sleeping and a spinning process on each CPU.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define SPINS_A_TURN 4096U
#define SLEEP_NS     20000000L

struct shared *shared;

static long sleep_ns; /* what the sleeping processes ask for */

/* Three places, on three pages: a page that comes back old is noticed at the next step. */
static struct {
	volatile uint64_t value __attribute__((aligned(4096)));
	volatile uint64_t copy __attribute__((aligned(4096)));
	volatile uint64_t inverse __attribute__((aligned(4096)));
	uint64_t faults;
} counter = {.inverse = UINT64_MAX};

static void *count(void *arg)
{
	const unsigned int *calm = arg;

	for (;;) {
		uint64_t value = counter.value;

		if (counter.copy != value || counter.inverse != ~value) {
			if (counter.faults++ == 0)
				say("fault kind=counter value=%lu copy=%lu inverse=%lu", value,
				    counter.copy, ~counter.inverse);
			counter.copy = value;
		}
		counter.value = value + 1;
		counter.copy = value + 1;
		counter.inverse = ~(value + 1);
		usleep(5000 * *calm);
	}
	return NULL;
}

void counter_start(unsigned int calm)
{
	static unsigned int times;
	pthread_t thread;

	times = calm;
	pthread_create(&thread, NULL, count, &times);
}

uint64_t counter_value(void)
{
	return counter.value;
}

uint64_t counter_faults(void)
{
	return counter.faults;
}

/* So that the end of one of them is noticed among the ends of others. */
static pid_t started[2 * GUEST_CPUS_MAX];
static unsigned int started_count;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void stay(int cpu)
{
	if (sched_getcpu() != cpu)
		__atomic_add_fetch(&shared->strayed, 1, __ATOMIC_RELAXED);
	clocks_compare();
}

static _Noreturn void spin_on(int cpu)
{
	struct cpu_work *work = &shared->cpus[cpu];

	setpriority(PRIO_PROCESS, 0, 19);
	for (;;) {
		for (unsigned int i = 0; i < SPINS_A_TURN; i++)
			*(volatile uint64_t *)&work->spins = work->spins + 1;
		__atomic_store_n(&work->mirrored, work->spins, __ATOMIC_RELEASE);
		stay(cpu);
	}
}

static _Noreturn void sleep_on(int cpu)
{
	struct cpu_work *work = &shared->cpus[cpu];

	for (;;) {
		struct timespec wait = {.tv_nsec = sleep_ns};
		struct clocks before, after;
		uint64_t slept;

		clocks_read(&before);
		while (nanosleep(&wait, &wait) < 0 && errno == EINTR)
			;
		clocks_read(&after);
		slept = after.mono_ns - before.mono_ns;
		if (slept > (uint64_t)sleep_ns &&
		    slept - (uint64_t)sleep_ns > work->overslept_max_ns)
			work->overslept_max_ns = slept - (uint64_t)sleep_ns;
		work->sleeps++;
		stay(cpu);
	}
}

static void start_one(int cpu, const char *name, void (*run)(int cpu))
{
	char title[16];
	pid_t pid = fork();

	if (pid < 0)
		say("fault kind=fork errno=%d", errno);
	if (pid > 0)
		started[started_count++] = pid;
	if (pid != 0)
		return;
	snprintf(title, sizeof(title), "%s%d", name, cpu);
	prctl(PR_SET_NAME, title);
	pin(cpu);
	run(cpu);
}

unsigned int processes_start(bool spin, unsigned int calm)
{
	unsigned int count_online = 0;
	cpu_set_t online;

	/* Less than a second, as nanosleep(2) has it. */
	sleep_ns = SLEEP_NS * (long)(calm < 49 ? calm : 49);
	sched_getaffinity(0, sizeof(online), &online);
	for (int cpu = 0; cpu < GUEST_CPUS_MAX; cpu++) {
		if (!CPU_ISSET(cpu, &online))
			continue;
		count_online++;
		shared->cpus[cpu].present = true;
		start_one(cpu, "sleep", sleep_on);
		if (spin)
			start_one(cpu, "spin", spin_on);
	}
	return count_online;
}

bool processes_sound(void)
{
	for (int cpu = 0; cpu < GUEST_CPUS_MAX; cpu++) {
		uint64_t mirrored = __atomic_load_n(&shared->cpus[cpu].mirrored, __ATOMIC_ACQUIRE);
		uint64_t spins = __atomic_load_n(&shared->cpus[cpu].spins, __ATOMIC_RELAXED);

		/* spins was read second: it may be far ahead, but never behind. */
		if (spins < mirrored)
			return false;
	}
	return shared->strayed == 0;
}

bool processes_has(pid_t pid)
{
	for (unsigned int i = 0; i < started_count; i++)
		if (started[i] == pid)
			return true;
	return false;
}

void processes_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!root_reaped(pid, status))
			say("fault kind=child pid=%d status=%x", pid, status);
}
