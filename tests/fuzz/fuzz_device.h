/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzzers of devices share. An input is a sequence of operations: one byte says which, its
 * arguments follow; a missing byte is 0. Three are the same for every device:
 *   0  read:  offset, size
 *   1  write: offset, size, value (8 bytes, little-endian)
 *   2  save, load into a second device, save: all must be equal
 *   3  load the own state with one property replaced: property, length, bytes. If it is taken,
 * saving must give exactly what was loaded, else nothing may have changed. Others are the device's
 * own.
 */
#ifndef HOLDFAST_TESTS_FUZZ_FUZZ_DEVICE_H
#define HOLDFAST_TESTS_FUZZ_FUZZ_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "devices/attach.h"
#include "tests/unit/state_copy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_OPS_SHARED 4
/* A longer input finds nothing that a shorter one does not. */
#define FUZZ_OPS_MAX 400

struct fuzz_input {
	const uint8_t *data;
	size_t size;
};

struct fuzz_device {
	const struct io_ops *io;
	unsigned int io_size;
	const struct state_ops *state;
	void *obj, *other;
};

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	if (in->size == 0)
		return 0;
	in->size--;
	return *in->data++;
}

static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < 8; i++)
		value |= (uint64_t)fuzz_u8(in) << (8 * i);
	return value;
}

/* At most max bytes, as many as the input's next byte says. */
static inline const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t max, size_t *ret_size)
{
	size_t wanted = fuzz_u8(in);
	const uint8_t *bytes = in->data;

	*ret_size = MIN_OF(MIN_OF(wanted, max), in->size);
	in->data += *ret_size;
	in->size -= *ret_size;
	return bytes;
}

static inline bool saved_equal(const struct saved *a, const struct saved *b)
{
	return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static inline void fuzz_access(const struct fuzz_device *d, struct fuzz_input *in, bool write)
{
	unsigned int offset = fuzz_u8(in) % d->io_size;
	unsigned int size = 1U << fuzz_u8(in) % 4;

	/* What a bus guarantees: inside the region. */
	while (offset + size > d->io_size)
		size /= 2;
	if (write)
		d->io->write(d->obj, offset, fuzz_u64(in), size);
	else
		d->io->read(d->obj, offset, size);
}

/* What was saved must be taken. */
static inline void must_load(const struct state_ops *ops, void *obj, const struct saved *s)
{
	struct error err = ERROR_INIT;

	if (device_load(ops, obj, s, STATE_APPLY, &err) < 0)
		fprintf(stderr, "refused: %s\n", error_message(&err));
	must(!err.code);
}

/* It takes what another one saved and would save the same. Frees what was saved. */
static inline void must_take_over(const struct state_ops *ops, void *obj, struct saved *first)
{
	struct saved second;

	must_load(ops, obj, first);
	second = device_save(ops, obj);
	must(saved_equal(first, &second));
	saved_free(first);
	saved_free(&second);
}

static inline void fuzz_round_trip(const struct fuzz_device *d)
{
	struct saved first = device_save(d->state, d->obj);

	must_take_over(d->state, d->other, &first);
}

static inline void fuzz_load(const struct fuzz_device *d, struct fuzz_input *in)
{
	struct saved before = device_save(d->state, d->obj), changed, after;
	int node = fdt_first_subnode(before.data, 0), prop, count = 0, wanted;
	const char *key = "", *name = "";
	const uint8_t *bytes;
	size_t size;
	int checked;

	fdt_for_each_property_offset(prop, before.data, node) count++;
	wanted = fuzz_u8(in) % count;
	fdt_for_each_property_offset(prop, before.data, node)
	{
		fdt_getprop_by_offset(before.data, prop, &key, NULL);
		if (wanted-- == 0)
			name = key;
	}
	bytes = fuzz_bytes(in, 255, &size);
	changed = saved_with(d->state, &before, name, bytes, (int)size);
	checked = device_load(d->state, d->obj, &changed, STATE_CHECK, NULL);
	must(device_load(d->state, d->obj, &changed, STATE_APPLY, NULL) == checked);
	after = device_save(d->state, d->obj);
	must(saved_equal(&after, checked == 0 ? &changed : &before));
	saved_free(&before);
	saved_free(&changed);
	saved_free(&after);
}

/* True: it was one of the shared operations. */
static inline bool fuzz_shared(const struct fuzz_device *d, struct fuzz_input *in, uint8_t op)
{
	switch (op) {
	case 0:
	case 1:
		fuzz_access(d, in, op == 1);
		return true;
	case 2:
		fuzz_round_trip(d);
		return true;
	case 3:
		fuzz_load(d, in);
		return true;
	default:
		return false;
	}
}

/* The device under test and the one that is given its state, at the same time on the same loop. */
struct fuzz_bench {
	struct fuzz_device d;
	struct loop *loop;
	uint64_t now_ns;
	bool line, other_line;
};

/* One of the device's own operations. */
typedef void fuzz_op_fn(struct fuzz_bench *b, struct fuzz_input *in, uint8_t op);

/* A clock. opaque: the bench. */
static inline uint64_t fuzz_now(void *opaque)
{
	return ((struct fuzz_bench *)opaque)->now_ns;
}

/* A line that aborts where a device tells no change. opaque: bool. */
static inline void fuzz_line_set(void *opaque, bool level)
{
	bool *now = opaque;

	must(*now != level);
	*now = level;
}

/* A guest may cause log lines; here they would be all one sees. */
static inline void fuzz_quiet(void)
{
	log_setup("fuzz", LOG_LEVEL_ERROR, STDERR_FILENO);
}

/* Before the devices are made. */
static inline void fuzz_begin(struct fuzz_bench *b)
{
	fuzz_quiet();
	must(loop_new(&b->loop, NULL) == 0);
}

/* The whole input; op_count: operations, shared and own. */
static inline void fuzz_walk(struct fuzz_bench *b, const uint8_t *data, size_t size,
			     unsigned int op_count, fuzz_op_fn *own_op)
{
	struct fuzz_input in = {.data = data, .size = size};

	for (unsigned int i = 0; i < FUZZ_OPS_MAX && in.size > 0; i++) {
		uint8_t op = (uint8_t)(fuzz_u8(&in) % op_count);

		if (!fuzz_shared(&b->d, &in, op))
			own_op(b, &in, op);
	}
	fuzz_round_trip(&b->d);
	must(b->line == b->other_line);
}

#endif
