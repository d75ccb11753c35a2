/* SPDX-License-Identifier: Apache-2.0 */
/* Saved states with nodes inside: one property anywhere replaced. */
#ifndef HOLDFAST_TESTS_FUZZ_FUZZ_STATE_H
#define HOLDFAST_TESTS_FUZZ_FUZZ_STATE_H

#include "tests/fuzz/fuzz_device.h"

struct fuzz_change {
	int at; /* counted through all nodes */
	const void *bytes;
	size_t size;
};

static inline int fuzz_properties(const void *fdt, int node)
{
	int prop, sub, count = 0;

	fdt_for_each_property_offset(prop, fdt, node) count++;
	fdt_for_each_subnode(sub, fdt, node) count += fuzz_properties(fdt, sub);
	return count;
}

static inline void fuzz_copy_node(struct state_writer *w, const void *fdt, int node,
				  struct fuzz_change *change)
{
	int prop, sub, len;

	state_begin(w, fdt_get_name(fdt, node, NULL));
	fdt_for_each_property_offset(prop, fdt, node)
	{
		const char *name;
		const void *old = fdt_getprop_by_offset(fdt, prop, &name, &len);

		if (change->at-- == 0)
			state_put_bytes(w, name, change->bytes, change->size);
		else
			state_put_bytes(w, name, old, (size_t)len);
	}
	fdt_for_each_subnode(sub, fdt, node) fuzz_copy_node(w, fdt, sub, change);
	state_end(w);
}

/* Loads the object's own state with one property replaced as the input says: all or nothing. */
static inline void fuzz_load_nested(const struct state_ops *ops, void *obj, struct fuzz_input *in)
{
	struct saved before = device_save(ops, obj), changed, after;
	int node = fdt_first_subnode(before.data, 0), checked;
	struct fuzz_change change = {.at = fuzz_u8(in) % fuzz_properties(before.data, node)};
	struct state_writer *w;

	change.bytes = fuzz_bytes(in, 255, &change.size);
	must(state_writer_new(SAVED_MAX, &w, NULL) == 0);
	fuzz_copy_node(w, before.data, node, &change);
	changed = finish_saved(w);
	checked = device_load(ops, obj, &changed, STATE_CHECK, NULL);
	must(device_load(ops, obj, &changed, STATE_APPLY, NULL) == checked);
	after = device_save(ops, obj);
	must(saved_equal(&after, checked == 0 ? &changed : &before));
	saved_free(&before);
	saved_free(&changed);
	saved_free(&after);
}

#endif
