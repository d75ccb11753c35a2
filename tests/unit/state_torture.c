/* SPDX-License-Identifier: Apache-2.0 */
/* Corruption of saved state with nodes inside nodes: property by property, with a valid checksum,
 * so that the object's own checks are what is tested. */
#include "tests/unit/virtio_driver.h"

enum damage { DAMAGE_MISSING, DAMAGE_SHORT, DAMAGE_LONG, DAMAGE_BIT };

struct target {
	int index; /* of the property, counted through the tree */
	enum damage damage;
	unsigned int bit;
	/* Out. */
	int seen;
	int len;
};

static void copy_property(struct state_writer *w, const char *key, const uint8_t *old, int len,
			  struct target *t)
{
	static uint8_t buf[SAVED_MAX];

	if (t->seen++ != t->index) {
		state_put_bytes(w, key, old, (size_t)len);
		return;
	}
	t->len = len;
	assert_true((size_t)len < sizeof(buf));
	memcpy(buf, old, (size_t)len);
	buf[len] = 0;
	if (t->damage == DAMAGE_SHORT && len > 0)
		state_put_bytes(w, key, buf, (size_t)len - 1);
	else if (t->damage == DAMAGE_LONG)
		state_put_bytes(w, key, buf, (size_t)len + 1);
	else if (t->damage == DAMAGE_BIT) {
		buf[t->bit / 8] ^= (uint8_t)(1U << t->bit % 8);
		state_put_bytes(w, key, buf, (size_t)len);
	}
}

static void copy_node(struct state_writer *w, const void *fdt, int node, struct target *t)
{
	int prop, child, len;

	fdt_for_each_property_offset(prop, fdt, node)
	{
		const char *key;
		const void *old = fdt_getprop_by_offset(fdt, prop, &key, &len);

		copy_property(w, key, old, len, t);
	}
	fdt_for_each_subnode(child, fdt, node)
	{
		state_begin(w, fdt_get_name(fdt, child, NULL));
		copy_node(w, fdt, child, t);
		state_end(w);
	}
}

static struct saved damaged(const struct state_ops *ops, const struct saved *s, struct target *t)
{
	struct state_writer *w;

	assert_int_equal(state_writer_new(SAVED_MAX, &w, NULL), 0);
	state_begin(w, ops->name);
	t->seen = 0;
	copy_node(w, s->data, fdt_first_subnode(s->data, 0), t);
	state_end(w);
	return finish_saved(w);
}

static bool same(const struct saved *a, const struct saved *b)
{
	return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* Refused and nothing changed; or accepted, and then the object is exactly what was loaded. */
static void try_load(const struct state_ops *ops, void *obj, const struct saved *bad,
		     const struct saved *good, bool must_refuse)
{
	struct saved after;
	struct error err = ERROR_INIT;
	int r = device_load(ops, obj, bad, STATE_CHECK, &err);

	if (must_refuse)
		assert_true(r < 0);
	if (r < 0) {
		assert_true(err.message[0]);
		assert_true(device_load(ops, obj, bad, STATE_APPLY, NULL) < 0);
	}
	after = device_save(ops, obj);
	assert_true(same(&after, good));
	saved_free(&after);
	if (r < 0)
		return;
	assert_int_equal(device_load(ops, obj, bad, STATE_APPLY, &err), 0);
	after = device_save(ops, obj);
	assert_true(same(&after, bad));
	saved_free(&after);
	assert_int_equal(device_load(ops, obj, good, STATE_APPLY, NULL), 0);
}

/* Short ones bit by bit. Long ones are arrays, where 13 meets every bit of an element somewhere;
 * very long ones are a sample. */
static unsigned int stride(int len)
{
	return len <= 16 ? 1 : MAX_OF(13U, (unsigned int)len / 64 * 8 + 5);
}

void driver_torture_state(const struct state_ops *ops, void *obj)
{
	struct saved good = device_save(ops, obj), bad;
	struct target t = {.index = 0, .len = 0};

	/* A state that the object can load itself. */
	assert_int_equal(device_load(ops, obj, &good, STATE_APPLY, NULL), 0);
	for (;; t.index++) {
		t.damage = DAMAGE_MISSING;
		bad = damaged(ops, &good, &t);
		if (t.index >= t.seen) {
			saved_free(&bad);
			break;
		}
		try_load(ops, obj, &bad, &good, true);
		saved_free(&bad);
		for (t.damage = DAMAGE_SHORT; t.damage <= DAMAGE_LONG; t.damage++) {
			if (t.damage == DAMAGE_SHORT && t.len == 0)
				continue;
			bad = damaged(ops, &good, &t);
			try_load(ops, obj, &bad, &good, true);
			saved_free(&bad);
		}
		for (t.bit = 0; t.bit < 8 * (unsigned int)t.len; t.bit += stride(t.len)) {
			t.damage = DAMAGE_BIT;
			bad = damaged(ops, &good, &t);
			try_load(ops, obj, &bad, &good, false);
			saved_free(&bad);
		}
	}
	assert_true(t.index > 2);
	saved_free(&good);
}
