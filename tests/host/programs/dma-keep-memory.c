// SPDX-License-Identifier: Apache-2.0
/* The memory of dma-keep: patterns, and the frames in which they are. */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "dma-keep.h"

uint64_t keep_seed = PATTERN_SEED;

void keep_fail(const char *what)
{
	printf("failed: %s: %s\n", what, strerror(errno));
	exit(1);
}

uint8_t *keep_page(const struct keep *k, unsigned int page)
{
	return k->pieces[page / PIECE_PAGES].memory + (size_t)(page % PIECE_PAGES) * PAGE;
}

void keep_fill_page(uint64_t *words, unsigned int page)
{
	uint64_t state = keep_seed + page;

	for (unsigned int i = 0; i < PAGE / sizeof(*words); i++) {
		state = state * PATTERN_FACTOR + PATTERN_STEP;
		words[i] = state;
	}
}

/* One piece is of huge pages, one of small ones. */
void keep_map_piece(struct piece *piece, bool huge)
{
	uint8_t *room =
		mmap(NULL, PIECE_SIZE + HUGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *aligned = (uint8_t *)ALIGN_UP((uintptr_t)room, (uintptr_t)HUGE_SIZE);

	piece->memory = mmap(aligned, PIECE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			     piece->fd, 0);
	if (room == MAP_FAILED || piece->memory == MAP_FAILED ||
	    (huge && madvise(piece->memory, PIECE_SIZE, MADV_HUGEPAGE) < 0))
		keep_fail("mmap");
}

void keep_make_memory(struct keep *k)
{
	for (unsigned int i = 0; i < PIECES; i++) {
		k->pieces[i].fd =
			memfd_create("dma-keep", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
		if (k->pieces[i].fd < 0 || ftruncate(k->pieces[i].fd, PIECE_SIZE) < 0)
			keep_fail("memfd");
		keep_map_piece(&k->pieces[i], i == 0);
	}
	for (unsigned int page = 0; page < PAGES; page++)
		keep_fill_page((uint64_t *)keep_page(k, page), page);
}

/* Every page is as it was made, but for those that the device was to write. */
void keep_check_memory(const struct keep *k)
{
	uint64_t pattern[PAGE / 8], own[PAGE / 8];
	unsigned int written = 0;

	keep_fill_page(pattern, 0);
	for (unsigned int page = 0; page < PAGES; page++) {
		keep_fill_page(own, page);
		if (memcmp(keep_page(k, page), own, PAGE) == 0)
			continue;
		if (page == 0 || page > TARGETS || memcmp(keep_page(k, page), pattern, PAGE) != 0) {
			printf("failed: page %u is neither as it was nor what the device wrote\n",
			       page);
			exit(1);
		}
		written++;
	}
	printf("memory: %u pages as they were, %u written by the device\n", PAGES - written,
	       written);
	fflush(stdout);
}

void keep_write_frames(const struct keep *k, const char *folder, const char *session)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;
	char path[512];
	FILE *out;

	snprintf(path, sizeof(path), "%s/frames-%s", folder, session);
	out = fopen(path, "w");
	if (pagemap < 0 || !out)
		keep_fail(path);
	for (unsigned int page = 0; page < PAGES; page++) {
		off_t at = (off_t)((uintptr_t)keep_page(k, page) / PAGE * sizeof(entry));

		if (pread(pagemap, &entry, sizeof(entry), at) != sizeof(entry))
			keep_fail("pagemap");
		entry &= (UINT64_C(1) << 55) - 1;
		fwrite(&entry, sizeof(entry), 1, out);
	}
	if (fclose(out) != 0)
		keep_fail(path);
	close(pagemap);
}
