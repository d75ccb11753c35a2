/* SPDX-License-Identifier: Apache-2.0 */
/* PCI functions without a driver, in the hands of this program: by what sysfs has of them. */
#ifndef HOLDFAST_TESTS_HOST_GUEST_EDU_H
#define HOLDFAST_TESTS_HOST_GUEST_EDU_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096U
/* PCI Local Bus 3.0, 6.2.2: memory, bus master. */
#define COMMAND	   0x04
#define COMMAND_ON 0x06U

struct edu {
	char name[32];
	int config;
	volatile unsigned char *bar;
};

/* The device of that identity (device and vendor), its configuration space open. */
bool edu_find(struct edu *edu, uint32_t identity);
/* The same, with so much of that BAR mapped; *ret_start is where that is. */
bool edu_open_bar(struct edu *edu, uint32_t identity, unsigned int bar, size_t size,
		  uint64_t *ret_start);
uint32_t edu_config_read(const struct edu *edu, off_t offset, size_t size);
void edu_config_write(const struct edu *edu, off_t offset, uint32_t value, size_t size);
/* Offset of a capability; 0: it has none. */
off_t edu_find_cap(const struct edu *edu, uint8_t id);

/* The edu device itself. It has one engine for DMA, with a buffer: who uses them holds the lock. */
extern pthread_mutex_t edu_engine;
#define DMA_BUFFER 0x40000U
#define WORDS	   256U /* of 32 bits, that a transfer has */
#define DMA_TO_RAM 0x02U
bool edu_open(struct edu *edu);
void edu_close(struct edu *edu);
/* DMA, to its end; command: DMA_TO_RAM, or 0 into the buffer. */
bool edu_move(const struct edu *edu, uint64_t from, uint64_t to, uint32_t command);

/* Two pages that stay as the device has left them, for one who looks from outside; NULL: none. */
volatile uint32_t *edu_pages(void);

#endif
