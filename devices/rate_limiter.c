/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/rate_limiter.h"

#include <stdio.h>

#include "base/util.h"

/* Owed at most: what one request moves at most (virtio 1.2, 2.7.13.1) in every slot of the largest
 * queues, far below what 64 bits hold. */
#define DEBT_MAX (1LL << 50)

__extension__ typedef unsigned __int128 wide;

static void bucket_init(struct token_bucket *b, const struct token_bucket_config *config,
			uint64_t now_ns)
{
	*b = (struct token_bucket){.config = *config,
				   .level = (int64_t)config->size,
				   .burst = config->one_time_burst,
				   .stamp_ns = now_ns};
}

static uint64_t refill_ns(const struct token_bucket *b)
{
	return b->config.refill_ms * NSEC_PER_MSEC;
}

/* Time that it takes to earn so many tokens, rounded up. */
static uint64_t earn_ns(const struct token_bucket *b, uint64_t tokens)
{
	return (uint64_t)(((wide)tokens * refill_ns(b) + b->config.size - 1) / b->config.size);
}

static void refill(struct token_bucket *b, uint64_t now_ns)
{
	int64_t full = (int64_t)b->config.size;
	uint64_t elapsed = now_ns > b->stamp_ns ? now_ns - b->stamp_ns : 0;
	wide earned = (wide)elapsed * b->config.size / refill_ns(b);

	if (earned >= (wide)(full - b->level)) {
		b->level = full;
		b->stamp_ns = MAX_OF(now_ns, b->stamp_ns);
		return;
	}
	/* The time of a fraction of a token is kept for the next look. */
	b->level += (int64_t)earned;
	b->stamp_ns += earn_ns(b, (uint64_t)earned);
}

static uint64_t bucket_wait_ns(struct token_bucket *b, uint64_t now_ns)
{
	uint64_t ready;

	if (b->config.size == 0)
		return 0;
	refill(b, now_ns);
	if (b->burst || b->level > 0)
		return 0;
	ready = b->stamp_ns + earn_ns(b, (uint64_t)(1 - b->level));
	return ready > now_ns ? ready - now_ns : 1;
}

static void bucket_take(struct token_bucket *b, uint64_t tokens, uint64_t now_ns)
{
	uint64_t from_burst = MIN_OF(b->burst, tokens);

	if (b->config.size == 0)
		return;
	refill(b, now_ns);
	b->burst -= from_burst;
	b->level = MAX_OF(b->level - (int64_t)MIN_OF(tokens - from_burst, (uint64_t)DEBT_MAX),
			  -DEBT_MAX);
}

void rate_limiter_init(struct rate_limiter *rl, const struct rate_limiter_config *config,
		       uint64_t now_ns)
{
	bucket_init(&rl->bandwidth, &config->bandwidth, now_ns);
	bucket_init(&rl->ops, &config->ops, now_ns);
}

bool rate_limiter_enabled(const struct rate_limiter *rl)
{
	return rl->bandwidth.config.size || rl->ops.config.size;
}

uint64_t rate_limiter_wait_ns(struct rate_limiter *rl, uint64_t now_ns)
{
	uint64_t bandwidth = bucket_wait_ns(&rl->bandwidth, now_ns);
	uint64_t ops = bucket_wait_ns(&rl->ops, now_ns);

	return MAX_OF(bandwidth, ops);
}

void rate_limiter_take(struct rate_limiter *rl, uint64_t bytes, uint64_t ops, uint64_t now_ns)
{
	bucket_take(&rl->bandwidth, bytes, now_ns);
	bucket_take(&rl->ops, ops, now_ns);
}

/* ---- State. ---- */

static void bucket_save(const struct token_bucket *b, const char *level, const char *burst,
			struct state_writer *w)
{
	state_put_u64(w, level, (uint64_t)b->level);
	state_put_u64(w, burst, b->burst);
}

static void bucket_load(const struct token_bucket *b, const char *level, const char *burst,
			struct state_reader *r, uint64_t now_ns, struct token_bucket *ret)
{
	*ret = *b;
	ret->level = (int64_t)state_get_u64(r, level);
	ret->burst = state_get_u64(r, burst);
	ret->stamp_ns = now_ns;
	state_require(r, ret->level >= -DEBT_MAX && ret->level <= (int64_t)b->config.size,
		      "%s: not between what can be owed and the bucket's size", level);
	state_require(r, ret->burst <= b->config.one_time_burst,
		      "%s: more than the burst that is configured", burst);
}

void rate_limiter_save(const struct rate_limiter *rl, struct state_writer *w)
{
	bucket_save(&rl->bandwidth, "bandwidth-tokens", "bandwidth-burst", w);
	bucket_save(&rl->ops, "ops-tokens", "ops-burst", w);
}

void rate_limiter_load(const struct rate_limiter *rl, struct state_reader *r, uint64_t now_ns,
		       struct rate_limiter *ret)
{
	bucket_load(&rl->bandwidth, "bandwidth-tokens", "bandwidth-burst", r, now_ns,
		    &ret->bandwidth);
	bucket_load(&rl->ops, "ops-tokens", "ops-burst", r, now_ns, &ret->ops);
}
