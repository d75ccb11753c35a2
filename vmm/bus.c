/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions are kept sorted in an array of pointers. A reader holds the lock only while it looks its
 * region up and then counts itself as a user of it, so that a register access may itself change the
 * bus (a BAR that moves) and no access keeps others waiting. Removing waits for the users.
 */
#include "vmm/bus.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

#include "base/util.h"

struct bus_region {
	uint64_t base, size;
	const struct io_ops *ops; /* borrowed */
	void *opaque;
	unsigned int users; /* accesses under way; atomic */
};

struct bus {
	const char *name; /* borrowed: a literal of the caller */
	pthread_rwlock_t lock;
	struct bus_region **regions; /* owned, by address */
	size_t count;
	unsigned int removing; /* calls of bus_remove() that wait; atomic */
	pthread_mutex_t idle_lock;
	pthread_cond_t idle; /* a region's last user has left */
};

int bus_new(const char *name, struct bus **ret, struct error *err)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return error_set(err, -ENOMEM, "%s bus: out of memory", name);
	bus->name = name;
	pthread_rwlock_init(&bus->lock, NULL);
	pthread_mutex_init(&bus->idle_lock, NULL);
	pthread_cond_init(&bus->idle, NULL);
	*ret = bus;
	return 0;
}

void bus_free(struct bus *bus)
{
	if (!bus)
		return;
	for (size_t i = 0; i < bus->count; i++)
		free(bus->regions[i]);
	free(bus->regions);
	pthread_cond_destroy(&bus->idle);
	pthread_mutex_destroy(&bus->idle_lock);
	pthread_rwlock_destroy(&bus->lock);
	free(bus);
}

/* The first region whose last address is addr or higher; count if there is none. */
static size_t bus_search(const struct bus *bus, uint64_t addr)
{
	size_t low = 0, high = bus->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct bus_region *r = bus->regions[middle];

		if (r->base + (r->size - 1) < addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int bus_insert(struct bus *bus, struct bus_region *region, struct error *err)
{
	size_t at = bus_search(bus, region->base);
	const struct bus_region *next = at < bus->count ? bus->regions[at] : NULL;
	struct bus_region **grown;

	if (next && next->base <= region->base + (region->size - 1))
		return error_set(err, -EEXIST,
				 "%s bus: %s at 0x%llx (0x%llx bytes) overlaps with %s at 0x%llx",
				 bus->name, region->ops->name, (unsigned long long)region->base,
				 (unsigned long long)region->size, next->ops->name,
				 (unsigned long long)next->base);
	grown = realloc(bus->regions, (bus->count + 1) * sizeof(*grown));
	if (!grown)
		return error_set(err, -ENOMEM, "%s bus: out of memory", bus->name);
	bus->regions = grown;
	memmove(&grown[at + 1], &grown[at], (bus->count - at) * sizeof(*grown));
	grown[at] = region;
	bus->count++;
	return 0;
}

int bus_add(struct bus *bus, uint64_t base, uint64_t size, const struct io_ops *ops, void *opaque,
	    struct error *err)
{
	struct bus_region *region;
	int r;

	if (size == 0 || base + (size - 1) < base)
		return error_set(err, -EINVAL, "%s bus: %s has no room at 0x%llx for 0x%llx bytes",
				 bus->name, ops->name, (unsigned long long)base,
				 (unsigned long long)size);
	region = calloc(1, sizeof(*region));
	if (!region)
		return error_set(err, -ENOMEM, "%s bus: out of memory", bus->name);
	*region = (struct bus_region){.base = base, .size = size, .ops = ops, .opaque = opaque};
	pthread_rwlock_wrlock(&bus->lock);
	r = bus_insert(bus, region, err);
	pthread_rwlock_unlock(&bus->lock);
	if (r < 0)
		free(region);
	return r;
}

void bus_remove(struct bus *bus, uint64_t base)
{
	struct bus_region *region = NULL;
	size_t at;

	pthread_rwlock_wrlock(&bus->lock);
	at = bus_search(bus, base);
	if (at < bus->count && bus->regions[at]->base == base) {
		region = bus->regions[at];
		bus->count--;
		memmove(&bus->regions[at], &bus->regions[at + 1],
			(bus->count - at) * sizeof(*bus->regions));
	}
	pthread_rwlock_unlock(&bus->lock);
	if (!region)
		return;
	pthread_mutex_lock(&bus->idle_lock);
	__atomic_fetch_add(&bus->removing, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&region->users, __ATOMIC_SEQ_CST) > 0)
		pthread_cond_wait(&bus->idle, &bus->idle_lock);
	__atomic_fetch_sub(&bus->removing, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&bus->idle_lock);
	free(region);
}

/* The region that holds all of the access, counted as in use; NULL if there is none. */
static struct bus_region *bus_enter(struct bus *bus, uint64_t addr, unsigned int size)
{
	struct bus_region *found = NULL;
	size_t at;

	pthread_rwlock_rdlock(&bus->lock);
	at = bus_search(bus, addr);
	if (at < bus->count) {
		struct bus_region *r = bus->regions[at];

		if (addr >= r->base && addr - r->base <= r->size &&
		    size <= r->size - (addr - r->base))
			found = r;
	}
	if (found)
		__atomic_fetch_add(&found->users, 1, __ATOMIC_RELAXED);
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

/*
 * Counting down and looking for a remover, against announcing the removal and looking for users
 * (bus_remove): both in one total order, so one of the two sees the other. The region may be gone
 * once the count is down.
 */
static void bus_leave(struct bus *bus, struct bus_region *region)
{
	if (__atomic_sub_fetch(&region->users, 1, __ATOMIC_SEQ_CST) > 0)
		return;
	if (__atomic_load_n(&bus->removing, __ATOMIC_SEQ_CST) == 0)
		return;
	pthread_mutex_lock(&bus->idle_lock);
	pthread_cond_broadcast(&bus->idle);
	pthread_mutex_unlock(&bus->idle_lock);
}

static uint64_t bytes_to_value(const void *data, unsigned int size)
{
	uint64_t value = 0;

	memcpy(&value, data, size);
	return le64toh(value);
}

void bus_read(struct bus *bus, uint64_t addr, void *data, unsigned int size)
{
	struct bus_region *region = bus_enter(bus, addr, size);
	uint64_t value = UINT64_MAX;

	if (region) {
		value = region->ops->read(region->opaque, addr - region->base, size);
		bus_leave(bus, region);
	}
	value = htole64(value);
	memcpy(data, &value, size);
}

void bus_write(struct bus *bus, uint64_t addr, const void *data, unsigned int size)
{
	struct bus_region *region = bus_enter(bus, addr, size);

	if (!region)
		return;
	region->ops->write(region->opaque, addr - region->base, bytes_to_value(data, size), size);
	bus_leave(bus, region);
}

void bus_walk(struct bus *bus,
	      void (*fn)(void *opaque, uint64_t base, uint64_t size, const char *name),
	      void *opaque)
{
	pthread_rwlock_rdlock(&bus->lock);
	for (size_t i = 0; i < bus->count; i++) {
		const struct bus_region *r = bus->regions[i];

		fn(opaque, r->base, r->size, r->ops->name);
	}
	pthread_rwlock_unlock(&bus->lock);
}
