/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved state: a flattened device tree (Devicetree Specification v0.4, chapter 5), so that dtc can
 * show it and libfdt checks it. docs/state-format.md is normative; this is its code. The container
 * knows no VM:
 *
 *   / {
 *       compatible = "holdfast,state-v1";
 *       writer = "holdfast 0.1.0";              // who wrote it: for people, never compared
 *       checksum = <crc32 of the whole blob with this cell zero>;
 *       uart@3f8 { compatible = "holdfast,uart"; version = <1>; ... };
 *   };
 *
 * Integers are big-endian cells as the specification has them. The bytes are hostile until checked.
 */
#ifndef HOLDFAST_BASE_STATE_H
#define HOLDFAST_BASE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define STATE_COMPATIBLE    "holdfast,state-v1"
#define STATE_NODE_NAME_MAX 64
#define STATE_DEPTH_MAX	    8

/* ---- Writing: a cursor with a sticky error; check once, at state_writer_finish(). ---- */

struct state_writer;

/* max_size: bytes the blob may have at most. */
int state_writer_new(size_t max_size, struct state_writer **ret, struct error *err);
void state_writer_free(struct state_writer *w); /* NULL is fine */

void state_begin(struct state_writer *w, const char *node); /* "name@instance" */
void state_end(struct state_writer *w);
void state_put_u32(struct state_writer *w, const char *name,
		   uint32_t value); /* also for u8, u16, bool */
void state_put_u64(struct state_writer *w, const char *name, uint64_t value);
void state_put_string(struct state_writer *w, const char *name, const char *value);
void state_put_bytes(struct state_writer *w, const char *name, const void *data, size_t size);
void state_put_u64s(struct state_writer *w, const char *name, const uint64_t *values, size_t count);

/*
 * Closes the tree, puts the checksum in and gives the blob: owned by the writer, valid until it is
 * freed. -ENOSPC: max_size was too small. -EINVAL: unbalanced nodes or a name that is too long (a
 * bug in us).
 */
int state_writer_finish(struct state_writer *w, const void **ret_blob, size_t *ret_size,
			struct error *err);

/* ---- Reading. ---- */

/* A checked blob; borrows the bytes, which must not change while it is in use (copy guest-writable
 * ones first). */
struct state_blob {
	const void *fdt;
	size_t size;
};

/* Checks header, structure (fdt_check_full), compatible and checksum. size: bytes available at
 * data. */
int state_blob_open(const void *data, size_t size, struct state_blob *ret, struct error *err);

/*
 * One node being read, with a sticky error: after the first failure every getter returns zero, and
 * state_reader_done() tells what was wrong, naming node and property. Values are out only for use
 * after that check. Every property must be asked for: done() refuses a node with a property nobody
 * read, so that a field which this version does not know cannot be dropped in silence.
 */
struct state_reader {
	const struct state_blob *blob;
	int node;
	char path[STATE_NODE_NAME_MAX * 3];
	int code;
	unsigned int taken; /* properties read so far */
	struct error error;
};

/* The root node ("/"). */
void state_reader_root(struct state_reader *r, const struct state_blob *blob);
/* A child by its full name ("uart@3f8"). -ENOENT if it is not there (r's error is not touched). */
int state_reader_child(struct state_reader *r, const char *name, struct state_reader *ret);
/* The next child in order; *node starts at 0 before the first call. False at the end. */
bool state_reader_next_child(struct state_reader *r, int *node, struct state_reader *ret);
/* For objects that have nodes inside: how many. done() does not look at them. */
unsigned int state_reader_child_count(const struct state_reader *r);
/* This node's name without the path. */
const char *state_reader_name(const struct state_reader *r);

bool state_has(const struct state_reader *r, const char *name);
uint32_t state_get_u32(struct state_reader *r, const char *name);
uint64_t state_get_u64(struct state_reader *r, const char *name);
/* The value must be at most max, else the node is refused. */
uint32_t state_get_u32_max(struct state_reader *r, const char *name, uint32_t max);
bool state_get_bool(struct state_reader *r, const char *name);
/* Exactly size bytes, copied. */
void state_get_bytes(struct state_reader *r, const char *name, void *buf, size_t size);
/* Any length up to max: a pointer into the blob and the length. NULL on error. */
const void *state_get_blob(struct state_reader *r, const char *name, size_t max, size_t *ret_size);
/* A terminated string inside the blob, at most max bytes with the terminator; "" on error. */
const char *state_get_string(struct state_reader *r, const char *name, size_t max);
/* Exactly count values. */
void state_get_u64s(struct state_reader *r, const char *name, uint64_t *values, size_t count);
/* For checks across fields: refuses the node with this text if ok is false. */
void state_require(struct state_reader *r, bool ok, const char *fmt, ...) _printf_(3, 4);
/* 0, or the first error with "path: what". */
int state_reader_done(struct state_reader *r, struct error *err);

/* ---- Objects: the four things every stateful object has. ---- */

enum state_mode {
	STATE_CHECK, /* parse and check everything, change nothing */
	STATE_APPLY, /* the same, then commit; may still fail where the kernel refuses a value */
};

struct state_ops {
	const char *name;     /* node name before '@' and compatible "holdfast,<name>" */
	uint32_t version;     /* written */
	uint32_t min_version; /* oldest that load understands */
	/* Writes the object's fields. The object is not changed: saving has no effect that a guest
	 * could see. */
	int (*save)(const void *obj, struct state_writer *w, struct error *err);
	/*
	 * Parses into locals, checks every field, calls state_reader_done(); in STATE_CHECK returns
	 * then; in STATE_APPLY commits. On failure the object is as it was.
	 */
	int (*load)(void *obj, uint32_t version, struct state_reader *r, enum state_mode mode,
		    struct error *err);
};

struct state_object {
	const struct state_ops *ops;
	void *obj;
	char instance[24]; /* "0", "3f8", ...; "" for the only one of its kind */
};

/* Writes all objects in order, each as a node. */
int state_save_objects(const struct state_object *objects, size_t count, struct state_writer *w,
		       struct error *err);

/*
 * Loads all objects in order. First everything is checked against the blob: every object has its
 * node, with a compatible and a version that it reads; no node is left over unless it has the
 * property "optional". Only when all of that holds and mode is STATE_APPLY is the first object
 * changed. `ignored` names top-level nodes that somebody else reads (NULL-terminated list or NULL).
 */
int state_load_objects(const struct state_object *objects, size_t count,
		       const struct state_blob *blob, const char *const *ignored,
		       enum state_mode mode, struct error *err);

#endif
