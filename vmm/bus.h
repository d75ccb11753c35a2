/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space of registers (ports or MMIO): regions that do not overlap, looked up by vCPU
 * threads, changed by the loop's thread (hot plug) and by vCPU threads (a BAR that a guest moves),
 * also from inside an access to another region. An access outside every region reads all ones and
 * writes nothing, as on a PC.
 */
#ifndef HOLDFAST_VMM_BUS_H
#define HOLDFAST_VMM_BUS_H

#include "base/error.h"
#include "devices/attach.h"

struct bus;

int bus_new(const char *name, struct bus **ret, struct error *err);
void bus_free(struct bus *bus); /* NULL is fine */
/* ops is borrowed for the life of the region. -EEXIST: overlaps with a region that the message
 * names. */
int bus_add(struct bus *bus, uint64_t base, uint64_t size, const struct io_ops *ops, void *opaque,
	    struct error *err);
/* No access to the region is under way when this returns: not from inside one. */
void bus_remove(struct bus *bus, uint64_t base);
/* data: size bytes, little-endian as KVM_EXIT_IO and KVM_EXIT_MMIO have them; size 1, 2, 4 or 8. */
void bus_read(struct bus *bus, uint64_t addr, void *data, unsigned int size);
void bus_write(struct bus *bus, uint64_t addr, const void *data, unsigned int size);
/* Calls fn for each region in order of address: tests compare a cold machine's map with a resumed
 * one's. */
void bus_walk(struct bus *bus,
	      void (*fn)(void *opaque, uint64_t base, uint64_t size, const char *name),
	      void *opaque);

#endif
