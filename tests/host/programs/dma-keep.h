/* SPDX-License-Identifier: Apache-2.0 */
/* What dma-keep and its scenarios (lib/edu.py) know of each other, and the edu device's registers.
 */
#ifndef DMA_KEEP_H
#define DMA_KEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE	    4096U
#define HUGE_SIZE   (2U * 1024 * 1024)
#define PIECES	    2U
#define PIECE_SIZE  (2UL * HUGE_SIZE)
#define PIECE_PAGES ((unsigned int)(PIECE_SIZE / PAGE))
#define PAGES	    (PIECES * PIECE_PAGES)
#define IOVA	    0x4000000000UL
/* Pages 1 to TARGETS may be written while the program is away; it uses the last itself. */
#define TARGETS	  1500U
#define LAST_PAGE (PAGES - 1)

/* Word i of page p: i + 1 steps from the seed + p (D. Knuth, MMIX). */
#define PATTERN_SEED   UINT64_C(0x686f6c6466617374)
#define PATTERN_FACTOR UINT64_C(6364136223846793005)
#define PATTERN_STEP   UINT64_C(1442695040888963407)

#define TOKEN_MEMORY  0x100U
#define TOKEN_IOMMUFD 0x200U
#define TOKEN_DEVICE  0x300U

#define LIVE_VALUE 0x12345678U
#define TRIES	   2000U

/* QEMU docs/specs/edu.rst */
#define EDU_LIVE       0x04U
#define EDU_DMA_FROM   0x80U
#define EDU_DMA_TO     0x88U
#define EDU_DMA_COUNT  0x90U
#define EDU_DMA_START  0x98U
#define EDU_BUFFER     0x40000U
#define EDU_DMA_RUN    0x01U
#define EDU_DMA_TO_RAM 0x02U

/* PCI Local Bus 3.0, 6.2.2 */
#define PCI_COMMAND	   0x04
#define PCI_COMMAND_MEMORY 0x02
#define PCI_COMMAND_MASTER 0x04

struct keep {
	int session, io, device;
	uint32_t ioas;
	struct piece {
		int fd;
		uint8_t *memory;
	} pieces[PIECES];
	volatile uint8_t *bar;
	off_t config;
};

/* Of the patterns; another one makes the bytes of all pages others. */
extern uint64_t keep_seed;

/* Says what failed, and errno, and ends the program; so do all of these. */
_Noreturn void keep_fail(const char *what);

uint8_t *keep_page(const struct keep *k, unsigned int page);
/* The pattern of that page, to wherever words points. */
void keep_fill_page(uint64_t *words, unsigned int page);
void keep_map_piece(struct piece *piece, bool huge);
/* All pieces, one of huge pages, one of small ones, with their patterns. */
void keep_make_memory(struct keep *k);
/* Every page is as it was made, but for those that the device was to write. */
void keep_check_memory(const struct keep *k);
void keep_write_frames(const struct keep *k, const char *folder, const char *session);

#endif
