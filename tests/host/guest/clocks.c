// SPDX-License-Identifier: Apache-2.0
/* Clocks: read together, and compared between CPUs. */
#include <time.h>

#include "guest.h"

uint64_t clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Ordered after all loads before it (Intel SDM vol. 2B, RDTSC). */
static uint64_t tsc_ordered(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
	return ((uint64_t)high << 32) | low;
}

void clocks_read(struct clocks *ret)
{
	ret->tsc = tsc_ordered();
	ret->mono_ns = clock_ns(CLOCK_MONOTONIC);
	ret->boot_ns = clock_ns(CLOCK_BOOTTIME);
	ret->real_ns = clock_ns(CLOCK_REALTIME);
}

static void note(uint64_t *latest, uint64_t seen_before, uint64_t now, uint64_t *back,
		 uint64_t *back_max)
{
	if (now < seen_before) {
		__atomic_add_fetch(back, 1, __ATOMIC_RELAXED);
		if (seen_before - now > *back_max)
			*back_max = seen_before - now;
		return;
	}
	/* Losing the race to a CPU with a later value is fine; an older value must not win. */
	while (seen_before < now &&
	       !__atomic_compare_exchange_n(latest, &seen_before, now, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_ACQUIRE))
		;
}

void clocks_compare(void)
{
	uint64_t before;

	before = __atomic_load_n(&shared->tsc_latest, __ATOMIC_ACQUIRE);
	note(&shared->tsc_latest, before, tsc_ordered(), &shared->tsc_back, &shared->tsc_back_max);
	before = __atomic_load_n(&shared->mono_latest, __ATOMIC_ACQUIRE);
	note(&shared->mono_latest, before, clock_ns(CLOCK_MONOTONIC), &shared->mono_back,
	     &shared->mono_back_max);
}
