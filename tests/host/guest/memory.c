// SPDX-License-Identifier: Apache-2.0
/* The guest's memory as its kernel counts it, and a use of some of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest.h"

#define PAGE 4096U

/* Bytes; 0: there is no such line. */
static uint64_t meminfo(const char *key)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	uint64_t bytes = 0;

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			bytes = strtoull(line + strlen(key) + 1, NULL, 10) * 1024;
	}
	fclose(file);
	return bytes;
}

void memory_say(void)
{
	say("memory total=%lu free=%lu available=%lu", meminfo("MemTotal"), meminfo("MemFree"),
	    meminfo("MemAvailable"));
}

void memory_use(uint64_t mib)
{
	size_t size = mib << 20, wrong = 0;
	unsigned char *at =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		say("fault kind=memory wanted=%lu", size);
		return;
	}
	for (size_t i = 0; i < size; i += PAGE) {
		/* New memory is zeroes, whoever had it before. */
		for (size_t k = 0; k < PAGE; k += sizeof(uint64_t))
			wrong += *(uint64_t *)(void *)&at[i + k] != 0;
		memset(at + i, 0xa5, PAGE);
	}
	for (size_t i = 0; i < size; i += PAGE)
		wrong += at[i] != 0xa5 || at[i + PAGE - 1] != 0xa5;
	munmap(at, size);
	say("used bytes=%lu wrong=%lu", size, wrong);
}
