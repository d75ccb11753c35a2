/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/update/record.h"

#include <string.h>

#include "base/util.h"

#define RECORD_VERSION	1U
#define RECORD_JSON_MAX (64UL * 1024)

static void drop_nullp(json_t **p)
{
	json_decref(*p);
}

static int begin_node(struct state_writer *w, const char *name, const char *compatible,
		      const json_t *json, struct error *err)
{
	_cleanup_free_ char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (!text)
		return error_set(err, -ENOMEM, "saving %s: out of memory", name);
	if (strlen(text) >= RECORD_JSON_MAX)
		return error_set(err, -E2BIG, "saving %s: %zu bytes are too many", name,
				 strlen(text));
	state_begin(w, name);
	state_put_string(w, "compatible", compatible);
	state_put_u32(w, "version", RECORD_VERSION);
	state_put_string(w, "json", text);
	return 0;
}

static void save_passthrough(const struct record *record, struct state_writer *w)
{
	if (!record->ioas[PASSTHROUGH_OTHERS] && !record->ioas[PASSTHROUGH_PRESERVED])
		return;
	state_begin(w, "passthrough");
	state_put_string(w, "compatible", "holdfast,passthrough");
	state_put_u32(w, "version", RECORD_VERSION);
	state_put_u32(w, "ioas", record->ioas[PASSTHROUGH_OTHERS]);
	state_put_u32(w, "ioas-preserved", record->ioas[PASSTHROUGH_PRESERVED]);
	state_end(w);
}

int record_save(const struct record *record, struct state_writer *w, struct error *err)
{
	_cleanup_(drop_nullp) json_t *config = vm_config_to_json(&record->config);
	_cleanup_(drop_nullp) json_t *timeline = timeline_to_json(&record->timeline);
	int r;

	r = begin_node(w, "config", "holdfast,config", config, err);
	if (r < 0)
		return r;
	state_put_u32(w, "held", record->held);
	state_end(w);
	save_passthrough(record, w);
	r = begin_node(w, "timeline", "holdfast,timeline", timeline, err);
	if (r < 0)
		return r;
	state_end(w);
	return 0;
}

/* Opens the node and checks what it is. */
static int open_node(struct state_reader *root, const char *name, const char *compatible,
		     struct state_reader *node, struct error *err)
{
	const char *found;
	uint32_t version;

	if (state_reader_child(root, name, node) < 0)
		return error_set(err, -ENOENT, "state: %s is missing", name);
	found = state_get_string(node, "compatible", STATE_NODE_NAME_MAX);
	version = state_get_u32(node, "version");
	if (node->code)
		return state_reader_done(node, err);
	if (strcmp(found, compatible) != 0)
		return error_set(err, -EINVAL, "state %s: compatible is \"%s\", expected \"%s\"",
				 name, found, compatible);
	if (version != RECORD_VERSION)
		return error_set(err, -EPROTONOSUPPORT,
				 "state %s: version %u, this program reads %u: resume with the "
				 "version of holdfast that wrote it, or a newer one",
				 name, version, RECORD_VERSION);
	return 0;
}

/* The same, and parses its document: new reference. */
static int read_node(struct state_reader *root, const char *name, const char *compatible,
		     struct state_reader *node, json_t **ret, struct error *err)
{
	const char *text;
	json_error_t why;
	int r = open_node(root, name, compatible, node, err);

	if (r < 0)
		return r == -ENOENT ? -EINVAL : r;
	text = state_get_string(node, "json", RECORD_JSON_MAX);
	if (node->code)
		return state_reader_done(node, err);
	*ret = json_loads(text, JSON_REJECT_DUPLICATES, &why);
	if (!*ret)
		return error_set(err, -EINVAL, "state %s: column %d: %s", name, why.column,
				 why.text);
	return 0;
}

static int read_config(struct state_reader *root, struct record *record, struct error *err)
{
	_cleanup_(drop_nullp) json_t *json = NULL;
	struct state_reader node;
	int r;

	r = read_node(root, "config", "holdfast,config", &node, &json, err);
	if (r < 0)
		return r;
	record->held = state_get_bool(&node, "held");
	r = state_reader_done(&node, err);
	if (r < 0)
		return r;
	vm_config_init(&record->config);
	r = vm_config_from_json(json, &record->config, err);
	if (r < 0)
		return error_prefix(err, "state config: "), r;
	return 0;
}

static int read_timeline(struct state_reader *root, struct record *record, struct error *err)
{
	_cleanup_(drop_nullp) json_t *json = NULL;
	struct state_reader node;
	int r;

	r = read_node(root, "timeline", "holdfast,timeline", &node, &json, err);
	if (r == 0)
		r = state_reader_done(&node, err);
	if (r < 0)
		return r;
	r = timeline_from_json(json, &record->timeline, err);
	if (r < 0)
		return error_prefix(err, "state timeline: "), r;
	return 0;
}

/* There is one only where a device of the host was kept. */
static int read_passthrough(struct state_reader *root, struct record *record, struct error *err)
{
	struct state_reader node;
	int r = open_node(root, "passthrough", "holdfast,passthrough", &node, err);

	if (r == -ENOENT) {
		error_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	record->ioas[PASSTHROUGH_OTHERS] = state_get_u32(&node, "ioas");
	record->ioas[PASSTHROUGH_PRESERVED] = state_get_u32(&node, "ioas-preserved");
	return state_reader_done(&node, err);
}

int record_load(const struct state_blob *blob, struct record *ret, struct error *err)
{
	struct record record = {0};
	struct state_reader root;
	int r;

	state_reader_root(&root, blob);
	r = read_config(&root, &record, err);
	if (r == 0)
		r = read_timeline(&root, &record, err);
	if (r == 0)
		r = read_passthrough(&root, &record, err);
	if (r == 0)
		*ret = record;
	return r;
}
