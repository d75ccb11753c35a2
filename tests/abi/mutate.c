/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutate [--count N] [--seed S]: breaks the golden blobs in N random ways and decodes each, under
 * whatever sanitizer this is built with. Ends at the first finding of the sanitizer; says how many
 * blobs were refused and how many still made sense. A seed repeats a run.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "tests/abi/fixture.h"
#include "tests/abi/golden.h"

#define CHANGES_MAX 6

/* xorshift64*: fast, and the same everywhere. */
static uint64_t next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

struct blob {
	struct fixture fixture;
	uint8_t *good; /* the bytes before any change */
	size_t *pages; /* offsets of the pages that are not empty */
	size_t page_count;
};

struct changed {
	size_t offset, len;
};

/* Values that have hurt decoders before: the edges, and addresses inside the blob. */
static uint64_t evil(uint64_t *rng, const struct blob *b)
{
	static const uint64_t values[] = {
		0,   1,	   2,	 51,	     52,	 63,	    64,		65,	   128,
		819, 4095, 4096, UINT32_MAX, UINT64_MAX, INT64_MAX, 1ULL << 52, 1ULL << 63};
	uint64_t r = next(rng);

	switch (r % 4) {
	case 0:
		return values[(r >> 8) % ARRAY_SIZE(values)];
	case 1:
		return FIXTURE_BASE + b->pages[(r >> 8) % b->page_count];
	case 2:
		return FIXTURE_DATA + ((r >> 8) % FIXTURE_DATA_SIZE);
	default:
		return r >> (r % 64);
	}
}

static struct changed change(uint64_t *rng, struct blob *b)
{
	uint64_t r = next(rng), value;
	size_t page = b->pages[r % b->page_count], at = (r >> 20) % ABI_PAGE_SIZE;
	uint8_t *data = b->fixture.image.data;

	/* The first bytes of a page are the ones that mean something. */
	if (r >> 63)
		at %= 256;
	switch ((r >> 40) % 5) {
	case 0:
		data[page + at] = (uint8_t)(data[page + at] ^ 1U << (r >> 50) % 8);
		return (struct changed){page + at, 1};
	case 1:
	case 2:
		at &= ~(size_t)7;
		value = evil(rng, b);
		memcpy(data + page + at, &value, 8);
		return (struct changed){page + at, 8};
	case 3:
		at &= ~(size_t)3;
		value = evil(rng, b);
		memcpy(data + page + at, &value, 4);
		return (struct changed){page + at, 4};
	default:
		memcpy(data + page, b->good + b->pages[next(rng) % b->page_count], ABI_PAGE_SIZE);
		return (struct changed){page, ABI_PAGE_SIZE};
	}
}

static bool is_empty(const uint8_t *page)
{
	for (size_t i = 0; i < ABI_PAGE_SIZE; i++)
		if (page[i])
			return false;
	return true;
}

static void open_blob(struct blob *b, const struct golden *g)
{
	_cleanup_kho_ struct abi_kho *kho = fixture_model(g->kho, g->luo, g->memfd);
	size_t size;

	fixture_open(&b->fixture, kho, FIXTURE_CAPACITY);
	size = b->fixture.image.size;
	b->good = malloc(size);
	b->pages = calloc(size / ABI_PAGE_SIZE, sizeof(*b->pages));
	if (!b->good || !b->pages)
		abort();
	memcpy(b->good, b->fixture.image.data, size);
	for (size_t at = 0; at < size; at += ABI_PAGE_SIZE)
		if (!is_empty(b->good + at))
			b->pages[b->page_count++] = at;
}

static void close_blob(struct blob *b)
{
	fixture_close(&b->fixture);
	free(b->good);
	free(b->pages);
}

static bool try_one(uint64_t *rng, struct blob *b)
{
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct changed changes[CHANGES_MAX];
	size_t count = 1 + next(rng) % CHANGES_MAX;
	struct error err = ERROR_INIT;
	int r;

	for (size_t i = 0; i < count; i++)
		changes[i] = change(rng, b);
	r = fixture_read(b->fixture.mem, b->fixture.fdt_pa, &kho, &err);
	/* A failure without words is a defect of its own. */
	if (r < 0 && err.message[0] == '\0')
		abort();
	for (size_t i = 0; i < count; i++)
		memcpy(b->fixture.image.data + changes[i].offset, b->good + changes[i].offset,
		       changes[i].len);
	return r == 0;
}

int main(int argc, char **argv)
{
	struct blob blobs[ARRAY_SIZE(golden_blobs)] = {0};
	unsigned long long count = 20000, seed = 1, read = 0;
	uint64_t rng;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--count") == 0)
			count = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
	}
	rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (size_t i = 0; i < ARRAY_SIZE(blobs); i++)
		open_blob(&blobs[i], &golden_blobs[i]);
	for (unsigned long long i = 0; i < count; i++)
		read += try_one(&rng, &blobs[i % ARRAY_SIZE(blobs)]);
	for (size_t i = 0; i < ARRAY_SIZE(blobs); i++)
		close_blob(&blobs[i]);
	printf("mutate: seed %llu: %llu mutated blobs, %llu refused, %llu read, in %.0f s of CPU\n",
	       seed, count, count - read, read, (double)clock() / CLOCKS_PER_SEC);
	return 0;
}
