// SPDX-License-Identifier: Apache-2.0
/*
 * Disks under load: writers keep random writes of self-describing blocks in flight, each on blocks
 * of its own, read some of them back, and flush now and then. What was acknowledged is remembered,
 * so that every block can be compared with what it must be.
 *
 * A block: magic, number, writer, sequence, key, body, checksum: words of 64 bits, little-endian,
 * the last of them the sum of word i times i + 1. tests/host/lib/disk.py reads it from outside.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define BLOCK	    4096
#define WORDS	    (BLOCK / 8)
#define DISKS_MAX   4
#define WRITERS_MAX 16
#define BLOCKS_MAX  2048U
#define FLUSH_EVERY 64
#define MAGIC	    0x4b4c424448ULL /* "HDBLK" */

enum { W_MAGIC, W_BLOCK, W_WRITER, W_SEQUENCE, W_KEY, W_BODY };

struct disk;

struct writer {
	struct disk *disk;
	unsigned int index;
	uint64_t random;
	uint64_t sequence; /* of its last write */
	uint64_t flushed;  /* all up to here are on stable storage */
	uint64_t *buffer;
};

static struct disk {
	char name[16];
	int fd;
	unsigned int blocks, writer_count;
	struct writer writers[WRITERS_MAX];
	uint64_t acknowledged[BLOCKS_MAX]; /* sequence; its writer's alone while the gate is open */
	pthread_rwlock_t gate;		   /* writers hold it for reading, operation by operation */
	uint64_t writes, reads, flushes, errors, bad;
} disks[DISKS_MAX];

static unsigned int disk_count;
static uint64_t disk_key;
static unsigned int rest_us;

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	/* Its low bits tell too much about those of the next. */
	return *state >> 24;
}

static uint64_t checksum(const uint64_t *words)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < WORDS - 1; i++)
		sum += words[i] * (i + 1);
	return sum;
}

static void fill_block(const struct writer *w, unsigned int block, uint64_t sequence)
{
	uint64_t state = disk_key ^ (sequence << 20) ^ block ^ 1;

	w->buffer[W_MAGIC] = MAGIC;
	w->buffer[W_BLOCK] = block;
	w->buffer[W_WRITER] = w->index;
	w->buffer[W_SEQUENCE] = sequence;
	w->buffer[W_KEY] = disk_key;
	for (unsigned int i = W_BODY; i < WORDS - 1; i++)
		w->buffer[i] = next_random(&state);
	w->buffer[WORDS - 1] = checksum(w->buffer);
}

/* The block must be what was acknowledged last: nothing, or exactly that. */
static bool block_is(const struct writer *w, unsigned int block, uint64_t sequence)
{
	const uint64_t *b = w->buffer;

	if (sequence == 0)
		return true;
	return b[W_MAGIC] == MAGIC && b[W_BLOCK] == block && b[W_WRITER] == w->index &&
	       b[W_SEQUENCE] == sequence && b[W_KEY] == disk_key && b[WORDS - 1] == checksum(b);
}

static void count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static bool read_back(struct writer *w, unsigned int block)
{
	struct disk *d = w->disk;
	uint64_t sequence = d->acknowledged[block];

	count(&d->reads);
	if (pread(d->fd, w->buffer, BLOCK, (off_t)block * BLOCK) != BLOCK) {
		count(&d->errors);
		return false;
	}
	if (block_is(w, block, sequence))
		return true;
	count(&d->bad);
	say("fault kind=disk name=%s block=%u want=%lu magic=%lx got=%lu writer=%lu", d->name,
	    block, sequence, w->buffer[W_MAGIC], w->buffer[W_SEQUENCE], w->buffer[W_WRITER]);
	return false;
}

static void write_one(struct writer *w, unsigned int block)
{
	struct disk *d = w->disk;
	uint64_t sequence = w->sequence + 1;

	fill_block(w, block, sequence);
	if (pwrite(d->fd, w->buffer, BLOCK, (off_t)block * BLOCK) != BLOCK) {
		count(&d->errors);
		return;
	}
	w->sequence = sequence;
	d->acknowledged[block] = sequence;
	count(&d->writes);
	if (sequence % FLUSH_EVERY)
		return;
	if (fdatasync(d->fd) < 0) {
		count(&d->errors);
		return;
	}
	__atomic_store_n(&w->flushed, sequence, __ATOMIC_RELAXED);
	count(&d->flushes);
}

