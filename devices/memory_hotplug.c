/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/memory_hotplug.h"

#include <assert.h>
#include <pthread.h>

#include "base/util.h"

struct memory_hotplug {
	struct memory_hotplug *self; /* for locking where it is const */
	struct memory_hotplug_params params;
	pthread_mutex_t lock;
	unsigned int count; /* of slots in use */
	struct {
		uint64_t gpa, size;
	} slots[MEMORY_HOTPLUG_SLOTS];
	uint32_t added;
};

/* Lock held. */
static uint64_t slot_value(const struct memory_hotplug *h, uint64_t offset)
{
	uint64_t slot = offset / MEMORY_HOTPLUG_SLOT_SIZE;

	if (slot >= h->count)
		return 0;
	/* Without the bit that tells the halves apart. */
	switch (offset % MEMORY_HOTPLUG_SLOT_SIZE & ~4U) {
	case MEMORY_HOTPLUG_FIRST:
		return h->slots[slot].gpa;
	case MEMORY_HOTPLUG_LAST:
		return h->slots[slot].gpa + h->slots[slot].size - 1;
	case MEMORY_HOTPLUG_SIZE:
		return h->slots[slot].size;
	default:
		return 0;
	}
}

static uint64_t hotplug_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct memory_hotplug *h = opaque;
	uint64_t value;

	/* The DSDT's fields have DWordAcc. */
	if (size != 4 || offset % 4)
		return 0;
	pthread_mutex_lock(&h->lock);
	if (offset == MEMORY_HOTPLUG_ADDED)
		value = h->added;
	else
		value = slot_value(h, offset) >> (offset & 4 ? 32 : 0);
	pthread_mutex_unlock(&h->lock);
	return value & UINT32_MAX;
}

static void hotplug_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct memory_hotplug *h = opaque;

	if (size != 4 || offset != MEMORY_HOTPLUG_ADDED)
		return;
	pthread_mutex_lock(&h->lock);
	h->added &= ~(uint32_t)value;
	pthread_mutex_unlock(&h->lock);
}

const struct io_ops memory_hotplug_io_ops = {
	.name = "memory-hotplug", .read = hotplug_read, .write = hotplug_write};

static void put(struct memory_hotplug *h, uint64_t gpa, uint64_t size, bool tell)
{
	pthread_mutex_lock(&h->lock);
	assert(h->count < MEMORY_HOTPLUG_SLOTS);
	h->slots[h->count].gpa = gpa;
	h->slots[h->count].size = size;
	h->added |= (uint32_t)tell << h->count;
	h->count++;
	pthread_mutex_unlock(&h->lock);
}

void memory_hotplug_put(struct memory_hotplug *h, uint64_t gpa, uint64_t size)
{
	put(h, gpa, size, false);
}

void memory_hotplug_add(struct memory_hotplug *h, uint64_t gpa, uint64_t size)
{
	put(h, gpa, size, true);
	h->params.raise(h->params.opaque);
}

static int hotplug_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	const struct memory_hotplug *h = obj;

	pthread_mutex_lock(&h->self->lock);
	state_put_u32(w, "added", h->added);
	pthread_mutex_unlock(&h->self->lock);
	return 0;
}

static int hotplug_load(void *obj, uint32_t version _unused_, struct state_reader *r,
			enum state_mode mode, struct error *err)
{
	struct memory_hotplug *h = obj;
	uint32_t added = state_get_u32(r, "added");
	int ret;

	state_require(r, added < 1ULL << h->count, "no memory was put into that slot");
	ret = state_reader_done(r, err);
	if (ret < 0 || mode == STATE_CHECK)
		return ret;
	pthread_mutex_lock(&h->lock);
	h->added = added;
	pthread_mutex_unlock(&h->lock);
	return 0;
}

const struct state_ops memory_hotplug_state_ops = {.name = "memory-hotplug",
						   .version = 1,
						   .min_version = 1,
						   .save = hotplug_save,
						   .load = hotplug_load};

int memory_hotplug_new(const struct memory_hotplug_params *params, struct memory_hotplug **ret,
		       struct error *err)
{
	struct memory_hotplug *h = calloc(1, sizeof(*h));

	if (!h)
		return error_set(err, -ENOMEM, "memory hot plug: out of memory");
	h->self = h;
	h->params = *params;
	pthread_mutex_init(&h->lock, NULL);
	*ret = h;
	return 0;
}

void memory_hotplug_free(struct memory_hotplug *h)
{
	if (!h)
		return;
	pthread_mutex_destroy(&h->lock);
	free(h);
}
