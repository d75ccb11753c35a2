// SPDX-License-Identifier: Apache-2.0
/*
 * QEMU's device for teaching (its docs/specs/edu.rst), which the emulated host passes through:
 * everything that it can do, without a driver. Registers by the BAR that sysfs lets a program map,
 * DMA with the physical address of a page of this process, and an interrupt at a vector that the
 * kernel counts and does nothing about.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "guest.h"

#define DEVICES	 "/sys/bus/pci/devices"
#define IDENTITY 0x11e81234U /* device and vendor */
#define BAR_SIZE 0x100000U
#define TRIES	 2000 /* of 5 ms */

/* Registers. */
#define REG_ID	      0x00U
#define REG_LIVE      0x04U
#define REG_FACTORIAL 0x08U
#define REG_STATUS    0x20U
#define REG_IRQ	      0x24U
#define REG_RAISE     0x60U
#define REG_ACK	      0x64U
#define REG_DMA_FROM  0x80U
#define REG_DMA_TO    0x88U
#define REG_DMA_COUNT 0x90U
#define REG_DMA_START 0x98U
#define COMPUTING     0x01U
#define DMA_RUN	      0x01U

/* PCI Local Bus 3.0, 6.1 and 6.8.1. */
#define CAP_POINTER    0x34
#define CAP_MSI	       0x05
#define MSI_ENABLE     0x01
#define MSI_64	       0x80
#define LAPIC_OF_CPU_0 0xfee00000U
/* POSTED_INTR_VECTOR of x86 Linux: without a KVM that uses it, it is counted ("PIN") and ended. */
#define VECTOR 0xf2U

/* It has one engine for DMA. */
pthread_mutex_t edu_engine = PTHREAD_MUTEX_INITIALIZER;

static struct {
	atomic_bool on;
	atomic_ulong rounds, wrong;
} endless;

static int open_file(const struct edu *edu, const char *file, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), DEVICES "/%s/%s", edu->name, file);
	return open(path, flags | O_CLOEXEC);
}

uint32_t edu_config_read(const struct edu *edu, off_t offset, size_t size)
{
	uint32_t value = 0;

	return pread(edu->config, &value, size, offset) == (ssize_t)size ? value : UINT32_MAX;
}

/* The guest may give it up at any time, also while it is used here. */
static bool has_gone(const struct edu *edu)
{
	int fd = open_file(edu, "config", O_RDONLY);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

void edu_config_write(const struct edu *edu, off_t offset, uint32_t value, size_t size)
{
	if (pwrite(edu->config, &value, size, offset) != (ssize_t)size && !has_gone(edu))
		say("fault kind=edu-config offset=%ld", (long)offset);
}

static bool has_identity(struct edu *edu, const char *name, uint32_t identity)
{
	if (name[0] == '.' || strlen(name) >= sizeof(edu->name))
		return false;
	strcpy(edu->name, name);
	edu->config = open_file(edu, "config", O_RDWR);
	if (edu->config >= 0 && edu_config_read(edu, 0, 4) == identity)
		return true;
	if (edu->config >= 0)
		close(edu->config);
	return false;
}

bool edu_find(struct edu *edu, uint32_t identity)
{
	DIR *dir = opendir(DEVICES);
	const struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir)))
		found = has_identity(edu, entry->d_name, identity);
	if (dir)
		closedir(dir);
	return found;
}

/*
 * A device that was plugged in shows itself before its BAR has a place: at address 0 is memory, and
 * a program that takes it for registers writes there. The kernel enables only what has its place.
 */
static bool enable(const struct edu *edu, unsigned int bar, uint64_t *ret_start)
{
	char text[512] = "", *line = text;
	int fd = open_file(edu, "resource", O_RDONLY);
	bool good;

	if (fd < 0)
		return false;
	good = read(fd, text, sizeof(text) - 1) > 0;
	close(fd);
	/* A line for each BAR. */
	for (unsigned int i = 0; good && i < bar; i++) {
		line = strchr(line, '\n');
		good = line++;
	}
	*ret_start = good ? strtoull(line, NULL, 16) : 0;
	good = *ret_start;
	fd = good ? open_file(edu, "enable", O_WRONLY) : -1;
	good = fd >= 0 && write(fd, "1", 1) == 1;
	if (fd >= 0)
		close(fd);
	return good;
}

bool edu_open_bar(struct edu *edu, uint32_t identity, unsigned int bar, size_t size,
		  uint64_t *ret_start)
{
	char name[16];
	void *map;
	int fd;

	if (!edu_find(edu, identity))
		return false;
	if (!enable(edu, bar, ret_start)) {
		close(edu->config);
		return false;
	}
	edu_config_write(edu, COMMAND, edu_config_read(edu, COMMAND, 2) | COMMAND_ON, 2);
	snprintf(name, sizeof(name), "resource%u", bar);
	fd = open_file(edu, name, O_RDWR);
	map = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (map == MAP_FAILED) {
		close(edu->config);
		if (!has_gone(edu))
			say("fault kind=edu-bar device=%s", edu->name);
		return false;
	}
	edu->bar = map;
	return true;
}