static void *write_on(void *arg)
{
	struct writer *w = arg;
	struct disk *d = w->disk;
	unsigned int own = d->blocks / d->writer_count;

	for (;;) {
		unsigned int block =
			(unsigned int)(next_random(&w->random) % own) * d->writer_count + w->index;

		pthread_rwlock_rdlock(&d->gate);
		if (next_random(&w->random) % 4)
			write_one(w, block);
		else
			read_back(w, block);
		pthread_rwlock_unlock(&d->gate);
		if (rest_us)
			usleep(rest_us);
	}
	return NULL;
}

/* All blocks, with nothing in flight. */
static unsigned int check_disk(struct disk *d)
{
	unsigned int written = 0;

	pthread_rwlock_wrlock(&d->gate);
	for (unsigned int block = 0; block < d->blocks; block++) {
		struct writer *w = &d->writers[block % d->writer_count];

		if (!d->acknowledged[block])
			continue;
		written++;
		read_back(w, block);
	}
	pthread_rwlock_unlock(&d->gate);
	return written;
}

static bool open_disk(struct disk *d, char letter, unsigned int writers)
{
	pthread_rwlockattr_t fair;
	char path[32];
	off_t size;

	snprintf(d->name, sizeof(d->name), "vd%c", letter);
	snprintf(path, sizeof(path), "/dev/%s", d->name);
	d->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	size = d->fd < 0 ? -1 : lseek(d->fd, 0, SEEK_END);
	if (size < BLOCK * WRITERS_MAX)
		return false;
	d->blocks = size / BLOCK < BLOCKS_MAX ? (unsigned int)(size / BLOCK) : BLOCKS_MAX;
	d->writer_count = writers < WRITERS_MAX ? writers : WRITERS_MAX;
	/* Else those who hold it in turns never let a check in. */
	pthread_rwlockattr_init(&fair);
	pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&d->gate, &fair);
	for (unsigned int i = 0; i < d->writer_count; i++) {
		struct writer *w = &d->writers[i];

		*w = (struct writer){.disk = d, .index = i, .random = disk_key + i * 77 + 1};
		if (posix_memalign((void **)&w->buffer, BLOCK, BLOCK) != 0)
			return false;
	}
	return true;
}

void disks_init(const struct params *params)
{
	disk_key = params->key;
	rest_us = params->disk_rest_ms * 1000;
}

void disks_start(unsigned int writers)
{
	pthread_t thread;

	while (writers && disk_count < DISKS_MAX) {
		struct disk *d = &disks[disk_count];

		if (!open_disk(d, (char)('a' + disk_count), writers))
			return;
		disk_count++;
		for (unsigned int i = 0; i < d->writer_count; i++)
			pthread_create(&thread, NULL, write_on, &d->writers[i]);
	}
}

void disks_say_sizes(void)
{
	char path[32], text[DISKS_MAX * 32] = "";
	size_t used = 0;

	for (char letter = 'a'; letter < 'a' + DISKS_MAX; letter++) {
		off_t size;
		int fd;

		snprintf(path, sizeof(path), "/dev/vd%c", letter);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		size = lseek(fd, 0, SEEK_END);
		close(fd);
		used += (size_t)snprintf(text + used, sizeof(text) - used, " vd%c=%lld", letter,
					 (long long)size);
	}
	say("disk-sizes%s", text);
}

/* Before the line that sums them up, a line for each with the marks of its writers. */
void disks_say(bool check)
{
	uint64_t writes = 0, reads = 0, flushes = 0, errors = 0, bad = 0;
	unsigned int checked = 0;

	for (unsigned int i = 0; i < disk_count; i++) {
		struct disk *d = &disks[i];
		char marks[WRITERS_MAX * 21] = "";
		size_t used = 0;

		if (check)
			checked += check_disk(d);
		for (unsigned int w = 0; w < d->writer_count; w++)
			used += (size_t)snprintf(
				marks + used, sizeof(marks) - used, "%s%lu", w ? "," : "",
				__atomic_load_n(&d->writers[w].flushed, __ATOMIC_RELAXED));
		say("disk-mark name=%s blocks=%u writes=%lu marks=%s", d->name, d->blocks,
		    d->writes, marks);
		writes += d->writes;
		reads += d->reads;
		flushes += d->flushes;
		errors += d->errors;
		bad += d->bad;
	}
	say("%s count=%u checked=%u writes=%lu reads=%lu flushes=%lu errors=%lu bad=%lu",
	    check ? "disk-check" : "disk", disk_count, checked, writes, reads, flushes, errors,
	    bad);
}
