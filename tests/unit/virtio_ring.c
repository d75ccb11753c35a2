/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of split and packed rings: virtio 1.2, 2.7 and 2.8. */
#include <endian.h>

#include "tests/unit/virtio_driver.h"

#define SPEC_AVAIL_BIT	   (1U << 7)
#define SPEC_USED_BIT	   (1U << 15)
#define SPEC_EVENT_ENABLE  0
#define SPEC_EVENT_DISABLE 1
#define SPEC_EVENT_DESC	   2

uint64_t driver_alloc(struct fake_machine *m, uint64_t size)
{
	uint64_t at = FAKE_RAM_BASE + m->ram_used;

	m->ram_used += ALIGN_UP(size, 4096ULL);
	assert_true(m->ram_used <= FAKE_RAM_SIZE);
	return at;
}

/* Relaxed atomics with fences where the specification has barriers: the device may run on another
 * thread. */
static uint16_t get16(struct driver_queue *q, uint64_t gpa)
{
	return le16toh(__atomic_load_n((uint16_t *)(void *)fake_ram(q->m, gpa), __ATOMIC_ACQUIRE));
}

static void put16(struct driver_queue *q, uint64_t gpa, unsigned int value)
{
	__atomic_store_n((uint16_t *)(void *)fake_ram(q->m, gpa), htole16((uint16_t)value),
			 __ATOMIC_RELEASE);
}

static uint32_t get32(struct driver_queue *q, uint64_t gpa)
{
	uint32_t value;

	memcpy(&value, fake_ram(q->m, gpa), sizeof(value));
	return le32toh(value);
}

void driver_queue_init(struct driver_queue *q, struct fake_machine *m, uint16_t size, bool packed,
		       bool event_idx)
{
	memset(q, 0, sizeof(*q));
	q->m = m;
	q->packed = packed;
	q->event_idx = event_idx;
	q->size = size;
	q->desc = driver_alloc(m, 16ULL * size);
	q->driver = driver_alloc(m, packed ? 4 : 6 + 2ULL * size);
	q->device = driver_alloc(m, packed ? 4 : 6 + 8ULL * size);
	memset(fake_ram(m, q->desc), 0, q->device + 4096 - q->desc);
	q->avail_wrap = q->used_wrap = true;
	q->free_count = size;
	for (uint16_t i = 0; i < size; i++)
		q->next[i] = (uint16_t)(i + 1);
}

static void put_desc(struct driver_queue *q, uint64_t at, const struct driver_seg *seg)
{
	uint64_t addr = htole64(seg->gpa);
	uint32_t len = htole32(seg->len);

	memcpy(fake_ram(q->m, at), &addr, 8);
	memcpy(fake_ram(q->m, at + 8), &len, 4);
}

/* An indirect table in a fresh page, and the descriptor that points to it. */
static struct driver_seg make_table(struct driver_queue *q, const struct driver_seg *segs,
				    unsigned int count)
{
	uint64_t table = driver_alloc(q->m, 16ULL * count);

	for (unsigned int i = 0; i < count; i++) {
		unsigned int flags = segs[i].write ? SPEC_D_WRITE : 0;

		put_desc(q, table + 16ULL * i, &segs[i]);
		if (q->packed) {
			put16(q, table + 16ULL * i + 14, flags);
			continue;
		}
		put16(q, table + 16ULL * i + 12, flags | (i + 1 < count ? SPEC_D_NEXT : 0));
		put16(q, table + 16ULL * i + 14, i + 1);
	}
	return (struct driver_seg){table, 16 * count, false};
}

static uint16_t split_add(struct driver_queue *q, const struct driver_seg *segs, unsigned int count,
			  unsigned int extra)
{
	uint16_t head = q->free_head, at = head;

	assert_true(count <= q->free_count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t desc = q->desc + 16ULL * at;

		put_desc(q, desc, &segs[i]);
		put16(q, desc + 12,
		      extra | (segs[i].write ? SPEC_D_WRITE : 0) |
			      (i + 1 < count ? SPEC_D_NEXT : 0));
		put16(q, desc + 14, q->next[at]);
		at = q->next[at];
	}
	q->free_head = at;
	q->free_count = (uint16_t)(q->free_count - count);
	q->slots[head] = (uint16_t)count;
	put16(q, q->driver + 4 + 2ULL * (q->avail_idx % q->size), head);
	put16(q, q->driver + 2, ++q->avail_idx);
	return head;
}

static uint16_t packed_flags(const struct driver_queue *q)
{
	return q->avail_wrap ? SPEC_AVAIL_BIT : SPEC_USED_BIT;
}

static uint16_t free_id(struct driver_queue *q)
{
	for (uint16_t id = 0; id < q->size; id++) {
		/* Not in order: ids mean nothing to the device. */
		uint16_t odd = (uint16_t)(q->size - 1 - id);

		if (!q->id_used[odd]) {
			q->id_used[odd] = true;
			return odd;
		}
	}
	fail();
	return 0;
}