bool edu_open(struct edu *edu)
{
	uint64_t start;

	return edu_open_bar(edu, IDENTITY, 0, BAR_SIZE, &start);
}

void edu_close(struct edu *edu)
{
	munmap((void *)(uintptr_t)edu->bar, BAR_SIZE);
	close(edu->config);
}

static uint32_t get(const struct edu *edu, unsigned int reg)
{
	return *(volatile uint32_t *)(uintptr_t)(edu->bar + reg);
}

static void put(const struct edu *edu, unsigned int reg, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)(edu->bar + reg) = value;
}

static void put64(const struct edu *edu, unsigned int reg, uint64_t value)
{
	*(volatile uint64_t *)(uintptr_t)(edu->bar + reg) = value;
}

/* Until none of these bits is set. */
static bool wait_clear(const struct edu *edu, unsigned int reg, uint32_t bits)
{
	for (int i = 0; i < TRIES; i++) {
		if (!(get(edu, reg) & bits))
			return true;
		usleep(5000);
	}
	return false;
}

static bool live(const struct edu *edu)
{
	static const uint32_t values[] = {0, 0x12345678, 0xffffffff, 0xa5a5a5a5};

	for (unsigned int i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		put(edu, REG_LIVE, values[i]);
		if (get(edu, REG_LIVE) != ~values[i])
			return false;
	}
	return true;
}

static bool factorial(const struct edu *edu, uint32_t n)
{
	uint32_t expected = 1;

	for (uint32_t i = 2; i <= n; i++)
		expected *= i;
	put(edu, REG_FACTORIAL, n);
	return wait_clear(edu, REG_STATUS, COMPUTING) && get(edu, REG_FACTORIAL) == expected;
}

bool edu_move(const struct edu *edu, uint64_t from, uint64_t to, uint32_t command)
{
	put64(edu, REG_DMA_FROM, from);
	put64(edu, REG_DMA_TO, to);
	put64(edu, REG_DMA_COUNT, WORDS * sizeof(uint32_t));
	put64(edu, REG_DMA_START, DMA_RUN | command);
	return wait_clear(edu, REG_DMA_START, DMA_RUN);
}

/* Of dma_both_ways(), and in each word that it has the device copy. */
static uint32_t copies;

volatile uint32_t *edu_pages(void)
{
	static volatile uint32_t *pages;
	void *new;

	if (pages)
		return pages;
	new = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (new != MAP_FAILED && mlock(new, 2 * PAGE) == 0)
		pages = new;
	return pages;
}

/* Out of guest memory, and into it again elsewhere. */
static bool dma_both_ways(const struct edu *edu, uint64_t *ret_address)
{
	volatile uint32_t *pages = edu_pages(), *to;
	uint64_t from_at, to_at;
	bool good;

	*ret_address = 0;
	if (!pages)
		return false;
	to = pages + PAGE / sizeof(*pages);
	copies++;
	for (uint32_t i = 0; i < WORDS; i++) {
		pages[i] = (i * 2654435761U) ^ copies;
		to[i] = 0;
	}
	to[WORDS] = copies;
	from_at = memory_physical((void *)(uintptr_t)pages);
	to_at = memory_physical((void *)(uintptr_t)to);
	good = from_at && to_at && edu_move(edu, from_at, DMA_BUFFER, 0) &&
	       edu_move(edu, DMA_BUFFER, to_at, DMA_TO_RAM);
	for (uint32_t i = 0; i < WORDS; i++)
		good = good && to[i] == pages[i];
	/* And not one word more. */
	good = good && to[WORDS] == copies && memory_physical((void *)(uintptr_t)to) == to_at;
	*ret_address = to_at;
	return good;
}

/* Of CPU 0: the interrupt goes there. */
static uint64_t interrupts(void)
{
	FILE *file = fopen("/proc/interrupts", "r");
	unsigned long count = 0;
	char line[1024];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		char *name = strstr(line, "PIN:");

		if (name)
			count = strtoul(name + 4, NULL, 10);
	}
	fclose(file);
	return count;
}

off_t edu_find_cap(const struct edu *edu, uint8_t id)
{
	uint32_t at = edu_config_read(edu, CAP_POINTER, 1);

	for (int i = 0; i < 48 && at >= 0x40 && at < 0x100; i++) {
		if (edu_config_read(edu, (off_t)at, 1) == id)
			return (off_t)at;
		at = edu_config_read(edu, (off_t)at + 1, 1);
	}
	return 0;
}

