// SPDX-License-Identifier: Apache-2.0
/*
 * Memory with a known content: each word is a function of the key, of its place, and of how often
 * its piece was rewritten. A word that is lost, moved or older than it should be is found. A word
 * costs one addition and one exclusive or: a guest in an emulated host is slow.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define CHURN_US    100000U
#define PIECE_WORDS (64U << 10) /* 512 KiB */
#define STEP_PLACE  UINT64_C(0x9e3779b97f4a7c15)
#define STEP_AGE    UINT64_C(0xd1b54a32d192ed03)

static struct {
	pthread_mutex_t lock; /* of one piece at a time: a check and the rewriting do not meet */
	uint64_t *words;
	uint32_t *ages; /* of each piece */
	uint64_t pieces, key;
	uint64_t bad, rounds;
	unsigned int per_turn, calm;
} pattern = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void write_piece(uint64_t piece, uint32_t age)
{
	uint64_t *word = pattern.words + piece * PIECE_WORDS;
	uint64_t value = piece * PIECE_WORDS * STEP_PLACE + age * STEP_AGE;
	uint64_t key = pattern.key;

	for (unsigned int i = 0; i < PIECE_WORDS; i++, value += STEP_PLACE)
		word[i] = value ^ key;
	pattern.ages[piece] = age;
}

static void note_bad(struct pattern_result *result, uint64_t index, uint64_t got, uint64_t want)
{
	if (result->bad++ == 0) {
		result->first_bad = index;
		result->got = got;
		result->want = want;
	}
}

static void check_piece(uint64_t piece, struct pattern_result *result)
{
	const uint64_t *word = pattern.words + piece * PIECE_WORDS;
	uint64_t first = piece * PIECE_WORDS * STEP_PLACE + pattern.ages[piece] * STEP_AGE;
	uint64_t value = first, key = pattern.key, wrong = 0;

	/* The fast look; only a piece in which something is wrong is looked at word by word. */
	for (unsigned int i = 0; i < PIECE_WORDS; i++, value += STEP_PLACE)
		wrong |= word[i] ^ value ^ key;
	result->words += PIECE_WORDS;
	if (!wrong)
		return;
	value = first;
	for (unsigned int i = 0; i < PIECE_WORDS; i++, value += STEP_PLACE)
		if (word[i] != (value ^ key))
			note_bad(result, piece * PIECE_WORDS + i, word[i], value ^ key);
}

static void *churn(void *arg)
{
	uint64_t piece = 0;

	(void)arg;
	for (;;) {
		for (unsigned int i = 0; i < pattern.per_turn; i++) {
			struct pattern_result result = {0};

			pthread_mutex_lock(&pattern.lock);
			check_piece(piece, &result);
			if (result.bad == 0)
				write_piece(piece, pattern.ages[piece] + 1);
			pattern.rounds++;
			pthread_mutex_unlock(&pattern.lock);
			if (result.bad > 0 && pattern.bad == 0)
				say("fault kind=pattern bad=%lu first=%lu got=%016lx want=%016lx",
				    result.bad, result.first_bad, result.got, result.want);
			pattern.bad += result.bad;
			piece = (piece + 1) % pattern.pieces;
		}
		usleep(CHURN_US * pattern.calm);
	}
	return NULL;
}

bool pattern_start(const struct params *params)
{
	pthread_t thread;
	void *map;

	pattern.calm = params->calm;
	pattern.key = params->key;
	pattern.pieces = params->fill / (PIECE_WORDS * sizeof(uint64_t));
	pattern.per_turn = params->churn_kib / (PIECE_WORDS * sizeof(uint64_t) / 1024);
	if (pattern.pieces == 0)
		return true;
	map = mmap(NULL, params->fill, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pattern.ages = calloc(pattern.pieces, sizeof(*pattern.ages));
	if (map == MAP_FAILED || !pattern.ages)
		return false;
	pattern.words = map;
	madvise(map, params->fill, MADV_HUGEPAGE);
	/* Processes that are forked later would keep a copy of every piece that is rewritten. */
	madvise(map, params->fill, MADV_DONTFORK);
	for (uint64_t piece = 0; piece < pattern.pieces; piece++)
		write_piece(piece, 0);
	return pattern.per_turn == 0 || pthread_create(&thread, NULL, churn, NULL) == 0;
}

/* The page frame is in the low 55 bits of an entry (Documentation/admin-guide/mm/pagemap.rst). */
uint64_t pattern_bytes_above(uint64_t physical)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), above = 0;

	for (uint64_t piece = 0; fd >= 0 && piece < pattern.pieces; piece++) {
		uint64_t address = (uint64_t)(uintptr_t)(pattern.words + piece * PIECE_WORDS),
			 entry;

		if (pread(fd, &entry, sizeof(entry), (off_t)(address / page * sizeof(entry))) !=
		    sizeof(entry))
			continue;
		if ((entry & ((UINT64_C(1) << 55) - 1)) * page >= physical)
			above += PIECE_WORDS * sizeof(uint64_t);
	}
	if (fd >= 0)
		close(fd);
	return above;
}

void pattern_check(struct pattern_result *ret)
{
	*ret = (struct pattern_result){0};
	for (uint64_t piece = 0; piece < pattern.pieces; piece++) {
		pthread_mutex_lock(&pattern.lock);
		check_piece(piece, ret);
		pthread_mutex_unlock(&pattern.lock);
	}
}

uint64_t pattern_background_bad(void)
{
	return pattern.bad;
}

uint64_t pattern_rounds(void)
{
	return pattern.rounds;
}