static uint16_t packed_add(struct driver_queue *q, const struct driver_seg *segs,
			   unsigned int count, unsigned int extra)
{
	uint16_t id = free_id(q), first = q->avail_slot, first_flags = 0;

	assert_true(count <= q->free_count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t desc = q->desc + 16ULL * q->avail_slot;
		uint16_t flags =
			(uint16_t)(packed_flags(q) | extra | (segs[i].write ? SPEC_D_WRITE : 0) |
				   (i + 1 < count ? SPEC_D_NEXT : 0));

		put_desc(q, desc, &segs[i]);
		put16(q, desc + 12, id);
		if (i == 0)
			first_flags = flags;
		else
			put16(q, desc + 14, flags);
		if (++q->avail_slot == q->size) {
			q->avail_slot = 0;
			q->avail_wrap = !q->avail_wrap;
		}
	}
	q->free_count = (uint16_t)(q->free_count - count);
	q->slots[id] = (uint16_t)count;
	put16(q, q->desc + 16ULL * first + 14, first_flags);
	q->avail_idx = (uint16_t)(q->avail_idx + count);
	return id;
}

uint16_t driver_add(struct driver_queue *q, const struct driver_seg *segs, unsigned int count,
		    bool indirect)
{
	struct driver_seg table;

	if (!indirect)
		return q->packed ? packed_add(q, segs, count, 0) : split_add(q, segs, count, 0);
	table = make_table(q, segs, count);
	return q->packed ? packed_add(q, &table, 1, SPEC_D_INDIRECT)
			 : split_add(q, &table, 1, SPEC_D_INDIRECT);
}

static bool passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

bool driver_wants_kick(struct driver_queue *q)
{
	uint16_t old = q->kick_base, now = q->avail_idx, event;

	q->kick_base = now;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->packed)
		return q->event_idx ? passed(get16(q, q->device + 4 + 8ULL * q->size), now, old)
				    : !(get16(q, q->device) & 1);
	if (get16(q, q->device + 2) != SPEC_EVENT_DESC)
		return get16(q, q->device + 2) == SPEC_EVENT_ENABLE;
	event = get16(q, q->device);
	/* All in positions of the current lap. */
	now = q->avail_slot;
	old = (uint16_t)(now - (uint16_t)(q->avail_idx - old));
	if ((event >> 15) != q->avail_wrap)
		event = (uint16_t)((event & 0x7fff) - q->size);
	else
		event &= 0x7fff;
	return passed(event, now, old);
}

static bool split_get_used(struct driver_queue *q, uint16_t *ret_id, uint32_t *ret_len)
{
	uint64_t entry = q->device + 4 + 8ULL * (q->last_used % q->size);
	uint16_t id, at, count;

	if (get16(q, q->device + 2) == q->last_used)
		return false;
	*ret_id = id = (uint16_t)get32(q, entry);
	assert_true(get32(q, entry) < q->size && q->slots[id] > 0);
	*ret_len = get32(q, entry + 4);
	q->last_used++;
	/* The chain goes back to the free list. */
	count = q->slots[id];
	for (at = id; --count > 0;)
		at = q->next[at];
	q->next[at] = q->free_head;
	q->free_head = id;
	q->free_count = (uint16_t)(q->free_count + q->slots[id]);
	q->slots[id] = 0;
	return true;
}

static bool packed_get_used(struct driver_queue *q, uint16_t *ret_id, uint32_t *ret_len)
{
	uint64_t desc = q->desc + 16ULL * q->used_slot;
	uint16_t flags = get16(q, desc + 14);
	uint16_t id;

	if (!!(flags & SPEC_AVAIL_BIT) != q->used_wrap || !!(flags & SPEC_USED_BIT) != q->used_wrap)
		return false;
	*ret_id = id = get16(q, desc + 12);
	assert_true(id < q->size && q->id_used[id]);
	*ret_len = flags & SPEC_D_WRITE ? get32(q, desc + 8) : 0;
	q->id_used[id] = false;
	q->used_slot = (uint16_t)(q->used_slot + q->slots[id]);
	if (q->used_slot >= q->size) {
		q->used_slot = (uint16_t)(q->used_slot - q->size);
		q->used_wrap = !q->used_wrap;
	}
	q->free_count = (uint16_t)(q->free_count + q->slots[id]);
	q->slots[id] = 0;
	return true;
}

bool driver_get_used(struct driver_queue *q, uint16_t *ret_id, uint32_t *ret_len)
{
	return q->packed ? packed_get_used(q, ret_id, ret_len) : split_get_used(q, ret_id, ret_len);
}

void driver_interrupts(struct driver_queue *q, bool on)
{
	if (q->packed)
		put16(q, q->driver + 2, on ? SPEC_EVENT_ENABLE : SPEC_EVENT_DISABLE);
	else if (q->event_idx)
		/* Just passed, or as far away as it gets. */
		put16(q, q->driver + 4 + 2ULL * q->size,
		      on ? q->last_used : (uint16_t)(q->last_used - 1));
	else
		put16(q, q->driver, on ? 0 : 1);
}

void driver_interrupt_after(struct driver_queue *q, uint16_t more)
{
	unsigned int slot = q->used_slot + more;
	bool wrap = q->used_wrap;

	if (!q->packed) {
		put16(q, q->driver + 4 + 2ULL * q->size, q->last_used + more);
		return;
	}
	if (slot >= q->size) {
		slot -= q->size;
		wrap = !wrap;
	}
	put16(q, q->driver, slot | (wrap ? 0x8000U : 0));
	put16(q, q->driver + 2, SPEC_EVENT_DESC);
}