static bool message_interrupt(const struct edu *edu)
{
	off_t cap = edu_find_cap(edu, CAP_MSI), data;
	uint64_t before = interrupts();
	uint32_t flags;

	if (!cap)
		return false;
	flags = edu_config_read(edu, cap + 2, 2);
	data = flags & MSI_64 ? cap + 12 : cap + 8;
	edu_config_write(edu, cap + 4, LAPIC_OF_CPU_0, 4);
	if (flags & MSI_64)
		edu_config_write(edu, cap + 8, 0, 4);
	edu_config_write(edu, data, VECTOR, 2);
	edu_config_write(edu, cap + 2, flags | MSI_ENABLE, 2);
	put(edu, REG_RAISE, 4);
	for (int i = 0; i < TRIES && interrupts() == before; i++)
		usleep(5000);
	flags = get(edu, REG_IRQ);
	put(edu, REG_ACK, flags);
	edu_config_write(edu, cap + 2, edu_config_read(edu, cap + 2, 2) & ~(uint32_t)MSI_ENABLE, 2);
	return interrupts() > before && flags == 4 && get(edu, REG_IRQ) == 0;
}

static const char *ok(bool good)
{
	return good ? "ok" : "bad";
}

void edu_say(void)
{
	bool is_live, computes, moves, interrupted;
	uint64_t address;
	struct edu edu;
	uint32_t id;

	if (!edu_open(&edu)) {
		say("edu present=no");
		return;
	}
	pthread_mutex_lock(&edu_engine);
	id = get(&edu, REG_ID);
	is_live = live(&edu);
	computes = factorial(&edu, 5) && factorial(&edu, 10);
	moves = dma_both_ways(&edu, &address);
	interrupted = message_interrupt(&edu);
	pthread_mutex_unlock(&edu_engine);
	if (has_gone(&edu))
		say("edu present=no");
	else
		say("edu present=yes at=%s id=%08x live=%s factorial=%s dma=%s dma_at=%lx msi=%s "
		    "copies=%u",
		    edu.name, id, ok(is_live), ok(computes), ok(moves), address, ok(interrupted),
		    copies);
	edu_close(&edu);
}

/* Of what is in its buffer, the words that are neither zero nor of dma_both_ways(); -1: unknown. */
static int foreign_words(const struct edu *edu)
{
	uint32_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int found = 0;

	if (page == MAP_FAILED)
		return -1;
	memset(page, 0xff, PAGE);
	if (mlock(page, PAGE) < 0 ||
	    !edu_move(edu, DMA_BUFFER, memory_physical(page), DMA_TO_RAM) ||
	    page[WORDS] != UINT32_MAX)
		found = -1;
	for (uint32_t i = 0; found >= 0 && i < WORDS; i++)
		found += page[i] && page[i] != ((i * 2654435761U) ^ copies);
	munmap(page, PAGE);
	return found;
}

void edu_stray(uint64_t address)
{
	bool written, read;
	struct edu edu;
	int foreign;

	if (!edu_open(&edu)) {
		say("stray done=no");
		return;
	}
	pthread_mutex_lock(&edu_engine);
	written = edu_move(&edu, DMA_BUFFER, address, DMA_TO_RAM);
	read = edu_move(&edu, address, DMA_BUFFER, 0);
	foreign = foreign_words(&edu);
	pthread_mutex_unlock(&edu_engine);
	say("stray done=%s address=%lx foreign=%d", written && read ? "yes" : "no", address,
	    foreign);
	edu_close(&edu);
}

/* One transfer after the other, each a tenth of a second of the device's: whenever this guest is
 * stopped, one of them is under way. */
static void *move_endlessly(void *opaque)
{
	struct edu edu;
	uint64_t address;

	(void)opaque;
	while (atomic_load(&endless.on) && edu_open(&edu)) {
		pthread_mutex_lock(&edu_engine);
		if (!dma_both_ways(&edu, &address))
			atomic_fetch_add(&endless.wrong, 1);
		pthread_mutex_unlock(&edu_engine);
		atomic_fetch_add(&endless.rounds, 1);
		edu_close(&edu);
	}
	atomic_store(&endless.on, false);
	return NULL;
}

void edu_dma(const char *what)
{
	pthread_t thread;

	if (!strcmp(what, "stop"))
		atomic_store(&endless.on, false);
	if (!strcmp(what, "run") && !atomic_exchange(&endless.on, true) &&
	    pthread_create(&thread, NULL, move_endlessly, NULL) == 0)
		pthread_detach(thread);
	say("edu-dma running=%s rounds=%lu wrong=%lu", atomic_load(&endless.on) ? "yes" : "no",
	    atomic_load(&endless.rounds), atomic_load(&endless.wrong));
}
