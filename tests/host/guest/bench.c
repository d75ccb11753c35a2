// SPDX-License-Identifier: Apache-2.0
/*
 * The words of tools/bench: a fixed amount of work, so that what is counted outside is exact, and
 * how long it took by the guest's own clock. Answers are "bench what=... count=... bytes=... ns=...
 * wrong=...".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

#define DISK	  "/dev/vda"
#define DEPTH_MAX 64U

struct load {
	int fd;
	bool write, random;
	unsigned int depth;
	size_t block;
	uint64_t count;
	uint64_t blocks; /* of the disk */
	unsigned char *buffers;
	aio_context_t context;
};

static void prepare(const struct load *load, struct iocb *iocb, uint64_t number)
{
	uint64_t slot = iocb->aio_data;
	uint64_t block = load->random ? (uint64_t)random() : number;

	*iocb = (struct iocb){
		.aio_data = slot,
		.aio_lio_opcode = load->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)load->fd,
		.aio_buf = (uintptr_t)(load->buffers + slot * load->block),
		.aio_nbytes = load->block,
		.aio_offset = (int64_t)((block % load->blocks) * load->block),
	};
}

static bool submit(const struct load *load, struct iocb **ready, unsigned int count)
{
	while (count > 0) {
		long taken = syscall(SYS_io_submit, load->context, count, ready);

		if (taken < 0 && errno != EAGAIN)
			return false;
		if (taken > 0) {
			ready += taken;
			count -= (unsigned int)taken;
		}
	}
	return true;
}

/* How many requests did not do what was asked. */
static uint64_t run(const struct load *load)
{
	struct iocb iocbs[DEPTH_MAX] = {0}, *ready[DEPTH_MAX];
	struct io_event events[DEPTH_MAX];
	uint64_t begun = 0, done = 0, wrong = 0;
	unsigned int count = 0;

	for (; count < load->depth && begun < load->count; count++) {
		iocbs[count].aio_data = count;
		prepare(load, &iocbs[count], begun++);
		ready[count] = &iocbs[count];
	}
	while (done < load->count) {
		long n;

		if (!submit(load, ready, count))
			return load->count - done;
		n = syscall(SYS_io_getevents, load->context, 1, load->depth, events, NULL);
		count = 0;
		for (long i = 0; i < n; i++) {
			struct iocb *iocb = &iocbs[events[i].data];

			done++;
			wrong += events[i].res != (int64_t)load->block;
			if (begun >= load->count)
				continue;
			prepare(load, iocb, begun++);
			ready[count++] = iocb;
		}
	}
	return wrong;
}

static bool open_disk(struct load *load)
{
	uint64_t size = 0;

	load->fd = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (load->fd < 0 || ioctl(load->fd, BLKGETSIZE64, &size) < 0)
		return false;
	load->blocks = size / load->block;
	load->buffers = mmap(NULL, load->depth * load->block, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return load->blocks > 0 && load->buffers != MAP_FAILED &&
	       syscall(SYS_io_setup, load->depth, &load->context) == 0;
}

static void close_disk(const struct load *load)
{
	if (load->context)
		syscall(SYS_io_destroy, load->context);
	if (load->buffers && load->buffers != MAP_FAILED)
		munmap(load->buffers, load->depth * load->block);
	if (load->fd >= 0)
		close(load->fd);
}

/* "read random 4096 32 2000": what, where, bytes of a request, requests at once, how many. */
static void disk(const char *words)
{
	struct load load = {.fd = -1};
	struct clocks before, after;
	char what[8], where[16];
	uint64_t wrong;

	if (sscanf(words, "%7s %15s %zu %u %lu", what, where, &load.block, &load.depth,
		   &load.count) != 5 ||
	    load.depth == 0 || load.depth > DEPTH_MAX || load.block == 0) {
		say("fault kind=bench text=%.60s", words);
		return;
	}
	load.write = !strcmp(what, "write");
	load.random = !strcmp(where, "random");
	if (!open_disk(&load)) {
		say("fault kind=bench disk=%s errno=%d", DISK, errno);
		close_disk(&load);
		return;
	}
	/* The same places for everybody. */
	srandom(1);
	clocks_read(&before);
	wrong = run(&load);
	clocks_read(&after);
	close_disk(&load);
	say("bench what=%s count=%lu bytes=%lu ns=%lu wrong=%lu", what, load.count,
	    load.count * load.block, after.mono_ns - before.mono_ns, wrong);
}

void bench_obey(const char *words)
{
	if (!strcmp(words, "nothing"))
		/* As long as the others: what one answer costs is taken from theirs. */
		say("bench what=none count=%05u bytes=%08u ns=%010u wrong=%u", 1, 0, 1, 0);
	else if (!strncmp(words, "boot ", 5))
		bench_boot(strtoull(words + 5, NULL, 10));
	else if (!strncmp(words, "tcp-", 4))
		bench_tcp(words + 4);
	else
		disk(words);
}
