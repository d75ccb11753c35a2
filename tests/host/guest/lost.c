// SPDX-License-Identifier: Apache-2.0
/*
 * CPU time that the guest believes a thread to have had, but in which the thread got nothing done:
 * what the host took, by running something else, or for a fault of second-stage paging. The thread
 * spins, touches memory here and there, and looks at the clock; a turn that takes several times as
 * long as usual had a gap. Gaps in which the guest itself ran something else are known from the
 * thread's CPU time. A processor that is slower as a whole, for what runs on the one beside it,
 * makes no gaps.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define SAMPLE_NS UINT64_C(5000000)
#define SAMPLES	  8192U
/* A touch is a miss of the TLB, which must not be what makes a turn long; and a lap through all of
 * the memory must take less than a prepare. */
#define SPINS_A_TURN	2048U
#define STEP		(64U << 10)
#define TURNS_LOOKED_AT 1024U
#define GAP_TURNS	4U

/* All since the start, nanoseconds. */
struct sample {
	uint64_t tsc, had, gaps, others;
};

static struct {
	char *memory;
	uint64_t size, place, count;
	struct sample samples[SAMPLES]; /* the latest */
} lost;

static void turn(void)
{
	for (volatile unsigned int i = 0; i < SPINS_A_TURN; i++)
		;
	((volatile char *)lost.memory)[lost.place]++;
	lost.place += STEP;
	if (lost.place >= lost.size)
		lost.place = 0;
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

/* The median. */
static uint64_t usual_turn(void)
{
	static uint64_t taken[TURNS_LOOKED_AT];

	for (unsigned int i = 0; i < TURNS_LOOKED_AT; i++) {
		uint64_t begin = clock_ns(CLOCK_MONOTONIC);

		turn();
		taken[i] = clock_ns(CLOCK_MONOTONIC) - begin;
	}
	qsort(taken, TURNS_LOOKED_AT, sizeof(taken[0]), compare);
	return taken[TURNS_LOOKED_AT / 2];
}

/* A line on the console is an exit for each character, which would be what is measured: what comes
 * out is kept until it is asked for. */
static void note(uint64_t had, uint64_t gaps, uint64_t others)
{
	struct sample *sample = &lost.samples[lost.count % SAMPLES];
	struct clocks now;

	clocks_read(&now);
	*sample = (struct sample){now.tsc, had, gaps, others};
	__atomic_store_n(&lost.count, lost.count + 1, __ATOMIC_RELEASE);
}

static void *walk(void *arg)
{
	uint64_t usual, had = 0, gaps = 0, others = 0;

	(void)arg;
	/* What else the guest does goes on beside it. */
	setpriority(PRIO_PROCESS, 0, 19);
	usual = usual_turn();
	for (;;) {
		uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), begin = clock_ns(CLOCK_MONOTONIC),
			 last = begin, now = begin;

		while (now - begin < SAMPLE_NS) {
			turn();
			now = clock_ns(CLOCK_MONOTONIC);
			if (now - last > GAP_TURNS * usual)
				gaps += now - last - usual;
			last = now;
		}
		cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
		had += cpu;
		others += now - begin > cpu ? now - begin - cpu : 0;
		note(had, gaps, others);
	}
	return NULL;
}

void lost_start(uint64_t size)
{
	pthread_t thread;

	if (size == 0)
		return;
	lost.size = size;
	lost.memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (lost.memory == MAP_FAILED)
		say("fault kind=memory wanted=%lu", size);
	else
		pthread_create(&thread, NULL, walk, NULL);
}

void lost_say(const char *words)
{
	uint64_t count = __atomic_load_n(&lost.count, __ATOMIC_ACQUIRE);
	const struct sample *first = NULL, *last = NULL;
	unsigned long begin, end, found = 0;

	if (sscanf(words, "%lu %lu", &begin, &end) != 2)
		return;
	for (uint64_t i = count > SAMPLES ? count - SAMPLES + 1 : 0; i < count; i++) {
		const struct sample *sample = &lost.samples[i % SAMPLES];

		if (sample->tsc < begin || sample->tsc > end)
			continue;
		first = first ? first : sample;
		last = sample;
		found++;
	}
	if (!first)
		say("lost samples=0 had=0 gaps=0 others=0");
	else
		say("lost samples=%lu had=%lu gaps=%lu others=%lu", found, last->had - first->had,
		    last->gaps - first->gaps, last->others - first->others);
}
