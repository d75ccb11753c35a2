// SPDX-License-Identifier: Apache-2.0
//
// Prints how many thousand times a second this machine's TSC counts, against CLOCK_MONOTONIC.
//
// QEMU's TCG hands the TSC of the machine to the emulated host as it is, but an emulated PIT or
// HPET to calibrate it against is read late whenever the machine is busy, so the host's kernel is
// told (tests/host/lib/accel.py).
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define SAMPLES	     64
#define INTERVAL_NS  500000000
#define NS_PER_MILLI 1000000

struct reading {
	uint64_t tsc;
	uint64_t ns;
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 * NS_PER_MILLI + (uint64_t)now.tv_nsec;
}

// The reading of several that took the shortest: nothing came between its two clocks.
static struct reading read_both(void)
{
	struct reading best = {};
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < SAMPLES; i++) {
		uint64_t before = __rdtsc();
		uint64_t ns = monotonic_ns();
		uint64_t after = __rdtsc();

		if (after - before < shortest) {
			shortest = after - before;
			best = (struct reading){.tsc = before + (after - before) / 2, .ns = ns};
		}
	}
	return best;
}

int main(void)
{
	struct timespec interval = {.tv_nsec = INTERVAL_NS};
	struct reading first = read_both();

	nanosleep(&interval, NULL);

	struct reading second = read_both();

	printf("%" PRIu64 "\n", (second.tsc - first.tsc) * NS_PER_MILLI / (second.ns - first.ns));
	return 0;
}
