/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/state.h"
#include "base/util.h"

static void object_node_name(const struct state_object *o, char buf[STATE_NODE_NAME_MAX])
{
	snprintf(buf, STATE_NODE_NAME_MAX, "%s%s%s", o->ops->name, o->instance[0] ? "@" : "",
		 o->instance);
}

int state_save_objects(const struct state_object *objects, size_t count, struct state_writer *w,
		       struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct state_object *o = &objects[i];
		char name[STATE_NODE_NAME_MAX], compatible[STATE_NODE_NAME_MAX + 16];
		int r;

		object_node_name(o, name);
		snprintf(compatible, sizeof(compatible), "holdfast,%s", o->ops->name);
		state_begin(w, name);
		state_put_string(w, "compatible", compatible);
		state_put_u32(w, "version", o->ops->version);
		r = o->ops->save(o->obj, w, err);
		if (r < 0)
			return error_prefix(err, "saving %s: ", name), r;
		state_end(w);
	}
	return 0;
}

static int open_object(const struct state_object *o, struct state_reader *root,
		       struct state_reader *node, uint32_t *ret_version, struct error *err)
{
	char name[STATE_NODE_NAME_MAX], expected[STATE_NODE_NAME_MAX + 16];
	const char *compatible;
	uint32_t version = 0;

	object_node_name(o, name);
	if (state_reader_child(root, name, node) < 0)
		return error_set(err, -EINVAL, "state: %s is missing", name);
	snprintf(expected, sizeof(expected), "holdfast,%s", o->ops->name);
	compatible = state_get_string(node, "compatible", sizeof(expected));
	version = state_get_u32(node, "version");
	/* "optional" is for readers that do not know the object; one that does takes it as any
	 * other. */
	if (state_has(node, "optional"))
		state_get_bool(node, "optional");
	if (node->code)
		return state_reader_done(node, err);
	if (strcmp(compatible, expected) != 0)
		return error_set(err, -EINVAL, "state %s: compatible is \"%s\", expected \"%s\"",
				 name, compatible, expected);
	if (version > o->ops->version || version < o->ops->min_version)
		return error_set(err, -EPROTONOSUPPORT,
				 "state %s: version %u, this program reads %u to %u: resume with "
				 "the version of "
				 "holdfast that wrote it, or a newer one",
				 name, version, o->ops->min_version, o->ops->version);
	*ret_version = version;
	return 0;
}

static int load_pass(const struct state_object *objects, size_t count, struct state_reader *root,
		     enum state_mode mode, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct state_reader node;
		uint32_t version = 0;
		int r = open_object(&objects[i], root, &node, &version, err);

		if (r == 0)
			r = objects[i].ops->load(objects[i].obj, version, &node, mode, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool node_is_known(const struct state_object *objects, size_t count,
			  const char *const *ignored, const char *name)
{
	char known[STATE_NODE_NAME_MAX];

	for (size_t i = 0; i < count; i++) {
		object_node_name(&objects[i], known);
		if (strcmp(known, name) == 0)
			return true;
	}
	for (; ignored && *ignored; ignored++) {
		if (strcmp(*ignored, name) == 0)
			return true;
	}
	return false;
}

/* A node that nobody reads is a device that would be lost in silence: refused, unless its writer
 * said optional. */
static int refuse_leftovers(const struct state_object *objects, size_t count,
			    struct state_reader *root, const char *const *ignored,
			    struct error *err)
{
	struct state_reader child;
	int node = 0;

	while (state_reader_next_child(root, &node, &child)) {
		const char *name = state_reader_name(&child);

		if (node_is_known(objects, count, ignored, name))
			continue;
		if (state_has(&child, "optional"))
			continue;
		return error_set(
			err, -EPROTONOSUPPORT,
			"state %s: this program has no such object: resume with the version of "
			"holdfast that wrote it, or a newer one",
			name);
	}
	return 0;
}

int state_load_objects(const struct state_object *objects, size_t count,
		       const struct state_blob *blob, const char *const *ignored,
		       enum state_mode mode, struct error *err)
{
	struct state_reader root;
	int r;

	state_reader_root(&root, blob);
	r = refuse_leftovers(objects, count, &root, ignored, err);
	if (r == 0)
		r = load_pass(objects, count, &root, STATE_CHECK, err);
	if (r == 0 && mode == STATE_APPLY)
		r = load_pass(objects, count, &root, STATE_APPLY, err);
	return r;
}
