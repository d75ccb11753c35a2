// SPDX-License-Identifier: Apache-2.0
/* The entropy device as the guest's kernel offers it: read all the time, and looked at. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define DEVICE	 "/dev/hwrng"
#define CURRENT	 "/sys/class/misc/hw_random/rng_current"
#define PIECE	 64
#define PAUSE_US 20000

static struct {
	int fd;
	unsigned int calm;
	uint64_t reads, failed;
	uint64_t repeated; /* the same piece twice in a row: nobody wrote it */
} rng;

static void *read_on(void *arg)
{
	unsigned char piece[PIECE], last[PIECE] = {0};

	(void)arg;
	for (;;) {
		ssize_t n;

		memset(piece, 0, sizeof(piece));
		n = read(rng.fd, piece, sizeof(piece));
		if (n < (ssize_t)sizeof(piece))
			__atomic_add_fetch(&rng.failed, 1, __ATOMIC_RELAXED);
		else if (!memcmp(piece, last, sizeof(piece)))
			__atomic_add_fetch(&rng.repeated, 1, __ATOMIC_RELAXED);
		memcpy(last, piece, sizeof(last));
		__atomic_add_fetch(&rng.reads, 1, __ATOMIC_RELAXED);
		usleep(PAUSE_US * rng.calm);
	}
	return NULL;
}

void rng_start(unsigned int calm)
{
	pthread_t thread;

	rng.calm = calm;
	rng.fd = open(DEVICE, O_RDONLY | O_CLOEXEC);
	if (rng.fd >= 0)
		pthread_create(&thread, NULL, read_on, NULL);
}

void rng_say(void)
{
	char current[64] = "none";
	FILE *file = fopen(CURRENT, "r");

	if (file) {
		if (!fgets(current, sizeof(current), file))
			strcpy(current, "none");
		fclose(file);
	}
	current[strcspn(current, "\n")] = '\0';
	say("rng source=%s reads=%lu failed=%lu repeated=%lu", current,
	    __atomic_load_n(&rng.reads, __ATOMIC_RELAXED),
	    __atomic_load_n(&rng.failed, __ATOMIC_RELAXED),
	    __atomic_load_n(&rng.repeated, __ATOMIC_RELAXED));
}
