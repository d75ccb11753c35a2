/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/guest_memory_prefault.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/guest_memory_hold.h"
#include "vmm/guest_memory_impl.h"

/* A thread takes so much at a time: few enough that all end together. */
#define PART	    (64 * MIB)
#define THREADS_MAX 16

struct job {
	const struct guest_memory_region *regions;
	unsigned int count;
	uint64_t total;
	_Atomic uint64_t next; /* of all regions, one after the other */
	atomic_int result;
	atomic_int unpinned; /* why some could not be pinned, or 0 */
};

/*
 * Pages that are made to be pinned are made where they can be. Others come from anywhere, from
 * areas of CMA first of all once the kernel has used up the rest, and each would have to be moved.
 */
static int make(struct job *job, uint8_t *at, uint64_t size)
{
	const struct guest_memory_region part = {.hva = at, .size = size};
	int r = ram_settle(&part, 1);

	if (r == 0)
		return 0;
	/* There may be no memory, or it may be no more than this process must not pin any. */
	atomic_store(&job->unpinned, r);
	/* EAGAIN: made, and moved or taken away at the same moment (madvise(2)). */
	do {
		r = madvise(at, size, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
	} while (r == -EAGAIN || r == -EINTR);
	return r;
}

/* From so far into all regions on, across their borders. */
static int make_part(struct job *job, uint64_t at, uint64_t size)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && size > 0 && i < job->count; i++) {
		const struct guest_memory_region *region = &job->regions[i];
		uint64_t len;

		if (at >= region->size) {
			at -= region->size;
			continue;
		}
		len = MIN_OF(size, region->size - at);
		r = make(job, (uint8_t *)region->hva + at, len);
		size -= len;
		at = 0;
	}
	return r;
}

static void *work(void *opaque)
{
	struct job *job = opaque;
	uint64_t at;

	while (atomic_load(&job->result) == 0 &&
	       (at = atomic_fetch_add(&job->next, PART)) < job->total) {
		int r = make_part(job, at, MIN_OF(PART, job->total - at));

		if (r < 0)
			atomic_store(&job->result, r);
	}
	return NULL;
}

static unsigned int threads_for(uint64_t total)
{
	uint64_t parts = (total + PART - 1) / PART;
	cpu_set_t set;
	/* More CPUs than fit into the set are more than enough. */
	int cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : THREADS_MAX;

	return (unsigned int)MIN_OF(parts, (uint64_t)MIN_OF(cpus, THREADS_MAX));
}

/* This thread works too, and alone if there can be no other. */
static void work_in_threads(struct job *job)
{
	unsigned int started = 0, want = threads_for(job->total);
	pthread_t threads[THREADS_MAX];

	while (started + 1 < want && pthread_create(&threads[started], NULL, work, job) == 0)
		started++;
	work(job);
	while (started > 0)
		pthread_join(threads[--started], NULL);
}

static int failed(int code, uint64_t total, struct error *err)
{
	if (code == -EINVAL)
		return error_set(err, -EOPNOTSUPP,
				 "guest RAM: prefault=on needs Linux 5.14 (MADV_POPULATE_WRITE): "
				 "update this host, or leave prefault out");
	return error_sys(err, code,
			 "guest RAM: its %llu MiB cannot be made at once (prefault=on): free some "
			 "memory of this host, or leave prefault out",
			 total / MIB);
}

int guest_ram_prefault(const struct guest_memory_region *regions, unsigned int count,
		       struct error *err)
{
	struct job job = {.regions = regions, .count = count};
	int r = ram_check_host(regions, count, "prefault=on makes all guest memory at once", err);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < count; i++)
		job.total += regions[i].size;
	work_in_threads(&job);
	if (job.result < 0)
		return failed(job.result, job.total, err);
	if (job.unpinned)
		log_debug("guest RAM: it cannot be pinned (%s), so that some of it may be moved "
			  "when an update is prepared",
			  strerror(-job.unpinned));
	return 0;
}

void guest_ram_prefault_again(const struct guest_ram *ram)
{
	struct error err = ERROR_INIT;

	if (guest_ram_prefault(guest_ram_region(ram, 0), guest_ram_region_count(ram), &err) < 0)
		log_warning("%s; the guest goes on without", error_message(&err));
}
