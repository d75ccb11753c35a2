/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of devices share: a fake interrupt line, byte access, and the torture of saved
 * state. */
#ifndef HOLDFAST_TESTS_UNIT_DEVICE_TEST_H
#define HOLDFAST_TESTS_UNIT_DEVICE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/state.h"
#include "base/util.h"
#include "devices/attach.h"
#include "tests/unit/state_copy.h"

struct fake_line {
	atomic_uint rises;
	atomic_bool level;
};

static inline void fake_line_set(void *opaque, bool level)
{
	struct fake_line *line = opaque;

	/* A device tells changes only. */
	if (atomic_exchange(&line->level, level) == level)
		abort();
	if (level)
		atomic_fetch_add(&line->rises, 1);
}

static inline struct irq_line fake_line_of(struct fake_line *line)
{
	return (struct irq_line){.set = fake_line_set, .opaque = line};
}

/* Turns of the loop until the condition holds; the test's own time limit ends a wait for ever. */
#define loop_until(loop, condition)                           \
	do {                                                  \
		if (condition)                                \
			break;                                \
		assert_int_equal(loop_run_once(loop, 50), 0); \
	} while (true)

/* Everything that is due now. */
static inline void loop_settle(struct loop *loop)
{
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(loop_run_once(loop, 0), 0);
}

/* save(obj) == save(load(save(obj))), and loading into obj itself changes nothing. */
static inline void assert_round_trip(const struct state_ops *ops, void *obj, void *other)
{
	struct saved first = device_save(ops, obj), second;

	assert_int_equal(device_load(ops, other, &first, STATE_CHECK, NULL), 0);
	assert_int_equal(device_load(ops, other, &first, STATE_APPLY, NULL), 0);
	second = device_save(ops, other);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.data, second.data, first.size);
	saved_free(&first);
	saved_free(&second);
}

/* Loading `s` is refused in both modes, with a message, and the object stays as it was. */
static inline void assert_refused(const struct state_ops *ops, void *obj, const struct saved *s)
{
	struct saved before = device_save(ops, obj), after;
	struct error err = ERROR_INIT;

	assert_true(device_load(ops, obj, s, STATE_CHECK, &err) < 0);
	assert_non_null(strstr(err.message, ops->name));
	assert_true(device_load(ops, obj, s, STATE_APPLY, NULL) < 0);
	after = device_save(ops, obj);
	assert_int_equal(before.size, after.size);
	assert_memory_equal(before.data, after.data, before.size);
	saved_free(&before);
	saved_free(&after);
}

static inline void assert_refuses_bytes(const struct state_ops *ops, void *obj, const char *name,
					const void *value, int size)
{
	struct saved good = device_save(ops, obj);
	struct saved bad = saved_with(ops, &good, name, value, size);

	assert_refused(ops, obj, &bad);
	saved_free(&good);
	saved_free(&bad);
}

static inline void assert_refuses_u32(const struct state_ops *ops, void *obj, const char *name,
				      uint32_t value)
{
	fdt32_t cell = cpu_to_fdt32(value);

	assert_refuses_bytes(ops, obj, name, &cell, sizeof(cell));
}

/*
 * Every property: left out, one byte short, one byte long; and one that nobody knows. `variable`:
 * its length may change.
 */
static inline void assert_structure_is_checked(const struct state_ops *ops, void *obj,
					       const char *variable)
{
	struct saved good = device_save(ops, obj);
	int node = fdt_first_subnode(good.data, 0), prop, len;
	uint8_t *longer = calloc(1, SAVED_MAX);
	unsigned int count = 0;

	fdt_for_each_property_offset(prop, good.data, node)
	{
		const char *key;
		const void *old = fdt_getprop_by_offset(good.data, prop, &key, &len);

		count++;
		assert_refuses_bytes(ops, obj, key, NULL, -1);
		if (strcmp(key, variable) == 0)
			continue;
		memset(longer, 0, (size_t)len + 1);
		memcpy(longer, old, (size_t)len);
		if (len > 0)
			assert_refuses_bytes(ops, obj, key, longer, len - 1);
		assert_refuses_bytes(ops, obj, key, longer, len + 1);
	}
	assert_true(count > 2);
	assert_refuses_u32(ops, obj, "from-the-future", 1);
	free(longer);
	saved_free(&good);
}

#endif
