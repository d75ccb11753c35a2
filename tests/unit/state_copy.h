/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One object's saved state as bytes that a test or a fuzzer can change. No test framework in here:
 * what must hold ends the program.
 */
#ifndef HOLDFAST_TESTS_UNIT_STATE_COPY_H
#define HOLDFAST_TESTS_UNIT_STATE_COPY_H

#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/state.h"
#include "base/util.h"

#define must(condition)                                                                   \
	do {                                                                              \
		if (!(condition)) {                                                       \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, \
				#condition);                                              \
			abort();                                                          \
		}                                                                         \
	} while (0)

struct saved {
	void *data; /* owned */
	size_t size;
};

static inline void saved_free(struct saved *s)
{
	free(s->data);
	*s = (struct saved){0};
}

/* Bytes a state takes at most; a program whose objects are small is faster with less. */
#ifndef SAVED_MAX
#define SAVED_MAX (1U << 17)
#endif

static inline struct saved finish_saved(struct state_writer *w)
{
	struct error err = ERROR_INIT;
	struct saved s;
	const void *blob;

	must(state_writer_finish(w, &blob, &s.size, &err) == 0);
	s.data = malloc(s.size);
	must(s.data);
	memcpy(s.data, blob, s.size);
	state_writer_free(w);
	return s;
}

static inline struct saved device_save(const struct state_ops *ops, void *obj)
{
	struct state_object object = {.ops = ops, .obj = obj};
	struct state_writer *w;

	must(state_writer_new(SAVED_MAX, &w, NULL) == 0);
	must(state_save_objects(&object, 1, w, NULL) == 0);
	return finish_saved(w);
}

static inline int device_load(const struct state_ops *ops, void *obj, const struct saved *s,
			      enum state_mode mode, struct error *err)
{
	struct state_object object = {.ops = ops, .obj = obj};
	struct state_blob blob;
	int r = state_blob_open(s->data, s->size, &blob, err);

	return r < 0 ? r : state_load_objects(&object, 1, &blob, NULL, mode, err);
}

/* A copy of one object's state with its property `name` replaced; size < 0: left out. */
static inline struct saved saved_with(const struct state_ops *ops, const struct saved *s,
				      const char *name, const void *value, int size)
{
	int node = fdt_first_subnode(s->data, 0), prop, len;
	struct state_writer *w;
	bool found = false;

	must(state_writer_new(SAVED_MAX, &w, NULL) == 0);
	state_begin(w, ops->name);
	fdt_for_each_property_offset(prop, s->data, node)
	{
		const char *key;
		const void *old = fdt_getprop_by_offset(s->data, prop, &key, &len);
		bool match = strcmp(key, name) == 0;

		found |= match;
		if (!match)
			state_put_bytes(w, key, old, (size_t)len);
		else if (size >= 0)
			state_put_bytes(w, key, value, (size_t)size);
	}
	if (!found)
		state_put_bytes(w, name, value, (size_t)size);
	state_end(w);
	return finish_saved(w);
}

#endif
