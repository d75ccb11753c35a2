/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits of a device's I/O: two token buckets, one of bytes and one of operations. A bucket
 * holds `size` tokens, starts full and is refilled evenly, all of it in `refill_ms`; beside that it
 * has a burst that is spent first and never comes back.
 *
 * Work is let through while both buckets have something, and is then paid for in full, on credit if
 * need be. So a request larger than a bucket passes, the one after it waits the longer, and the
 * rate over time is exact.
 *
 * One thread at a time. Times are CLOCK_MONOTONIC in nanoseconds, told by the caller.
 */
#ifndef HOLDFAST_DEVICES_RATE_LIMITER_H
#define HOLDFAST_DEVICES_RATE_LIMITER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/state.h"

#define TOKEN_BUCKET_MAX	(1ULL << 50) /* tokens in a bucket or a burst */
#define TOKEN_BUCKET_REFILL_MAX (24ULL * 3600 * 1000)

struct token_bucket_config {
	uint64_t size;		 /* tokens; 0: no limit */
	uint64_t one_time_burst; /* tokens */
	uint64_t refill_ms;	 /* time in which an empty bucket fills; at least 1 with a size */
};

struct rate_limiter_config {
	struct token_bucket_config bandwidth; /* bytes */
	struct token_bucket_config ops;
};

/*
 * Reads {"bandwidth": {"size", "one_time_burst", "refill_time"}, "ops": {...}}, as Cloud Hypervisor
 * and Firecracker have it; refill_time in milliseconds. NULL: no limits. path: of the object, for
 * messages.
 */
void rate_limiter_config_read(json_t *json, const char *path, struct rate_limiter_config *ret,
			      struct problems *problems);
/* The other way; NULL where nothing is limited. New reference. */
json_t *rate_limiter_config_to_json(const struct rate_limiter_config *config);

struct token_bucket {
	struct token_bucket_config config;
	int64_t level;	   /* tokens at `stamp_ns`; below 0: owed */
	uint64_t burst;	   /* what is left of it */
	uint64_t stamp_ns; /* level is as of then */
};

struct rate_limiter {
	struct token_bucket bandwidth, ops;
};

void rate_limiter_init(struct rate_limiter *rl, const struct rate_limiter_config *config,
		       uint64_t now_ns);
bool rate_limiter_enabled(const struct rate_limiter *rl);
/* 0: go ahead. Else nanoseconds after which to ask again. */
uint64_t rate_limiter_wait_ns(struct rate_limiter *rl, uint64_t now_ns);
void rate_limiter_take(struct rate_limiter *rl, uint64_t bytes, uint64_t ops, uint64_t now_ns);

/*
 * What is left, as properties of the node that is open, so that an update is no new burst. Loading
 * parses into *ret, which has the configuration of now; the clock goes on at now_ns. The caller
 * commits.
 */
void rate_limiter_save(const struct rate_limiter *rl, struct state_writer *w);
void rate_limiter_load(const struct rate_limiter *rl, struct state_reader *r, uint64_t now_ns,
		       struct rate_limiter *ret);

#endif
