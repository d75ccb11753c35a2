// SPDX-License-Identifier: Apache-2.0
/* The guest's memory as its kernel counts it, and a use of some of it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define PAGE	   4096U
#define HIGH	   (UINT64_C(1) << 32)
#define SAMPLE	   (64 * PAGE) /* of so many bytes one page is looked up */
#define PIECES_MAX 8U

/* What is kept filled with a pattern. */
static struct {
	uint64_t *at;
	size_t words;
} pieces[PIECES_MAX];
static unsigned int piece_count;

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

uint64_t memory_physical(const void *address)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)address / PAGE * sizeof(entry))) !=
	    sizeof(entry))
		entry = 0;
	close(fd);
	return (entry & ((UINT64_C(1) << 55) - 1)) * PAGE;
}

static uint64_t kept_word(unsigned int piece, size_t i)
{
	return ((uint64_t)piece << 56 | i) * UINT64_C(0x9e3779b97f4a7c15);
}

void memory_kept(void)
{
	size_t words = 0, wrong = 0, high = 0;

	for (unsigned int p = 0; p < piece_count; p++) {
		words += pieces[p].words;
		for (size_t i = 0; i < pieces[p].words; i++) {
			wrong += pieces[p].at[i] != kept_word(p, i);
			if (i % (SAMPLE / sizeof(uint64_t)) == 0)
				high += memory_physical(&pieces[p].at[i]) >= HIGH;
		}
	}
	say("kept bytes=%lu high=%lu wrong=%lu", words * sizeof(uint64_t), high * SAMPLE, wrong);
}

void memory_keep(uint64_t mib)
{
	size_t size = mib << 20;
	uint64_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || piece_count == PIECES_MAX) {
		say("fault kind=memory wanted=%lu", size);
		return;
	}
	pieces[piece_count].at = at;
	pieces[piece_count].words = size / sizeof(*at);
	for (size_t i = 0; i < size / sizeof(*at); i++)
		at[i] = kept_word(piece_count, i);
	piece_count++;
	memory_kept();
}
